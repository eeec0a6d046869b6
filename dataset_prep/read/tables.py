"""Text tables: separator, encoding, header and columns are found from the first lines."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from dataset_prep.read.files import bar, open_lines, text_sample
from dataset_prep.read.rows import Rows, find_separator, is_number, split_any
from dataset_prep.report import Report
from recbole_painvrl.errors import UserError

ROWS_PER_CHUNK = 500_000
_HEAD = 50

# In order of preference: `timestamp` before `date`.
_NAMES = {
    "user": "user userid uid userno useridx userindex reviewerid reviewer customerid customer "
    "memberid visitorid accountid playerid profileid listenerid buyerid "
    "reviewprofilename profilename username u",
    "item": "item itemid iid itemno itemidx itemindex items itemids itemlist movieid filmid "
    "parentasin asin isbn bookid photoid videoid pid productid businessid artistid animeid songid "
    "trackid newsid gameid recipeid beerid beerbeerid appid articleid jokeid courseid paperid "
    "poiid venueid placeid hotelid goodid goodsid skuid adid docid urlid streamerid movie book "
    "song artist product orgid i",
    "rating": "rating ratings bookrating userrating reviewrating reviewoverall score reviewscore "
    "stars overall label click isclick clicked isclicked like islike liked finish isfinish "
    "finished watchratio interaction implicit feedback preference weight playcount plays "
    "playcounts listencount listeningcount count longview",
    "time": "timestamp unixtimestamp unixtime unixreviewtime timestampms timems ts time datetime "
    "createdat reviewtime eventtime date reviewdate createtime dateadded timestamps times dates",
    "part": "xlabel split part fold",
    "title": "title movietitle booktitle itemtitle producttitle videotitle titleen name itemname "
    "movietitlename productname artistname moviename bookname titlename",
}
ALIASES: Mapping[str, frozenset[str]] = {
    role: frozenset(names.split()) for role, names in _NAMES.items()
}
_KNOWN = frozenset().union(*ALIASES.values())


@dataclass(frozen=True)
class Layout:
    """Layout of a text table, and its first rows; without a header its names are 0, 1, ..."""

    path: Path
    separator: str
    names: tuple[str, ...]
    has_header: bool
    encoding: str
    sample: tuple[tuple[str, ...], ...]
    end: str


def simple(name: str) -> str:
    """Column name without case, type suffix, spaces and punctuation."""
    return "".join(c for c in name.partition(":")[0].lower() if c.isalnum())


def find_role(names: Sequence[str], role: str) -> str | None:
    """The column with a usual name of a role (user, item, rating, time, part, title)."""
    known = {simple(name): name for name in reversed(names)}
    return next((known[alias] for alias in _NAMES[role].split() if alias in known), None)


def sniff(
    path: Path,
    columns: Sequence[str] | None = None,
    encoding: str = "utf-8-sig",
    expected: Collection[str] = (),
    separator: str | None = None,
) -> Layout:
    """Layout of a text file, also ``.gz``, from its first lines.

    ``columns`` are names for a file without a header, ``expected`` names that identify the first
    line as one. A byte order mark takes precedence over ``encoding``; without ``separator`` it is
    detected.
    """
    sample = text_sample(path, encoding)
    lines = [line for line in sample.lines if line.strip()]
    if separator is None:
        head = [line.rstrip("\r\n") for line in lines[:_HEAD]]
        separator = find_separator(head, len(columns) if columns else None)
    rows = [split_any(line.rstrip("\r\n"), separator) for line in lines]
    first = {cell.strip() for cell in rows[0]}
    has_header = bool(set(expected) & first) or _looks_like_header(rows, columns)
    names = _names(path, rows, columns, has_header)
    body = lines[1:] if has_header else lines
    table = Rows(body, separator, len(names))
    fitting = tuple(tuple(row) for _, block in table for row in block)
    fitting = fitting or tuple(map(tuple, rows[has_header:]))
    return Layout(path, separator, names, has_header, sample.encoding, fitting, sample.end)


def chunks(
    layout: Layout,
    columns: Sequence[str],
    report: Report,
    rows: int = ROWS_PER_CHUNK,
    closed: Sequence[str] = (),
) -> Iterator[pd.DataFrame]:
    """Columns of a table as text, at most about ``rows`` rows at a time.

    At least one frame is yielded, possibly empty; its index holds the line numbers. Malformed lines
    are reported after the last frame; a quote mark that is opened and not closed in one of the
    ``closed`` columns makes a line malformed.
    """
    path = layout.path
    indices = [layout.names.index(column) for column in columns]
    with (
        open_lines(path, layout.encoding, layout.end) as lines,
        bar(path.stat().st_size, path.name) as progress,
    ):
        strict = [layout.names.index(column) for column in closed]
        table = Rows(lines, layout.separator, len(layout.names), strict)
        numbers: list[int] = []
        cells: list[list[str]] = [[] for _ in columns]
        skip, empty = int(layout.has_header), True
        for found, block in table:
            numbers += found[skip:]
            for column, index in zip(cells, indices, strict=True):
                column += [row[index] for row in block[skip:]]
            skip = 0
            if len(numbers) >= rows:
                progress.update(progress.total * len(numbers) // max(table.n_lines, 1))
                yield _frame(columns, numbers, cells)
                numbers, cells, empty = [], [[] for _ in columns], False
        if numbers or empty:
            yield _frame(columns, numbers, cells)
    if table.malformed:
        report.found(path.name, table.finding(), table.malformed, "drop-rows")
    if not table.ended:
        report.note(f"{path.name}: has no end of line at its end; make sure that it is complete")


def _frame(columns: Sequence[str], numbers: list[int], cells: list[list[str]]) -> pd.DataFrame:
    arrays = (np.array(column, dtype=object) for column in cells)
    found = dict(zip(columns, arrays, strict=True))
    return pd.DataFrame(found, index=pd.Index(numbers), copy=False)


def _names(
    path: Path, rows: Sequence[Sequence[str]], columns: Sequence[str] | None, has_header: bool
) -> tuple[str, ...]:
    """Names of the columns; each must occur once."""
    if has_header:
        names = tuple(cell.strip() for cell in rows[0])
        width, below = len(names), rows[1:]
        # A separator at the end of every line does not make a column.
        while width > 1 and not (names[width - 1] or any("".join(r[width - 1 :]) for r in below)):
            width -= 1
        names = names[:width]
    else:
        width = Counter(map(len, rows)).most_common(1)[0][0]
        names = tuple(columns or map(str, range(width)))
        if columns and len(columns) != width:
            raise UserError(
                f"{path}: has {width} columns where --columns names {len(columns)}; name each one"
            )
    twice = next((name for name, times in Counter(names).items() if times > 1), None)
    if twice is not None:
        raise UserError(f"{path}: two columns are called {twice!r}; rename one")
    return names


def _looks_like_header(rows: Sequence[Sequence[str]], columns: Sequence[str] | None) -> bool:
    """Whether the first row holds usual or given column names, or is text above numbers."""
    first = [cell.strip() for cell in rows[0]]
    if columns:
        return {simple(c) for c in first} >= {simple(c) for c in columns}
    if any(is_number(cell) and cell for cell in first):
        return False
    below = rows[1] if len(rows) > 1 else ()
    return any(simple(cell) in _KNOWN for cell in first) or any(map(is_number, below))
