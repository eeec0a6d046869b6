"""Every block of the tutorial runs, and the notebook is the same."""

from __future__ import annotations

import json
import shlex
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import pandas as pd
import pytest

from dataset_prep.__main__ import main as prepare
from docs.make_notebook import NOTEBOOK, SOURCE, blocks, notebook
from recbole_painvrl.__main__ import main as package
from recbole_painvrl.commands.run import main as run

PAGE = SOURCE.read_text(encoding="utf-8")
PROGRAMS: dict[tuple[str, ...], Callable[[Sequence[str]], int]] = {
    ("python", "run_recbole.py"): run,
    ("python", "-m", "recbole_painvrl"): package,
    ("python", "-m", "dataset_prep"): prepare,
}


def call(line: str) -> int:
    """Run a command of the page in this process."""
    words = shlex.split(line)
    for start, program in PROGRAMS.items():
        if tuple(words[: len(start)]) == start:
            return program(words[len(start) :])
    raise AssertionError(f"not a command of this project: {line}")


def test_every_block_runs(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for kind, text in blocks(PAGE):
        if kind == "python":
            subprocess.run([sys.executable, "-c", text], check=True, cwd=tmp_path)
        elif kind == "bash":
            for line in text.splitlines():
                assert call(line) == 0, (line, capsys.readouterr().err)
        else:
            assert kind == "markdown", kind
    capsys.readouterr()
    # What the page promises.
    result = json.loads((tmp_path / "runs/first/result.json").read_text())
    assert set(result["metrics"]) == {"valid", "iid", "ood"}
    assert "PaInvRL" in (tmp_path / "runs/table2/table.md").read_text()
    assert (tmp_path / "runs/table2/significance.csv").is_file()
    assert (tmp_path / "films.html").is_file()
    assert (tmp_path / "runs/search/front.png").is_file()
    assert (tmp_path / "runs/best/result.json").is_file()
    lists = pd.read_csv(tmp_path / "recommendations.csv")
    assert lists.groupby("user_id").size().eq(5).all()
    assert lists["item_id"].str.startswith("film").all()
    seen = pd.read_csv(tmp_path / "ratings.csv")
    both = lists.merge(seen, left_on=["user_id", "item_id"], right_on=["user", "item"])
    assert both.empty


def test_the_notebook_is_in_step() -> None:
    text = NOTEBOOK.read_text(encoding="utf-8")
    assert text == notebook(PAGE), "run: python -m docs.make_notebook"
    cells = json.loads(text)["cells"]
    code = [cell for cell in cells if cell["cell_type"] == "code"]
    assert len(code) == sum(kind != "markdown" for kind, _ in blocks(PAGE))
    assert all(cell["outputs"] == [] for cell in code)
