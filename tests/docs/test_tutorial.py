"""Every Python block can be pasted, the notebook runs, and it is the page with what it printed."""

from __future__ import annotations

import code
import io
import json
import re
import shlex
import subprocess
import sys
import tempfile
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from forks import forked
from pages import page_commands
from support import PAGES, planted_data, replaced, run_command

from docs.make_notebook import NOTEBOOK, SETUP, SOURCE, blocks, cells, execute

ROOT = Path(__file__).resolve().parents[2]
TUTORIAL = SOURCE.read_text(encoding="utf-8")
STAGES = ("backbone_epochs=1", "environment_rounds=2", "environment_restarts=1", "mask_epochs=1")
# What makes the commands of the README short.
SHORT = {
    "run_recbole": [f"--{setting}" for setting in (*STAGES, "epochs=1")],
    "benchmark": ["--seeds=2", "--epochs=1", *(f"--set=PaInvRL.{one}" for one in STAGES)],
}
ALL_PAGES = sorted(path.relative_to(ROOT) for path in (*ROOT.glob("*.md"), *ROOT.glob("docs/*.md")))


def typed(lines: str, folder: Path) -> str:
    """What an interactive Python says of lines that are pasted into it, in a process of its own."""

    def session() -> int:
        console = code.InteractiveConsole()
        return sum(console.push(line) for line in [*lines.splitlines(), ""])

    return forked(session, folder).stderr


def python_blocks(page: Path) -> list[str]:
    text = (ROOT / page).read_text(encoding="utf-8")
    return [block.text for block in blocks(text) if block.kind == "python"]


def test_pages_with_python_are_known() -> None:
    assert {str(page) for page in ALL_PAGES if python_blocks(page)} == {
        "README.md",
        "docs/tutorial.md",
        "docs/usage.md",
        "docs/your-own-model.md",  # run by tests/test_other_packages.py
    }


def test_the_tutorials_lines_can_be_typed(tmp_path: Path) -> None:
    (block,) = python_blocks(Path("docs/tutorial.md"))
    said = typed(block, tmp_path)
    assert "Error" not in said and "Traceback" not in said, said
    made = {path.name for path in tmp_path.iterdir()}
    assert made == {"ratings.csv", "items.txt", "visual.npy", "text.npy"}
    assert len(pd.read_csv(tmp_path / "ratings.csv")) == 120 * 25


@pytest.fixture
def planted(tmp_path: Path) -> Path:
    """A folder with a small dataset of the name that the pages use."""
    return planted_data(PAGES, tmp_path / "dataset", "planted").parent


def test_the_lines_of_the_usage_page_can_be_typed(planted: Path) -> None:
    words = ["--model=VBPR", "--dataset=planted", "--epochs=1", "--output_dir=runs"]
    assert run_command(*words, name="vbpr").code == 0
    said = typed("\n\n".join([*python_blocks(Path("docs/usage.md")), "items.shape"]), planted)
    # RecBole's log goes to stderr, too.
    assert "Traceback" not in said and not re.search(r"^\w*Error", said, re.MULTILINE), said


def test_the_lines_of_the_readme_run(planted: Path) -> None:
    """The commands, with short stages, and the Python lines, which print what the page shows."""
    page = list(blocks((ROOT / "README.md").read_text(encoding="utf-8")))
    (shell,) = (b.text for b in page if b.kind == "bash" and "\n" in b.text)
    with page_commands(planted) as run, redirect_stdout(io.StringIO()):
        for line in shell.splitlines():
            options = [one for name, words in SHORT.items() if name in line for one in words]
            run(shlex.join(replaced(shlex.split(line), options)))
    assert (planted / "first.html").is_file() and (planted / "lists.csv").is_file()
    assert list(planted.glob("runs/*/table.md"))
    at = next(i for i, block in enumerate(page) if block.kind == "python")
    shown = page[at + 2].text
    done = forked(lambda: exec(page[at].text, {}) or 0, planted)
    # Other data than on the page, hence other numbers.
    assert re.sub(r"[\d.]+", "0", done.stdout.strip()) == re.sub(r"[\d.]+", "0", shown)


Ran = tuple[Path, list[str]]


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory) -> Ran:
    """A folder in which all cells of the notebook but the setup ran, and what each printed."""
    folder, printed = tmp_path_factory.mktemp("checkout"), []
    with page_commands(folder) as run:
        for cell in cells(TUTORIAL):
            text = "".join(cell["source"])
            if cell["cell_type"] == "code":
                with redirect_stdout(io.StringIO()) as out:
                    exec("" if text == SETUP else text, {"run": run})
                printed.append(out.getvalue())
    return folder, printed


def test_every_cell_runs(ran: Ran) -> None:
    """What the page promises, made by the commands of the page."""
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


def test_the_notebook_is_the_page_with_what_it_printed(ran: Ran) -> None:
    stored = json.loads(NOTEBOOK.read_text(encoding="utf-8"))["cells"]
    made = cells(TUTORIAL)
    code_cells = [cell for cell in stored if cell["cell_type"] == "code"]
    outputs = [cell["outputs"] for cell in code_cells]
    assert [cell["execution_count"] for cell in code_cells] == list(range(1, len(outputs) + 1))
    for cell in [*stored, *made]:
        cell.pop("outputs", None), cell.pop("execution_count", None)
    assert stored == made, "run: python -m docs.make_notebook"
    # The same cells print; what they print has seconds and the machine in it.
    assert [bool(found) for found in outputs] == [bool(found) for found in ran[1]]
    text = json.dumps(outputs)
    assert "error" not in text.lower() and "Traceback" not in text
    for path in {str(ROOT), str(Path.home()), tempfile.gettempdir(), sys.prefix, "/home/"}:
        assert f"{path.rstrip('/')}/" not in text, path


def test_a_notebook_is_executed(tmp_path: Path) -> None:
    page = "# Six times seven\n```python\nprint(6 * 7)\n```\n"
    page += "```bash\npython -m dataset_prep --help\n```\n"
    notebook: list[dict[str, Any]] = cells(page)
    execute(notebook, tmp_path)
    setup, number, usage = (cell["outputs"] for cell in notebook[1:])
    assert not setup and number[0]["text"] == ["42\n"]
    assert "dataset_prep" in "".join(usage[0]["text"])


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
