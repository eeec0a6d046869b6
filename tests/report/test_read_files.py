"""What is read from the files of one run folder, and what is refused as damaged."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import yaml

from recbole_painvrl.errors import UserError
from recbole_painvrl.report.read import Result, read_run

IDS = {"test_set": ["ood", "ood"], "user_id": ["a", "b"]}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """An incomplete run."""
    (tmp_path / "config.yaml").write_text("seed: {value: 3, from: command line}\n")
    return tmp_path


@pytest.mark.parametrize(
    ("columns", "fault"),
    [
        ({**IDS, "ndcg@10": ["0.5", "0.25"]}, "`ndcg@10` is not numeric"),
        ({**IDS, "recall@10": [0.5, 1.0], "ndcg@10": [None, "x"]}, "`ndcg@10` is not numeric"),
        ({"test_set": ["ood"], "ndcg@10": [0.5]}, "no column `user_id`"),
        ({"user_id": ["a"], "ndcg@10": [0.5]}, "no column `test_set`"),
        ({"ndcg@10": np.zeros(0)}, "no column `test_set`"),
    ],
)
def test_values_per_user_are_numbers_by_test_and_user(
    columns: dict[str, Any], fault: str, folder: Path
) -> None:
    pd.DataFrame(columns).to_parquet(folder / "per_user.parquet", index=False)
    with pytest.raises(UserError, match=rf"per_user\.parquet: damaged .*{fault}"):
        read_run(folder)


@pytest.mark.parametrize("columns", [{}, {"test_set": [], "user_id": []}])
def test_a_table_without_metrics_is_none(columns: dict[str, Any], folder: Path) -> None:
    pd.DataFrame(columns).to_parquet(folder / "per_user.parquet", index=False)
    assert read_run(folder).per_user is None


def test_every_setting_has_a_value_and_an_origin(folder: Path) -> None:
    assert read_run(folder).value("seed") == 3
    for entry in ({"value": 5}, {"from": "default"}):
        settings = {"seed": {"value": 3, "from": "command line"}, "topk": entry}
        (folder / "config.yaml").write_text(yaml.safe_dump(settings))
        with pytest.raises(UserError, match=r"config\.yaml: damaged .*`value` and `from`"):
            read_run(folder)


def test_the_last_line_of_a_long_log(folder: Path) -> None:
    """Logs may be larger than the part that is read, and may end in the middle of nothing."""
    lines = [f"2026 INFO epoch {number}: loss 1" for number in range(9000)]
    (folder / "train.log").write_text("\n".join(lines) + "\n\n")
    assert read_run(folder).last_line == lines[-1]
    (folder / "train.log").write_text("\n")
    assert read_run(folder).last_line == ""


@pytest.mark.parametrize(
    ("shift", "n_compared"),
    [({}, -1), ({"modalities": {}}, 0), ({"modalities": {"visual": 1, "textual": 2}}, 2)],
)
def test_a_shift_that_was_not_measured_counts_less_than_one_in_no_modality(
    shift: dict[str, Any], n_compared: int
) -> None:
    """A block is described by the run that knows most."""
    result = Result(model="A", dataset="d", protocol="p", seed=0, metrics={}, shift=shift)
    assert result.n_compared == n_compared
