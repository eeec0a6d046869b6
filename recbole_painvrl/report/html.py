"""Small pieces of HTML; every text that enters is escaped here."""

from __future__ import annotations

import html
import os
import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from urllib.parse import quote


class Markup(str):
    """HTML that is safe already; any other string is escaped."""

    __slots__ = ()


def text(value: object) -> Markup:
    """Escape anything that is not :class:`Markup`."""
    return value if isinstance(value, Markup) else Markup(html.escape(str(value), quote=True))


def join(parts: Iterable[object], separator: str = "") -> Markup:
    """Concatenate, escaping what is not markup."""
    return Markup(separator.join(text(part) for part in parts))


def tag(name: str, content: object, **attributes: str) -> Markup:
    """One element; ``class_`` stands for ``class``, and ``data_x`` for ``data-x``."""
    pairs = "".join(
        f' {key.rstrip("_").replace("_", "-")}="{html.escape(value, quote=True)}"'
        for key, value in attributes.items()
    )
    return Markup(f"<{name}{pairs}>{text(content)}</{name}>")


def link(target: Path, page: Path, content: object, title: str = "") -> Markup:
    """A relative link from the page to a file or folder."""
    path = os.path.relpath(target.resolve(), page.resolve().parent)
    # `./` keeps a name such as `javascript:...` from being read as a scheme.
    address = "./" + quote(Path(path).as_posix()) + ("/" if target.is_dir() else "")
    return tag("a", content, href=address, **({"title": title} if title else {}))


def table(
    caption: object,
    head: Sequence[object],
    rows: Iterable[Sequence[object]],
    numbers: bool = True,
) -> Markup:
    """A table that scrolls inside its own box; the first cell of a row is its header.

    Args:
        caption: what the table shows.
        head: names of the columns.
        rows: cells.
        numbers: whether the other cells are figures, aligned to the right.
    """
    header = join(tag("th", cell, scope="col") for cell in head)
    body = join(
        tag("tr", join([tag("th", row[0], scope="row"), *(tag("td", c) for c in row[1:])]))
        for row in rows
    )
    inner = join([
        tag("caption", tag("span", caption)), tag("thead", tag("tr", header)), tag("tbody", body),
    ])  # fmt: skip
    whole = tag("table", inner, **({"class_": "numbers"} if numbers else {}))
    # A box that scrolls must be reachable by keyboard.
    label = re.sub(r"<[^>]+>", "", text(caption))
    return Markup(
        f'<div class="scroll" tabindex="0" role="region" aria-label="{label}">{whole}</div>'
    )


def details(summary: object, content: object) -> Markup:
    """Content that opens on demand."""
    return tag("details", join([tag("summary", summary), text(content)]))


def section(title: object, content: object, anchor: str, level: int = 2) -> Markup:
    """A titled section."""
    return tag("section", join([tag(f"h{level}", title), text(content)]), id=anchor)


def with_code(words: str) -> Markup:
    """Text in which `backticks` mark code."""
    parts = words.split("`")
    # An even number of backticks makes an odd number of parts; anything else is plain text.
    if len(parts) % 2 == 0:
        return text(words)
    return join(tag("code", part) if odd % 2 else part for odd, part in enumerate(parts))


def items(entries: Iterable[object]) -> Markup:
    """A list."""
    return tag(
        "ul", join(tag("li", with_code(e) if type(e) is str else e) for e in entries)
    )  # fmt: skip


def paragraph(content: object, class_: str = "") -> Markup:
    """A paragraph."""
    return tag("p", content, **({"class_": class_} if class_ else {}))
