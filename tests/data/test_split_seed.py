"""The split follows ``split_seed``, whatever the protocol, the run's seed and its model."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support import MakeConfig

from recbole_painvrl.data.dataset import ModalityDataset
from recbole_painvrl.data.splits.shifts import time_split

SHORT = ("--split_epochs=1", "--split_rounds=1")
PROTOCOLS = {
    # Without a validation file a fraction of the training file is drawn.
    "files": {"train", "valid"},
    "popularity": {"train", "valid", "test", "ood_valid", "ood"},
    "iid_ood": {"train", "valid", "test", "ood_valid", "ood"},
}


@pytest.fixture
def data(tiny_data: Path, tmp_path: Path) -> Path:
    """The tiny dataset without a validation file, for a cache of its own."""
    copied = Path(shutil.copytree(tiny_data, tmp_path / "data"))
    (copied / "tiny" / "tiny.valid.inter").unlink(missing_ok=True)
    return copied


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_other_split_seeds_draw_other_splits(
    protocol: str, data: Path, tiny_config: MakeConfig
) -> None:
    def pairs(*seeds: str, model: str = "BPR") -> dict[str, set[tuple[int, int]]]:
        config = tiny_config(model, f"--protocol={protocol}", *SHORT, *seeds, data=data)
        tables = {
            name: part.inter_feat for name, part in ModalityDataset(config).build_parts().items()
        }
        return {
            name: set(zip(table["user_id"].tolist(), table["item_id"].tolist(), strict=True))
            for name, table in tables.items()
        }

    first = pairs("--split_seed=0", "--seed=1")
    assert first == pairs("--split_seed=0", "--seed=2", model="UltraGCN")
    other = pairs("--split_seed=1", "--seed=1")
    assert {name for name in first if first[name] != other[name]} == PROTOCOLS[protocol]


def test_every_protocol_has_a_stream_of_its_own(
    data: Path, tiny_config: MakeConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Written down, because another number would silently change everybody's splits."""
    seen: list[Any] = []
    original = np.random.default_rng

    def spy(seed: Any) -> np.random.Generator:
        seen.append(seed)
        return original(seed)

    monkeypatch.setattr(np.random, "default_rng", spy)
    for protocol in PROTOCOLS:
        config = tiny_config("BPR", f"--protocol={protocol}", *SHORT, "--split_seed=5", data=data)
        ModalityDataset(config).build_parts()
    pairs = np.repeat(np.arange(1, 11), 10), np.tile(np.arange(1, 11), 10)
    time_split(*pairs, np.arange(100.0), 0.2, 5)
    assert seen == [[5, 0], [5, 1], [5, 3], [5, 2]]
