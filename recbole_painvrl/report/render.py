"""The jinja2 templates of pages and tables."""

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
    # Names of models, datasets, metrics and folders may come from untrusted files.
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
    """A cell of a table with a link, a tooltip or a mark.

    Attributes:
        text: its text.
        href: address of its link.
        title: its tooltip.
        mark: ``best``, ``second`` or empty.
        small: text that follows in small letters.
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
        alt: description for readers who cannot see it.
        view_box: its size.
        body: markup written by matplotlib.
    """

    alt: str
    view_box: str
    body: str


def render(template: str, **context: object) -> str:
    """A template of this package, filled with values that are escaped in HTML."""
    return _TEMPLATES.get_template(template).render(**context)


def address(target: Path, page: Path) -> str:
    """A relative link from a page to a file or folder."""
    path = os.path.relpath(target.resolve(), page.resolve().parent)
    # `./` keeps a name such as `javascript:...` from being read as a scheme.
    return "./" + quote(Path(path).as_posix()) + ("/" if target.is_dir() else "")
