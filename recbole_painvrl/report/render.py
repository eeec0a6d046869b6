"""Templates write every page and table; what enters them is plain data."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path
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
    "one_line": lambda text: " ".join(text.split()),
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


def render(template: str, **context: object) -> str:
    """A template of the package with these values, which are escaped in HTML."""
    return _TEMPLATES.get_template(template).render(**context)


def address(target: Path, page: Path) -> str:
    """A relative link from a page to a file or folder."""
    path = os.path.relpath(target.resolve(), page.resolve().parent)
    # `./` keeps a name such as `javascript:...` from being read as a scheme.
    return "./" + quote(Path(path).as_posix()) + ("/" if target.is_dir() else "")
