"""RecBole on any stack holds what it holds on the one that it was written for."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import torch
from golden_state import CASES, PATH, state_hash, write_synthetic
from scipy.sparse import dok_matrix

from recbole_painvrl._compat import mend_libraries

GOLDEN = json.loads(PATH.read_text())


@pytest.fixture(scope="module")
def synthetic(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("golden")
    write_synthetic(root)
    return root


@pytest.mark.parametrize("name", CASES)
def test_the_state_of_recboles_dataset(name: str, synthetic: Path) -> None:
    """Blank cells, filters, normalisation, sequences and splits, to the last bit."""
    assert state_hash(CASES[name], synthetic) == GOLDEN[name]


def test_lengths_by_row_and_only_inside(synthetic: Path) -> None:
    """The method of pandas that RecBole relies on is pandas' own again afterwards."""
    before = pd.Series.agg
    state_hash(CASES["normalize one"], synthetic)
    assert pd.Series.agg is before
    assert pd.Series([1.0, 2.0]).agg("sum") == 3.0


def test_tensors_do_not_share_memory_with_tables(synthetic: Path) -> None:
    from recbole.config import Config
    from recbole.data import create_dataset

    settings = {"data_path": str(synthetic), "use_gpu": False, **CASES["ids alone"]}
    dataset = create_dataset(Config(model="BPR", dataset="syn", config_dict=settings))
    table = dataset.inter_feat
    interaction = dataset._dataframe_to_interaction(table)
    kept = table["user_id"].tolist()
    interaction["user_id"] += 1
    assert table["user_id"].tolist() == kept


def test_adjacency_matrices_can_be_filled() -> None:
    matrix = dok_matrix((2, 3))
    matrix._update({(0, 1): 1.0, (1, 2): 2.0})
    assert matrix.toarray().tolist() == [[0, 1, 0], [0, 0, 2]]


def test_mending_again_changes_nothing() -> None:
    from recbole.data.dataset import Dataset

    before = {name: getattr(Dataset, name) for name in ("_fill_nan", "_remap", "_load_feat")}
    mend_libraries()
    assert {name: getattr(Dataset, name) for name in before} == before


def test_equal_times_keep_their_order() -> None:
    """Which of two rows at one time is the last may not depend on the version of a sort."""
    from recbole.data.dataset import Dataset

    times = [5.0, 1.0, 3.0] * 1000
    rows = pd.DataFrame({"user_id": "u", "item_id": "i", "timestamp": times, "row": range(3000)})
    dataset: Any = Dataset.__new__(Dataset)
    dataset.config, dataset.inter_feat = {"rm_dup_inter": "last"}, rows
    dataset.uid_field, dataset.iid_field, dataset.time_field = "user_id", "item_id", "timestamp"
    dataset.logger = __import__("logging").getLogger("x")
    dataset._remove_duplication()
    assert dataset.inter_feat["row"].tolist() == [2997]
    assert torch.tensor(dataset.inter_feat["timestamp"].to_numpy(copy=True)).tolist() == [5.0]
