"""What a page is made of: plain data, which the templates write as HTML."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar
from urllib.parse import quote

import jinja2

from recbole_painvrl.evaluation.comparison import part_name

_TEMPLATES = jinja2.Environment(
    loader=jinja2.PackageLoader("recbole_painvrl.report"),
    # Names of models, data sets, metrics and folders come from files of other people.
    autoescape=jinja2.select_autoescape(["html"]),
    undefined=jinja2.StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
    keep_trailing_newline=True,
)

_LATEX = {
    **{character: f"\\{character}" for character in "&%$#_{}"},
    "\\": "\\textbackslash{}",
    "|": "\\textbar{}",
    "<": "\\textless{}",
    ">": "\\textgreater{}",
    "^": "\\textasciicircum{}",
    "~": "\\textasciitilde{}",
}
_TEMPLATES.filters |= {
    "latex": lambda text: text.translate(str.maketrans(_LATEX)),
    "markdown": lambda text: re.sub(r"([\\|*_`<\[\]])", r"\\\1", text),
    "test_set": part_name,
}


@dataclass(frozen=True)
class Cell:
    """A cell of a table that is more than text.

    Attributes:
        text: what it says.
        href: where it leads.
        title: what a pointer over it shows.
        mark: ``best``, ``second`` or nothing.
        small: what follows in small letters.
    """

    text: str
    href: str = ""
    title: str = ""
    mark: str = ""
    small: str = ""


@dataclass(frozen=True)
class PageTable:
    """A table; the first cell of a row is its header.

    Attributes:
        caption: what it shows.
        head: names of the columns.
        rows: cells.
        numbers: whether the other cells are numbers, aligned to the right.
        folded: words that open it on demand; empty for a table that is always shown.
    """

    kind: ClassVar = "table"
    caption: str
    head: Sequence[str | Cell]
    rows: Sequence[Sequence[str | Cell]]
    numbers: bool = True
    folded: str = ""


@dataclass(frozen=True)
class Text:
    """A paragraph, or a note in small letters."""

    kind: ClassVar = "text"
    words: str
    note: bool = False


@dataclass(frozen=True)
class Bullets:
    """A list, perhaps with a heading; `backticks` mark code."""

    kind: ClassVar = "bullets"
    entries: Sequence[str]
    title: str = ""


@dataclass(frozen=True)
class Drawing:
    """A figure as the body of an SVG element.

    Attributes:
        alt: what it shows, in words.
        view_box: its size.
        body: markup that matplotlib has written.
    """

    alt: str
    view_box: str
    body: str


@dataclass(frozen=True)
class Figure:
    """A row of drawings with one caption."""

    kind: ClassVar = "figure"
    drawings: Sequence[Drawing]
    caption: str


@dataclass(frozen=True)
class Run:
    """One run: a link to its folder, how it was made, and tables about it."""

    folder: Cell
    facts: str
    command: str
    tables: Sequence[PageTable]


@dataclass(frozen=True)
class Runs:
    """The runs of one column, under an anchor."""

    kind: ClassVar = "runs"
    title: str
    anchor: str
    runs: Sequence[Run]


Part = PageTable | Text | Bullets | Figure | Runs


@dataclass(frozen=True)
class Section:
    """A titled section under an anchor."""

    anchor: str
    title: str
    parts: Sequence[Part]


def render(template: str, **context: object) -> str:
    """A template of the package with these values, which are escaped in HTML."""
    return _TEMPLATES.get_template(template).render(**context)


def address(target: Path, page: Path) -> str:
    """A relative link from a page to a file or folder."""
    path = os.path.relpath(target.resolve(), page.resolve().parent)
    # `./` keeps a name such as `javascript:...` from being read as a scheme.
    return "./" + quote(Path(path).as_posix()) + ("/" if target.is_dir() else "")
