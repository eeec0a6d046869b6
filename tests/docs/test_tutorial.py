"""Every Python block can be pasted, the notebook runs, and it is the page with what it printed."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from support import run_command

from docs.make_notebook import NOTEBOOK, SETUP, SOURCE, blocks, cells, execute
from recbole_painvrl.data.folder import write_dataset
from recbole_painvrl.data.planted import PlantedDesign, generate_planted

ROOT = Path(__file__).resolve().parents[2]
PAGE = SOURCE.read_text(encoding="utf-8")
PAGES = sorted(path.relative_to(ROOT) for path in (*ROOT.glob("*.md"), *ROOT.glob("docs/*.md")))
# What Jupyter sets for its kernel, and so for every process that it starts.
INLINE = "module://matplotlib_inline.backend_inline"


def typed(lines: str, folder: Path) -> str:
    """What an interactive Python says of lines that are pasted into it."""
    done = subprocess.run(
        [sys.executable, "-iq"], input=lines, cwd=folder, capture_output=True, text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    return done.stderr


def python_blocks(page: Path) -> list[str]:
    text = (ROOT / page).read_text(encoding="utf-8")
    return [block.text for block in blocks(text) if block.kind == "python"]


def test_pages_with_python_are_known() -> None:
    assert {str(page) for page in PAGES if python_blocks(page)} == {
        "README.md",
        "docs/tutorial.md",
        "docs/your-own-model.md",  # run by tests/test_other_packages.py
    }


def test_the_tutorials_lines_can_be_typed(tmp_path: Path) -> None:
    (block,) = python_blocks(Path("docs/tutorial.md"))
    said = typed(f"{block}\n", tmp_path)
    assert "Error" not in said and "Traceback" not in said, said
    made = {path.name for path in tmp_path.iterdir()}
    assert made == {"ratings.csv", "items.txt", "visual.npy", "text.npy"}
    assert len(pd.read_csv(tmp_path / "ratings.csv")) == 120 * 25


def test_the_lines_of_the_readme_can_be_typed(tmp_path: Path) -> None:
    """On a small dataset of the same name."""
    design = PlantedDesign(n_users=40, n_items=60, min_interactions=10, max_interactions=12,
                           modalities={"visual": 4})  # fmt: skip
    write_dataset(generate_planted(design, "planted"), tmp_path / "dataset" / "planted")
    words = ["--model=VBPR", "--dataset=planted", "--epochs=1", "--output_dir=runs"]
    assert run_command(*words, name="vbpr").code == 0
    said = typed("\n\n".join([*python_blocks(Path("README.md")), "items.shape", ""]), tmp_path)
    # RecBole's log goes to stderr, too.
    assert "Traceback" not in said and not re.search(r"^\w*Error", said, re.MULTILINE), said


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[dict[str, Any]]]:
    """A folder in which all cells of the notebook ran, and the cells."""
    folder, notebook = tmp_path_factory.mktemp("checkout"), cells(PAGE)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MPLBACKEND", INLINE)
        execute(notebook, folder)
    return folder, notebook


def test_every_cell_runs_in_the_notebooks_folder(ran: tuple[Path, list[dict[str, Any]]]) -> None:
    """What the page promises, made by the commands of the page with the setup of the notebook."""
    folder, _ = ran
    result = json.loads((folder / "runs/first/result.json").read_text())
    assert set(result["metrics"]) == {"valid", "iid", "ood"}
    assert "PaInvRL" in (folder / "runs/table2/table.md").read_text()
    assert (folder / "runs/table2/significance.csv").is_file()
    assert (folder / "films.html").is_file()
    assert (folder / "runs/search/front.png").is_file()
    assert (folder / "runs/best/result.json").is_file()
    lists = pd.read_csv(folder / "recommendations.csv")
    assert lists.groupby("user_id").size().eq(5).all()
    assert lists["item_id"].str.startswith("film").all()
    seen = pd.read_csv(folder / "ratings.csv")
    both = lists.merge(seen, left_on=["user_id", "item_id"], right_on=["user", "item"])
    assert both.empty
    assert list((folder / "docs").iterdir()) == []


def test_the_notebook_is_the_page_with_what_it_printed(
    ran: tuple[Path, list[dict[str, Any]]],
) -> None:
    stored = json.loads(NOTEBOOK.read_text(encoding="utf-8"))["cells"]
    outputs = [cell.pop("outputs", []) for cell in stored]
    counts = [cell.pop("execution_count") for cell in stored if cell["cell_type"] == "code"]
    now = [cell.pop("outputs", []) for cell in ran[1]]
    for cell in ran[1]:
        cell.pop("execution_count", None)
    assert stored == ran[1], "run: python -m docs.make_notebook"
    assert counts == list(range(1, len(counts) + 1))
    # The same cells print; what they print has seconds and the machine in it.
    assert [bool(found) for found in outputs] == [bool(found) for found in now]
    text = json.dumps(outputs)
    assert "error" not in text.lower() and "Traceback" not in text
    for path in {str(ROOT), str(Path.home()), tempfile.gettempdir(), sys.prefix, "/home/"}:
        assert f"{path.rstrip('/')}/" not in text, path


def test_the_setup_stops_at_a_failure_and_outside_a_checkout(tmp_path: Path) -> None:
    def run(lines: str, folder: Path) -> subprocess.CompletedProcess[str]:
        program = f"{SETUP}\n{lines}\nprint('still here')\n"
        return subprocess.run(
            [sys.executable, "-"], input=program, cwd=folder, capture_output=True, text=True
        )

    sound = run("run('python -c \"import sys; print(sys.executable)\"')", ROOT / "docs")
    assert sound.stdout == f"{sys.executable}\nstill here\n"
    failed = run("run('python -m recbole_painvrl nonsense')", ROOT / "docs")
    assert failed.returncode == 1
    assert "unknown command `nonsense`" in failed.stdout and "still here" not in failed.stdout
    assert "exit code 2: python -m recbole_painvrl nonsense" in failed.stderr
    outside = run("", tmp_path)
    assert outside.returncode == 1
    assert "no checkout of recbole_painvrl" in outside.stderr
