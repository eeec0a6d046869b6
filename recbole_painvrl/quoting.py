"""Lines and quote marks of text tables: which files are quoted, and which hold plain marks."""

from __future__ import annotations

import csv
import re
from collections.abc import Iterable, Iterator
from functools import lru_cache

# A quoted cell of more lines than this is an opening mark that nothing closes.
_MOST_LINES = 1000


def text_lines(stream: Iterable[str]) -> Iterator[str]:
    r"""Lines of a text without their ends; only ``\n`` and ``\r\n`` end a line.

    ``str.splitlines`` also breaks at form feeds and at Unicode's line separators, which occur
    inside ids and titles.

    Args:
        stream: a text file opened with ``newline="\n"``.
    """
    for line in stream:
        yield line.removesuffix("\n").removesuffix("\r")


def is_quoted(lines: Iterable[str], separator: str) -> bool | None:
    """Whether the quote marks of a table enclose cells (RFC 4180) or are characters of the text.

    Tab-separated tables are mostly published without quoting: a name such as ``"Heroes`` would
    then swallow the lines that follow. A table counts as quoted if every mark encloses a whole
    cell, marks inside a cell are doubled, and every row then has as many cells as the header. It
    counts as unquoted if a line break inside marks joins lines that are complete rows on their own.

    Args:
        lines: lines of the table, header first; see :func:`text_lines`.
        separator: between the cells of a line.

    Returns:
        None where there is no mark.
    """
    complete, unclosed = _patterns(separator)
    n_cells, quoted = 0, None
    rows = iter(lines)
    for line in rows:
        if '"' not in line:
            n_cells = n_cells or line.count(separator) + 1
            continue
        record, n_lines, whole = line, 1, line.count(separator) == n_cells - 1
        while not complete.fullmatch(record):
            following = next(rows, None)
            if following is None or n_lines == _MOST_LINES or not unclosed.fullmatch(record):
                return False
            whole = whole and following.count(separator) == n_cells - 1
            if whole:
                return False
            record, n_lines = f"{record}\n{following}", n_lines + 1
        n_found = len(next(split_rows([record], separator, quoted=True)))
        n_cells = n_cells or n_found
        if n_found != n_cells:
            return False
        quoted = True
    return quoted


def split_rows(lines: Iterable[str], separator: str, quoted: bool | None) -> Iterator[list[str]]:
    """Cells of every line that is not blank; of a quoted table without their marks."""
    if not quoted:
        yield from (line.split(separator) for line in lines if line.strip("\r "))
    elif len(separator) == 1:
        ended = (f"{line}\n" for line in lines)
        yield from (row for row in csv.reader(ended, delimiter=separator) if row)
    else:
        # The csv module knows separators of one character only; NUL occurs in no text.
        ended = (line.replace(separator, "\0") + "\n" for line in lines)
        for row in csv.reader(ended, delimiter="\0"):
            yield [cell.replace("\0", separator) for cell in row]


@lru_cache(maxsize=8)
def _patterns(separator: str) -> tuple[re.Pattern[str], re.Pattern[str]]:
    """A record whose quoted cells are all closed, and one that ends within a quoted cell."""
    between = re.escape(separator)
    enclosed = r'"(?:[^"]|"")*+"'
    plain = rf'(?:(?!{between})[^"])*+'
    cell = rf"(?:{enclosed}|{plain})"
    return (
        re.compile(rf"{cell}(?:{between}{cell})*+"),
        re.compile(rf'(?:{cell}{between})*+"(?:[^"]|"")*+'),
    )
