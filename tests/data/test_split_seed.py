"""The split follows ``split_seed``, whatever the protocol, and not the run's seed."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from support import MakeConfig

from recbole_painvrl.data.dataset import ModalityDataset

SHORT = ("--split_epochs=1", "--split_rounds=1")
PROTOCOLS = {
    # Without a validation file a fraction of the training file is drawn.
    "files": {"train", "valid"},
    "popularity": {"train", "valid", "test", "ood_valid", "ood"},
    "iid_ood": {"train", "valid", "test", "ood_valid", "ood"},
}


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_other_split_seeds_draw_other_splits(
    protocol: str, tiny_data: Path, tiny_config: MakeConfig, tmp_path: Path
) -> None:
    data = Path(shutil.copytree(tiny_data, tmp_path / "data"))
    (data / "tiny" / "tiny.valid.inter").unlink(missing_ok=True)

    def parts(*seeds: str) -> dict[str, set[tuple[int, int]]]:
        config = tiny_config("BPR", f"--protocol={protocol}", *SHORT, *seeds, data=data)
        found = ModalityDataset(config).build_parts()
        return {
            name: set(
                zip(part.inter_feat["user_id"].tolist(), part.inter_feat["item_id"].tolist(),
                    strict=True)
            )
            for name, part in found.items()
        }  # fmt: skip

    first = parts("--split_seed=0", "--seed=1")
    assert first == parts("--split_seed=0", "--seed=2")
    other = parts("--split_seed=1", "--seed=1")
    assert {name for name in first if first[name] != other[name]} == PROTOCOLS[protocol]
