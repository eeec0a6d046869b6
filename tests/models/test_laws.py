"""Every law of ``laws.py`` for every model of the paper's Table 2 and some more of RecBole."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from laws import (
    Subject,
    batch_does_not_matter,
    columns_may_be_permuted,
    gradients_are_derivatives,
    learns_a_checkerboard,
    padding_is_nobody,
    predict_is_full_sort_predict,
    relabelling_permutes,
    saved_and_loaded_is_the_same,
    zero_features_are_ids_only,
)
from support import SHORT_STAGES, MakeConfig

from recbole_painvrl.data.folder import DatasetContent, write_dataset

# Widths that no feature matrix of the tests has.
_SMALL = ("--embedding_size=6", "--content_embedding_size=5", "--init_std=0.3", "--n_neighbours=3")
_VBPR = ("--embedding_size=6", "--content_embedding_size=5")
_MMREC = (*_VBPR, "--form=mmrec", "--regularizer=norm")
_MMSSL = (
    "--embedding_size=6",
    "--n_heads=2",
    "--train_batch_size=64",
    "--discriminator_columns=40",
)
_ULTRAGCN_IDS = Subject("UltraGCN", (*_SMALL, "--modalities=[]"))
# MMGCN has no ID-only form: every one of its networks starts from features.
SUBJECTS = {
    "UltraGCN": Subject("UltraGCN", _SMALL, _ULTRAGCN_IDS, uses_features=True),
    "UltraGCN, ids only": _ULTRAGCN_IDS,
    "PaInvRL": Subject("PaInvRL", (*_SMALL, *SHORT_STAGES), _ULTRAGCN_IDS, uses_features=True),
    "InvRL": Subject("InvRL", (*_SMALL, *SHORT_STAGES), _ULTRAGCN_IDS, uses_features=True),
    "VBPR": Subject(
        "VBPR", _VBPR, Subject("VBPR", (*_VBPR, "--modalities=[]")), uses_features=True
    ),
    "VBPR, MMRec": Subject(
        "VBPR", _MMREC, Subject("VBPR", (*_MMREC, "--modalities=[]")), uses_features=True
    ),
    "MMGCN": Subject("MMGCN", ("--embedding_size=6",), uses_features=True),
    "MMGCN, released": Subject(
        "MMGCN",
        ("--embedding_size=6", "--train_ids=False", "--latent_size=11"),
        uses_features=True,
    ),
    "MMSSL": Subject(
        "MMSSL",
        _MMSSL,
        Subject("MMSSL", (*_MMSSL, "--modality_residual_weight=0.0")),
        uses_features=True,
    ),
    "MMSSL, released": Subject("MMSSL", ("--preset=released", *_MMSSL), uses_features=True),
    "BPR": Subject("BPR", ("--embedding_size=6",)),
    "LightGCN": Subject("LightGCN", ("--embedding_size=6",)),
    "NGCF": Subject("NGCF", ("--embedding_size=6", "--hidden_size_list=[6,6]")),
    "Pop": Subject("Pop", learns=False),
    "ItemKNN": Subject("ItemKNN", learns=False),
}
# Two dimensions, and enough training to learn two groups by heart. Released forms are shaped by
# their faults (frozen ids, dead graphs), so only the intended ones must.
_BOARD = ("--embedding_size=2", "--learning_rate=0.05", "--epochs=60")
_ULTRAGCN = (*_BOARD, "--content_embedding_size=2", "--embedding_reg_weight=0.1", "--init_std=0.1")
# With some draws of negatives, of either loader, these two still miss one pair of sixty.
_STREAM = ("--fast_loader=False",)
FIT = {
    "UltraGCN": _ULTRAGCN,
    "UltraGCN, ids only": _ULTRAGCN,
    "PaInvRL": _ULTRAGCN,
    "InvRL": _ULTRAGCN,
    "VBPR": (*_BOARD, "--content_embedding_size=2", "--reg_weight=0.1", "--epochs=120"),
    "VBPR, MMRec": (*_BOARD, "--content_embedding_size=2", "--reg_weight=0.1", *_STREAM),
    "MMGCN": (*_BOARD, "--embedding_size=6", "--learning_rate=0.02"),
    "MMSSL": (*_BOARD, "--embedding_size=4", "--train_batch_size=20"),
    "BPR": (*_BOARD, "--epochs=100", "--weight_decay=0.01"),
    "LightGCN": _BOARD,
    "NGCF": (*_BOARD, "--hidden_size_list=[4]", *_STREAM),
    "ItemKNN": ("--epochs=1", "--k=5"),
}

every_subject = pytest.mark.parametrize("name", SUBJECTS)
# RecBole builds its sparse matrices by a deprecated constructor.
pytestmark = pytest.mark.filterwarnings("ignore:torch.sparse.SparseTensor")


def those(condition: str) -> pytest.MarkDecorator:
    names = [name for name, subject in SUBJECTS.items() if getattr(subject, condition)]
    return pytest.mark.parametrize("name", names)


@pytest.fixture(scope="module")
def shuffled(tiny_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny dataset with every interaction file in another order: other internal numbers."""
    root = tmp_path_factory.mktemp("shuffled")
    rng = np.random.default_rng(1)
    for path in (tiny_data / "tiny").rglob("*"):
        target = root / path.relative_to(tiny_data)
        target.parent.mkdir(parents=True, exist_ok=True)
        if path.suffix == ".inter":
            head, *rows = path.read_text().splitlines()
            order = rng.permutation(len(rows))
            target.write_text("\n".join([head, *(rows[row] for row in order)]) + "\n")
        elif path.is_file():
            target.write_bytes(path.read_bytes())
    return root


@pytest.fixture(scope="module")
def board(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """20 users and 20 items in two groups; 7 of a user's 10 items are known, 3 are held out."""
    root = tmp_path_factory.mktemp("board")
    rng = np.random.default_rng(0)
    train, test = [], []
    for user in range(20):
        own = rng.permutation(10) + 10 * (user % 2)
        train += [(f"u{user}", f"i{item}") for item in own[:7]]
        test += [(f"u{user}", f"i{item}") for item in own[7:]]
    frames = [pd.DataFrame(pairs, columns=["user_id", "item_id"]) for pairs in (train, test)]
    items = [f"i{number}" for number in range(20)]
    group = np.repeat(np.eye(2), 10, axis=0)
    features = {
        "visual": (np.hstack([group, rng.normal(size=(20, 2))]).astype(np.float32), items),
        "acoustic": (rng.normal(size=(20, 3)).astype(np.float32), items),
    }
    content = DatasetContent(
        "tiny", "planted", "checkerboard", "none", pd.concat(frames),
        splits={"train": frames[0], "test": frames[1]}, features=features,
        default_protocol="files",
    )  # fmt: skip
    write_dataset(content, root / "tiny")
    return root


@every_subject
def test_predict_is_full_sort_predict(name: str, tiny_config: MakeConfig) -> None:
    predict_is_full_sort_predict(SUBJECTS[name], tiny_config)


@every_subject
def test_scores_do_not_depend_on_the_batch(name: str, tiny_config: MakeConfig) -> None:
    batch_does_not_matter(SUBJECTS[name], tiny_config)


@every_subject
def test_save_and_load(name: str, tiny_config: MakeConfig, tmp_path: Path) -> None:
    saved_and_loaded_is_the_same(SUBJECTS[name], tiny_config, tmp_path)


@every_subject
def test_relabelling(name: str, tiny_config: MakeConfig, shuffled: Path) -> None:
    relabelling_permutes(SUBJECTS[name], tiny_config, shuffled)


@every_subject
def test_padding(name: str, tiny_config: MakeConfig) -> None:
    padding_is_nobody(SUBJECTS[name], tiny_config)


@those("uses_features")
def test_permuted_columns(name: str, tiny_config: MakeConfig) -> None:
    columns_may_be_permuted(SUBJECTS[name], tiny_config)


@those("ids_only")
def test_zero_features(name: str, tiny_config: MakeConfig) -> None:
    zero_features_are_ids_only(SUBJECTS[name], tiny_config)


@those("learns")
def test_gradients(name: str, tiny_config: MakeConfig) -> None:
    gradients_are_derivatives(SUBJECTS[name], tiny_config)


@pytest.mark.parametrize("name", FIT)
def test_checkerboard(name: str, tiny_config: MakeConfig, board: Path) -> None:
    subject = SUBJECTS[name]
    learns_a_checkerboard(subject, tiny_config, board, *FIT[name])
