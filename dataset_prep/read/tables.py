"""Delimited text as people have it: any separator, BOM, CRLF, quotes, with or without a header."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd

from dataset_prep.read.files import ENCODING_ADVICE, bar, open_lines, text_sample
from dataset_prep.read.rows import (
    Evidence,
    Rows,
    find_evidence,
    find_separator,
    is_number,
    split_any,
)
from dataset_prep.report import Report
from recbole_painvrl.data.folder import MISSING_TOKENS
from recbole_painvrl.errors import UserError

ROWS_PER_CHUNK = 500_000
_HEAD = 50

# In the order in which they are looked for: `timestamp` says more than `date`.
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
    """How a text file is laid out; ``names`` are its columns, made up as 0, 1, ... if need be.

    ``sample`` holds the first rows of data. ``evidence`` tells rows from lines inside quoted
    cells, and ``advice`` says what to do about bytes of another encoding.
    """

    path: Path
    separator: str
    names: tuple[str, ...]
    has_header: bool
    encoding: str
    sample: tuple[tuple[str, ...], ...]
    end: str
    evidence: Evidence
    advice: str


def simple(name: str) -> str:
    """Column name without case, type suffix, spaces and punctuation."""
    return "".join(c for c in name.partition(":")[0].lower() if c.isalnum())


def find_role(names: Sequence[str], role: str) -> str | None:
    """The column that plays a role (user, item, rating, time, part, title) by its name."""
    known = {simple(name): name for name in reversed(names)}
    return next((known[alias] for alias in _NAMES[role].split() if alias in known), None)


def sniff(
    path: Path,
    columns: Sequence[str] | None = None,
    encoding: str = "utf-8-sig",
    expected: Collection[str] = (),
    separator: str | None = None,
    advice: str = ENCODING_ADVICE,
) -> Layout:
    """Layout of a text file from its first lines.

    Args:
        path: text file, ``.gz`` allowed.
        columns: names for a file without a header.
        encoding: of the file; a byte order mark at its start decides it.
        expected: names that show the first line to be a header.
        separator: between the cells of a line; found where it is not given.
        advice: what to do about bytes of another encoding.
    """
    sample = text_sample(path, encoding, advice)
    lines = [line for line in sample.lines if line.strip()]
    if separator is None:
        head = [line.rstrip("\r\n") for line in lines[:_HEAD]]
        separator = find_separator(head, len(columns) if columns else None)
    rows = [split_any(line.rstrip("\r\n"), separator) for line in lines]
    first = {cell.strip() for cell in rows[0]}
    has_header = bool(set(expected) & first) or _looks_like_header(rows, columns)
    names = _names(path, rows, columns, has_header)
    body = lines[1:] if has_header else lines
    evidence = find_evidence(body, separator, len(names))
    table = Rows(body, separator, len(names), evidence)
    fitting = tuple(tuple(row) for _, block in table for row in block)
    fitting = fitting or tuple(map(tuple, rows[has_header:]))
    end = sample.end
    return Layout(
        path, separator, names, has_header, sample.encoding, fitting, end, evidence, advice
    )


def chunks(
    layout: Layout,
    columns: Sequence[str],
    report: Report,
    numeric: Sequence[str] = (),
    rows: int = ROWS_PER_CHUNK,
    closed: Sequence[str] = (),
) -> Iterator[pd.DataFrame]:
    """The wanted columns, a bounded number of rows at a time, as text or (``numeric``) as numbers.

    There is at least one frame, without rows if need be; its index holds the line numbers.
    Malformed lines are reported after the last frame; those with a quote mark that nothing closes
    in one of the ``closed`` columns are malformed.
    """
    path = layout.path
    places = [layout.names.index(column) for column in columns]
    with (
        open_lines(path, layout.encoding, layout.end, layout.advice) as lines,
        bar(path.stat().st_size, path.name) as progress,
    ):
        strict = [layout.names.index(column) for column in closed]
        table = Rows(lines, layout.separator, len(layout.names), layout.evidence, strict)
        numbers: list[int] = []
        cells: list[list[str]] = [[] for _ in columns]
        skip, empty = int(layout.has_header), True
        for found, block in table:
            numbers += found[skip:]
            for column, place in zip(cells, places, strict=True):
                column += [row[place] for row in block[skip:]]
            skip = 0
            if len(numbers) >= rows:
                progress.update(progress.total * len(numbers) // max(table.n_lines, 1))
                yield _frame(path, columns, numeric, numbers, cells)
                numbers, cells, empty = [], [[] for _ in columns], False
        if numbers or empty:
            yield _frame(path, columns, numeric, numbers, cells)
    if table.malformed:
        report.found(path.name, table.finding(), table.malformed, "drop-rows")
    if not table.ended:
        report.note(f"{path.name}: has no end of line at its end; make sure that it is not cut")


def _frame(
    path: Path,
    columns: Sequence[str],
    numeric: Sequence[str],
    numbers: list[int],
    cells: list[list[str]],
) -> pd.DataFrame:
    """Columns of text and of numbers, with the line numbers as the index."""
    found = [
        _floats(path, name, numbers, column) if name in numeric else np.array(column, dtype=object)
        for name, column in zip(columns, cells, strict=True)
    ]
    frame = pd.DataFrame(dict(enumerate(found)), index=pd.Index(numbers), copy=False)
    frame.columns = pd.Index(list(columns))
    return frame


def _floats(path: Path, name: str, numbers: list[int], cells: list[str]) -> npt.NDArray[np.float64]:
    """Numbers of the cells of a column; NaN where one is missing."""
    try:
        return np.array(list(map(float, cells)))
    except ValueError:
        known = ["nan" if cell.strip() in MISSING_TOKENS else cell for cell in cells]
    for number, cell in zip(numbers, known, strict=True):
        if not is_number(cell):
            raise UserError(
                f"{path}: line {number} has {cell[:40]!r} where column `{name}` needs a number; "
                "correct it"
            )
    return np.array(list(map(float, known)))


def _names(
    path: Path, rows: Sequence[Sequence[str]], columns: Sequence[str] | None, has_header: bool
) -> tuple[str, ...]:
    """Names of the columns, of which no two are the same."""
    if has_header:
        names = tuple(cell.strip() for cell in rows[0])
        width, below = len(names), rows[1:]
        # A separator at the end of every line makes no column.
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
    twice = next((name for place, name in enumerate(names) if name in names[:place]), None)
    if twice is not None:
        raise UserError(f"{path}: two columns are called {twice!r}; rename one")
    return names


def _looks_like_header(rows: Sequence[Sequence[str]], columns: Sequence[str] | None) -> bool:
    """A header names a role or a given column, or is text above numbers."""
    first = [cell.strip() for cell in rows[0]]
    if columns:
        return {simple(c) for c in first} >= {simple(c) for c in columns}
    if any(is_number(cell) and cell for cell in first):
        return False
    below = rows[1] if len(rows) > 1 else ()
    return any(simple(cell) in _KNOWN for cell in first) or any(map(is_number, below))
