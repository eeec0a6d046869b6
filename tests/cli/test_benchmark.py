"""The command as it is typed: one real run, and input that is wrong."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from support import result_of

from recbole_painvrl.__main__ import main


def test_a_real_run_its_table_and_the_second_time(
    tiny_data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["benchmark", "--dataset", "tiny", "--models", "Pop", "--seeds", "3,"]
    words += [f"--data_path={tiny_data}", "--use_gpu=False", "--output", "out"]
    assert main(words) == 0
    first = capsys.readouterr()
    assert "Pop-tiny-seed3-" in first.err and ": done in" in first.err and "| Pop |" in first.out
    (run,) = json.loads((tmp_path / "out" / "cells.json").read_text())["cells"]
    assert run["state"] == "done"
    result = result_of(tmp_path / "out" / run["folder"])
    assert (result["model"], result["seed"]) == ("Pop", 3)
    written = (tmp_path / "out" / "table.html").read_text()
    assert f"{result['metrics']['ood']['ndcg@10']:.4f}" in written
    assert main(words) == 0
    second = capsys.readouterr()
    assert "1 runs: 1 done" in second.err and "starts" not in second.err
    assert second.out == first.out


@pytest.mark.parametrize(
    ("typed", "said"),
    [
        ("benchmark --dataset=nowhere", "no folder"),
        ("benchmark --dataset=tiny --models=BPX", "unknown model"),
        ("benchmark --dataset=tiny --models=BPR --epoch=3", "did you mean"),
        ("benchmark --dataset=tiny --models=BPR --method=Pop", "--method"),
        ("ablate --dataset=tiny --what=loses", "--what"),
        ("ablate --dataset=tiny --mask_decay=much", "mask_decay"),
    ],
)
def test_wrong_input_is_one_line(
    tiny_data: Path, capsys: pytest.CaptureFixture[str], typed: str, said: str
) -> None:
    assert main([*typed.split(), f"--data_path={tiny_data}"]) == 2
    error = capsys.readouterr().err.strip()
    assert error.startswith("error: ") and "\n" not in error and said in error
