"""Lines of a text table as rows of cells: quote marks that enclose, and those that are text."""

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

SEPARATORS = ("::", "\t", ",", ";", "|", " ")
# Fewer lists than the garbage collector looks for: it would pass over all rows again and again.
_BLOCK = 512
# A quoted cell of more lines than this is an opening mark that nothing closes.
_MOST_LINES = 1000
_SHOWN = 80
# So few rows say nothing about what a column holds.
_ENOUGH_ROWS = 3

# The module refuses cells of more than 128 KB, which long reviews are.
csv.field_size_limit(1 << 30)


def is_number(text: str) -> bool:
    """Whether the text is a number; empty counts, since a value may be missing."""
    try:
        float(text or "0")
    except ValueError:
        return False
    return "_" not in text


def split_plain(line: str, separator: str) -> list[str]:
    """Cells of a line without its end, where no quote mark encloses anything."""
    return line.split() if separator == " " else line.split(separator)


def split_quoted(text: str, separator: str, escape: str | None = None) -> list[str] | None:
    """Cells of a record whose quote marks all enclose whole cells; None where one does not."""
    rows = _read_quoted([text], separator, escape)
    return rows[0] if rows is not None and len(rows) == 1 else None


def _read_quoted(
    lines: Sequence[str], separator: str, escape: str | None = None
) -> list[list[str]] | None:
    if len(separator) > 1:
        return None
    form = {"delimiter": separator, "escapechar": escape, "skipinitialspace": separator != "\t"}
    try:
        return list(csv.reader(lines, strict=True, **form))  # type: ignore[arg-type]
    except csv.Error:
        return None


def _open_cells(text: str, separator: str) -> list[str] | None:
    """Cells of a record whose last one is enclosed, but not closed; None where none is."""
    if split_quoted(text, separator) is not None:
        return None
    return split_quoted(f'{text}"', separator)


def split_any(line: str, separator: str) -> list[str]:
    """Cells of one line, with enclosing quote marks where they fit."""
    quoted = split_quoted(line, separator) if '"' in line else None
    return quoted if quoted is not None else split_plain(line, separator)


def find_separator(lines: Sequence[str], n_columns: int | None = None) -> str:
    """The separator that gives most lines the same number (> 1) of cells; a comma without any."""
    best, best_score = ",", (0.0, False, False)
    for candidate in SEPARATORS:
        rows = [split_any(line, candidate) for line in lines]
        width, count = Counter(map(len, rows)).most_common(1)[0]
        if len(rows[0]) < 2 or width < 2:
            continue
        # `1;0.1,0.2` has a first cell that holds no other separator only where `;` separates.
        pure = not any(other in row[0] for row in rows for other in ",;|\t")
        score = (count / len(rows), width == n_columns, pure)
        if score > best_score:
            best, best_score = candidate, score
    return best


@dataclass(frozen=True)
class Evidence:
    """What tells the rows of a table from the lines of a text that happens to hold separators.

    ``kinds`` is ``number``, ``word`` (without a blank) or nothing for each column, ``strong`` where
    enough rows said so; with ``quoted``, marks enclose separators or other marks somewhere.
    """

    kinds: tuple[str, ...] = ()
    strong: bool = False
    quoted: bool = False


class Rows:
    """Rows of a text table, a block at a time; malformed lines are counted, not given.

    A record may join several lines by a quoted cell. Where each of these lines is also a row by
    itself, the marks are text, as in tables that were published without quoting; where nothing
    tells a row from a line of the cell, the line is malformed.

    Args:
        lines: of the table, with their ends.
        separator: between the cells of a line.
        width: how many cells a row has.
        evidence: what :func:`find_evidence` found.
        closed: places of columns in which a mark that nothing closes makes a line malformed.
    """

    def __init__(
        self,
        lines: Iterable[str],
        separator: str,
        width: int,
        evidence: Evidence | None = None,
        closed: Collection[int] = (),
    ) -> None:
        self._lines = iter(lines)
        self._separator, self._width = separator, width
        self._evidence, self._closed = evidence or Evidence(), closed
        self.n_lines = self.malformed = self._last_malformed = 0
        # Line, number of cells and start of the first malformed line.
        self._first = (0, 0, "")
        self.ended = True

    def __iter__(self) -> Iterator[tuple[Sequence[int], list[list[str]]]]:
        """Line numbers and rows of a few thousand lines at a time."""
        passed = 0
        while block := list(islice(self._lines, _BLOCK)):
            self.ended = block[-1].endswith(("\n", "\r"))
            rows = self._at_once(block)
            numbers = range(passed + 1, passed + len(block) + 1)
            yield (numbers, rows) if rows is not None else self._one_by_one(block, passed)
            passed += len(block)
            self.n_lines = passed

    def _at_once(self, block: list[str]) -> list[list[str]] | None:
        """Rows of a block in which every line is one, None where a line needs a closer look."""
        text = "".join(block)
        if "\0" in text or self._width == 1:
            return None
        lines = [line.rstrip("\r\n") for line in block]
        if '"' not in text:
            rows = [split_plain(line, self._separator) for line in lines]
        elif (found := _read_quoted(lines, self._separator)) is not None:
            rows = found
        else:
            return None
        return rows if len(rows) == len(block) and set(map(len, rows)) == {self._width} else None

    def _one_by_one(self, block: list[str], passed: int) -> tuple[list[int], list[list[str]]]:
        """Rows of a block, to which an open cell may add lines."""
        numbers: list[int] = []
        rows: list[list[str]] = []
        place = 0
        while place < len(block):
            number, line = passed + place + 1, block[place].rstrip("\r\n")
            if '"' in line or "\0" in line:
                cells, used = self._with_marks(block, place)
            else:
                cells, used = self._fit(split_plain(line, self._separator)), 1
            place += used
            if cells is not None and line.strip(" "):
                numbers.append(number)
                rows.append(cells)
            elif line.strip(" "):
                self._count(line, number)
        return numbers, rows

    def finding(self) -> str:
        """What is wrong with the malformed lines."""
        number, cells, start = self._first
        plural = "line is" if self.malformed == 1 else "lines are"
        has = f"{cells} cells where {self._width} are due"
        if cells == self._width:
            has = "a NUL character" if "\\x00" in start else "an open quote mark"
        cut = not self.ended and self._last_malformed == self.n_lines
        return f"{self.malformed} {plural} malformed, first line {number} with {has} ({start})" + (
            ", and it is cut in its last line" if cut else ""
        )

    def _count(self, line: str, number: int) -> None:
        if not self.malformed:
            cells = len(split_any(line, self._separator))
            shown = line if line.isprintable() else repr(line)[1:-1]
            self._first = (number, cells, shown[:_SHOWN])
        self.malformed += 1
        self._last_malformed = number

    def _fit(self, cells: list[str] | None) -> list[str] | None:
        """The cells if they are as many as columns; empty ones at the end do not count."""
        if cells is None or len(cells) < self._width:
            return None
        return None if any(map(str.strip, cells[self._width :])) else cells[: self._width]

    def _plain(self, line: str) -> list[str] | None:
        cells = self._fit(split_plain(line.rstrip("\r\n"), self._separator))
        return None if cells is None else [_without_marks(cell) for cell in cells]

    def _with_marks(self, block: list[str], place: int) -> tuple[list[str] | None, int]:
        """Cells of the record that begins at a line with quote marks, and how many lines it has."""
        line = block[place].rstrip("\r\n")
        if "\0" in line:
            return None, 1
        quoted = split_quoted(line, self._separator)
        if quoted is None and '\\"' in line:
            quoted = split_quoted(line, self._separator, escape="\\")
        cells = self._fit(quoted)
        if cells is not None:
            return cells, 1
        plain = self._plain(line)
        opened = _open_cells(line, self._separator) if quoted is None else None
        if opened is not None:
            joined, used = self.joined(block, place)
            rest = block[place + 1 : place + used]
            if joined is not None:
                are_rows = plain is not None and self._are_rows(rest, len(opened) - 1)
                if not are_rows:
                    return (joined if are_rows is False else None), used
            if len(opened) - 1 in self._closed:
                return None, 1
        return plain, 1

    def joined(self, block: list[str], place: int) -> tuple[list[str] | None, int]:
        """Cells and number of the lines from an open quote mark to the one that closes it."""
        pieces = [block[place].rstrip("\r\n")]
        if _open_cells(pieces[0], self._separator) is None:
            return None, 1
        for used in range(2, _MOST_LINES):
            if place + used > len(block):
                more = list(islice(self._lines, _BLOCK))
                if not more:
                    return None, 1
                block.extend(more)
                self.ended = more[-1].endswith(("\n", "\r"))
            line = block[place + used - 1].rstrip("\r\n")
            pieces.append(line)
            if '"' not in line:
                continue
            record = "\n".join(pieces)
            cells = split_quoted(record, self._separator)
            if cells is not None:
                return self._fit(cells), used
            if _open_cells(record, self._separator) is None:
                return None, 1
        return None, 1

    def _are_rows(self, lines: list[str], marked: int) -> bool | None:
        """Whether lines inside a quoted cell are rows by themselves; None where nothing tells."""
        evidence = self._evidence
        known = [place for place, kind in enumerate(evidence.kinds) if kind and place != marked]
        rows = [self._plain(line) for line in lines]
        alike = [
            row is not None and all(evidence.kinds[p] in _kinds_of(row[p]) for p in known)
            for row in rows
        ]
        if evidence.strong and known:
            # A malformed line among rows does not make them the lines of a cell.
            return 2 * sum(alike) > len(rows)
        if not all(rows):
            return False
        if not evidence.kinds:
            # Tab-separated tables are mostly published without quoting.
            return True if self._separator == "\t" else None
        if known and all(alike):
            return True
        if bool(known) == evidence.quoted:
            return not known
        return None


def find_evidence(lines: Sequence[str], separator: str, width: int) -> Evidence:
    """What the rows of one line show about a table."""
    table = Rows((), separator, width)
    block = list(lines)
    rows: list[list[str]] = []
    quoted = False
    place = 0
    while place < len(block):
        line = block[place].rstrip("\r\n")
        joined, used = table.joined(block, place) if '"' in line else (None, 1)
        place += used
        cells = split_any(line, separator)
        if joined is None and len(cells) == width:
            rows.append(cells)
            quoted = quoted or cells != split_plain(line.replace('"', ""), separator)
    common = [set.intersection(*map(_kinds_of, column)) for column in zip(*rows, strict=True)]
    kinds = tuple(min(found, default="") for found in common)
    return Evidence(kinds, len(rows) >= _ENOUGH_ROWS and any(kinds), quoted)


def _kinds_of(cell: str) -> set[str]:
    if not cell.strip() or len(cell.split()) > 1 or cell[0] == " ":
        return set()
    return {"number", "word"} if is_number(cell) else {"word"}


def _without_marks(cell: str) -> str:
    """The content of a cell that is enclosed in quote marks; any other mark is text."""
    text: Any = cell.strip() if '"' in cell else cell
    if len(text) > 1 and text[0] == text[-1] == '"' and '"' not in text[1:-1]:
        return str(text[1:-1])
    return cell
