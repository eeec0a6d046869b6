"""Writes docs/tutorial.ipynb from docs/tutorial.md: ``python -m docs.make_notebook``."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

SOURCE = Path(__file__).parent / "tutorial.md"
NOTEBOOK = Path(__file__).parent / "tutorial.ipynb"
_FENCE = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


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


def notebook(page: str) -> str:
    """The notebook of a page, as JSON; commands become ``!`` lines."""
    cells = [_cell(number, block) for number, block in enumerate(blocks(page)) if block.text]
    content = {
        "cells": cells,
        "metadata": {
            "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
            "language_info": {"name": "python"},
        },
        "nbformat": 4,
        "nbformat_minor": 5,
    }
    return json.dumps(content, indent=1, ensure_ascii=False) + "\n"


def _cell(number: int, block: Block) -> dict[str, Any]:
    text = block.text
    if block.kind == "bash":
        text = "\n".join(f"!{line}" for line in text.splitlines())
    cell: dict[str, Any] = {
        "cell_type": "markdown" if block.kind == "markdown" else "code",
        "id": f"cell-{number}",
        "metadata": {},
        "source": text.splitlines(keepends=True),
    }
    if cell["cell_type"] == "code":
        cell |= {"execution_count": None, "outputs": []}
    return cell


if __name__ == "__main__":
    NOTEBOOK.write_text(notebook(SOURCE.read_text(encoding="utf-8")), encoding="utf-8")
