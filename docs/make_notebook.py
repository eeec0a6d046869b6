"""Writes docs/tutorial.ipynb from docs/tutorial.md, run: ``python -m docs.make_notebook``."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

SOURCE = Path(__file__).parent / "tutorial.md"
NOTEBOOK = Path(__file__).parent / "tutorial.ipynb"
ROOT = Path(__file__).resolve().parents[1]
_END = "--- end of a cell ---"
_FENCE = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)

# The first cell: every command of the page is run by the notebook's own Python in the checkout,
# and one that fails stops the notebook, which `!command` does not.
SETUP = '''\
import os
import shlex
import subprocess
import sys
from pathlib import Path


def run(command):
    """Run a command of the page with the Python of this notebook; stop where it fails."""
    words = [sys.executable, "-u", *shlex.split(command)[1:]]
    pipe = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
    with subprocess.Popen(words, **pipe) as process:
        for line in process.stdout:
            print(line, end="")
    if process.returncode:
        raise RuntimeError(f"exit code {process.returncode}: {command}")


here = Path.cwd()
checkouts = [folder for folder in (here, *here.parents) if (folder / "run_recbole.py").is_file()]
if not checkouts:
    raise FileNotFoundError(f"{here} is in no checkout of recbole_painvrl; open the notebook there")
os.chdir(checkouts[0])'''


class Block(NamedTuple):
    """A piece of the tutorial.

    Attributes:
        kind: ``markdown``, or the language of a code block.
        text: without fences.
    """

    kind: str
    text: str


def blocks(page: str) -> Iterator[Block]:
    """The pieces of a page, in order."""
    place = 0
    for match in _FENCE.finditer(page):
        yield Block("markdown", page[place : match.start()].strip())
        yield Block(match[1], match[2].strip())
        place = match.end()
    yield Block("markdown", page[place:].strip())


def cells(page: str) -> list[dict[str, Any]]:
    """The cells of a page without outputs; a command becomes a call of ``run``."""
    found = [block for block in blocks(page) if block.text]
    found.insert(1, Block("python", SETUP))
    return [_cell(index, block) for index, block in enumerate(found)]


def _cell(index: int, block: Block) -> dict[str, Any]:
    text = block.text
    if block.kind == "bash":
        text = "\n".join(f"run({json.dumps(line)})" for line in text.splitlines())
    cell: dict[str, Any] = {
        "cell_type": "markdown" if block.kind == "markdown" else "code",
        "id": f"cell-{index}",
        "metadata": {},
        "source": text.splitlines(keepends=True),
    }
    if cell["cell_type"] == "code":
        cell |= {"execution_count": None, "outputs": []}
    return cell


def with_outputs(page: str) -> str:
    """A page with what its blocks printed when the notebook was made, for the site."""
    stored = json.loads(NOTEBOOK.read_text(encoding="utf-8"))["cells"]
    printed = iter([cell["outputs"] for cell in stored if cell["cell_type"] == "code"][1:])

    def shown(match: re.Match[str]) -> str:
        text = "".join(line for output in next(printed) for line in output["text"]).strip("\n")
        return f"{match[0]}\n\n```text\n{text}\n```" if text else match[0]

    return _FENCE.sub(shown, page)


def execute(notebook: Sequence[dict[str, Any]], root: Path) -> None:
    """Run the code cells in ``root/docs`` and store what they print.

    Args:
        notebook: cells; their outputs are replaced.
        root: an empty folder, which becomes a checkout to run in.

    Raises:
        subprocess.CalledProcessError: a cell failed; those after it were not run.
    """
    for path in ROOT.iterdir():
        if path.suffix == ".py" or (path / "__init__.py").is_file() or path.name == "properties":
            (root / path.name).symlink_to(path)
    (root / "docs").mkdir()
    code = [cell for cell in notebook if cell["cell_type"] == "code"]
    program = "".join(f"{''.join(cell['source'])}\nprint({_END!r})\n" for cell in code)
    done = subprocess.run(
        [sys.executable, "-"], input=program, cwd=root / "docs", text=True, check=True,
        stdout=subprocess.PIPE,
    )  # fmt: skip
    # Nothing of the machine that made the notebook.
    printed = done.stdout.replace(f"{root}/", "").replace(str(root), ".")
    printed = printed.replace(tempfile.gettempdir(), "$TMPDIR")
    for count, (cell, text) in enumerate(zip(code, printed.split(f"{_END}\n"), strict=False), 1):
        stream = {"name": "stdout", "output_type": "stream"}
        cell["outputs"] = [{**stream, "text": text.splitlines(keepends=True)}] if text else []
        cell["execution_count"] = count


def notebook_json(notebook: Sequence[dict[str, Any]]) -> str:
    """The file of a notebook."""
    content = {
        "cells": notebook,
        "metadata": {
            "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
            "language_info": {"name": "python"},
        },
        "nbformat": 4,
        "nbformat_minor": 5,
    }
    return json.dumps(content, indent=1, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    made = cells(SOURCE.read_text(encoding="utf-8"))
    with tempfile.TemporaryDirectory() as folder:
        execute(made, Path(folder).resolve())
    NOTEBOOK.write_text(notebook_json(made), encoding="utf-8")
