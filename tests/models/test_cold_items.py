"""Items without training interactions: which models rank them by their features."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from support import TINY, MakeConfig
from zoo_support import build

from recbole_painvrl.data.dataset import ModalityDataset
from recbole_painvrl.data.folder import write_dataset
from recbole_painvrl.data.planted import generate_planted
from recbole_painvrl.data.splits.base import TRAIN
from recbole_painvrl.specs import project_models, specs
from recbole_painvrl.testing.laws import scores


def _with_a_cold_item(folder: Path, row: int) -> Path:
    """A data path whose first item has no training interaction, and features of item ``row``."""
    content = generate_planted(TINY, "tiny")
    pairs, items = content.interactions, content.features["visual"][1]
    held = pairs["item_id"] == items[0]
    # Interactions of items that training lacks are dropped; a test needs one other.
    held |= pairs.index == pairs.index[~held][0]
    features = {}
    for name, (matrix, tokens) in content.features.items():
        table = np.array(matrix)
        table[0] = table[row]
        features[name] = (table, tokens)
    splits = {"train": pairs[~held], "test": pairs[held]}
    changed = replace(content, features=features, splits=splits, default_protocol="files")
    write_dataset(replace(changed, truth=None), folder / "tiny")
    return folder


@pytest.mark.parametrize("name", project_models())
def test_cold_items_follow_their_features_where_the_table_says_so(
    name: str, tiny_config: MakeConfig, tmp_path: Path
) -> None:
    found = []
    for row in (1, 2):
        data = _with_a_cold_item(tmp_path / str(row), row)
        config = tiny_config(name, data=data)
        parts = ModalityDataset(config).build_parts()
        (cold,) = np.flatnonzero(parts[TRAIN].inter_matrix("csr").getnnz(axis=0) == 0)[1:]
        found.append(scores(build(config))[:, cold])
    assert torch.equal(*found) is not specs()[name].ranks_cold_items
