"""The jinja2 templates of pages and tables."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

import jinja2
from markupsafe import Markup, escape

from recbole_painvrl.evaluation.comparison import part_name
from recbole_painvrl.reading import is_number

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
_SPLITS = {
    "train": "training",
    "valid": "validation",
    "iid": "IID test",
    "ood": "OOD test",
    "ood_valid": "OOD validation",
}
_CAPITALS = ("ndcg", "mrr", "map", "auc", "gauc", "rmse", "mae")


def metric_name(metric: str) -> str:
    """``ndcg@10`` as ``NDCG@10``."""
    name, at, k = metric.partition("@")
    shown = {"ndcg_hits": "NDCG of hits", "logloss": "LogLoss"}.get(name, name.capitalize())
    return (name.upper() if name in _CAPITALS else shown) + at + k


def split_name(split: str) -> str:
    """``ood_valid`` as "OOD validation"."""
    return _SPLITS.get(split, split)


def turned(head: Sequence[object], rows: Sequence[Sequence[object]]) -> list[list[object]]:
    """A table with its rows as columns, the head first."""
    return [list(column) for column in zip(head, *rows, strict=True)]


_TEMPLATES.globals["turned"] = turned
_TEMPLATES.tests["is_command"] = lambda line: line.startswith("next: ")
_TEMPLATES.filters |= {
    # Names of settings have no spaces at which a browser could begin a new line.
    "breakable": lambda text: Markup(str(escape(text)).replace("_", "_<wbr>")),
    "one_line": lambda text: " ".join(text.split()),
    "latex": lambda text: text.translate(str.maketrans(_LATEX)),
    "markdown": lambda text: re.sub(r"([\\|*_`<\[\]])", r"\\\1", text),
    "test_set": part_name,
    "split_name": split_name,
    "metric": metric_name,
    # Metrics in sentences that the terminal prints with the names of the results.
    "named": lambda text: re.sub(r"\b[a-z_]+@\d+", lambda found: metric_name(found[0]), text),
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


def number_or_dash(value: Any, form: str) -> str:
    """A number in a format such as ``.4f``; a dash for anything else."""
    return format(value, form) if is_number(value) else "–"


def address(target: Path, page: Path) -> str:
    """A relative link from a page to a file or folder."""
    path = os.path.relpath(target.resolve(), page.resolve().parent)
    # `./` keeps a name such as `javascript:...` from being read as a scheme.
    return "./" + quote(Path(path).as_posix()) + ("/" if target.is_dir() else "")
