"""Splits the lines of a text table into cells and decides which quote marks enclose a cell."""

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Sequence
from itertools import islice

SEPARATORS = ("::", "\t", ",", ";", "|", " ")
# Larger blocks make Python's garbage collector scan all rows read so far.
_BLOCK = 512
# An opening quote mark that is not closed within this many lines is not the start of a cell.
_MAX_LINES = 1000
_SHOWN = 80

# The default limit of 128 KB per cell is too small for long reviews.
csv.field_size_limit(1 << 30)


def is_number(text: str) -> bool:
    """Whether the text is a number; an empty text counts as a missing number."""
    try:
        float(text or "0")
    except ValueError:
        return False
    return "_" not in text


def split_plain(line: str, separator: str) -> list[str]:
    """Cells of a line, with quote marks as ordinary characters."""
    return line.split() if separator == " " else line.split(separator)


def _read_quoted(
    lines: Sequence[str], separator: str, escape: str | None = None
) -> list[list[str]] | None:
    """Rows of the lines as strict CSV, or None if they are not."""
    if len(separator) > 1:
        return None
    form = {"delimiter": separator, "escapechar": escape, "skipinitialspace": separator != "\t"}
    try:
        return list(csv.reader(lines, strict=True, **form))  # type: ignore[arg-type]
    except csv.Error:
        return None


def _split_quoted(text: str, separator: str, escape: str | None = None) -> list[str] | None:
    """Cells of one record in which every quote mark encloses a cell, else None."""
    rows = _read_quoted([text], separator, escape)
    return rows[0] if rows is not None and len(rows) == 1 else None


def _open_cells(text: str, separator: str) -> list[str] | None:
    """Cells of a record whose last cell has an opening quote mark only, else None."""
    if _split_quoted(text, separator) is not None:
        return None
    return _split_quoted(f'{text}"', separator)


def split_any(line: str, separator: str) -> list[str]:
    """Cells of one line; quote marks enclose cells if the line is valid CSV."""
    quoted = _split_quoted(line, separator) if '"' in line else None
    return quoted if quoted is not None else split_plain(line, separator)


def find_separator(lines: Sequence[str], n_columns: int | None = None) -> str:
    """The separator that gives most lines the same number (> 1) of cells; a comma by default."""
    best, best_score = ",", (0.0, False, False)
    for candidate in SEPARATORS:
        rows = [split_any(line, candidate) for line in lines]
        width, count = Counter(map(len, rows)).most_common(1)[0]
        if len(rows[0]) < 2 or width < 2:
            continue
        # In `1;0.1,0.2` only the split at `;` gives a first cell without other separators.
        pure = not any(other in row[0] for row in rows for other in ",;|\t")
        score = (count / len(rows), width == n_columns, pure)
        if score > best_score:
            best, best_score = candidate, score
    return best


class Rows:
    """Iterates over the rows of a text table in blocks; malformed lines are counted and skipped.

    A quoted cell may contain line ends. In a table written without quoting, an opening quote mark
    is text, and the lines up to the next quote mark are rows. If each line of a quoted cell could
    be a row, tab-separated tables are read as unquoted; in others, the line is malformed. In the
    columns ``closed`` (indices) an opening quote mark must be closed.
    """

    def __init__(
        self, lines: Iterable[str], separator: str, width: int, closed: Collection[int] = ()
    ) -> None:
        self._lines = iter(lines)
        self._separator, self._width, self._closed = separator, width, closed
        self.n_lines = self.malformed = self._last_malformed = 0
        # Line number, number of cells and beginning of the first malformed line.
        self._first = (0, 0, "")
        self.ended = True

    def __iter__(self) -> Iterator[tuple[Sequence[int], list[list[str]]]]:
        """Line numbers and rows, a block at a time."""
        passed = 0
        while block := list(islice(self._lines, _BLOCK)):
            self.ended = block[-1].endswith(("\n", "\r"))
            rows = self._at_once(block)
            numbers = range(passed + 1, passed + len(block) + 1)
            yield (numbers, rows) if rows is not None else self._one_by_one(block, passed)
            passed += len(block)
            self.n_lines = passed

    def _at_once(self, block: list[str]) -> list[list[str]] | None:
        """Rows of a block if every line is one row, else None."""
        text = "".join(block)
        if "\0" in text or self._width == 1:
            return None
        lines = [line.rstrip("\r\n") for line in block]
        if '"' not in text:
            rows: list[list[str]] | None = [split_plain(line, self._separator) for line in lines]
        else:
            rows = _read_quoted(lines, self._separator)
        whole = rows is not None and len(rows) == len(block)
        return rows if whole and set(map(len, rows or ())) == {self._width} else None

    def _one_by_one(self, block: list[str], passed: int) -> tuple[list[int], list[list[str]]]:
        """Rows of a block line by line; a quoted cell may extend the block."""
        numbers: list[int] = []
        rows: list[list[str]] = []
        index = 0
        while index < len(block):
            number, line = passed + index + 1, block[index].rstrip("\r\n")
            if '"' in line or "\0" in line:
                cells, used = self._record(block, index)
            else:
                cells, used = self._fit(split_plain(line, self._separator)), 1
            index += used
            if cells is not None and line.strip(" "):
                numbers.append(number)
                rows.append(cells)
            elif line.strip(" "):
                self._count(line, number)
        return numbers, rows

    def finding(self) -> str:
        """Description of the malformed lines."""
        number, cells, start = self._first
        plural = "line is" if self.malformed == 1 else "lines are"
        has = f"{cells} cells where {self._width} are expected"
        if cells == self._width:
            has = "a NUL character" if "\\x00" in start else "an open quote mark"
        cut = not self.ended and self._last_malformed == self.n_lines
        return f"{self.malformed} {plural} malformed, first line {number} with {has} ({start})" + (
            ", and the file is cut in its last line" if cut else ""
        )

    def _count(self, line: str, number: int) -> None:
        if not self.malformed:
            cells = len(split_any(line, self._separator))
            shown = line if line.isprintable() else repr(line)[1:-1]
            self._first = (number, cells, shown[:_SHOWN])
        self.malformed += 1
        self._last_malformed = number

    def _fit(self, cells: list[str] | None) -> list[str] | None:
        """The cells if there is one per column; further cells must be empty."""
        if cells is None or len(cells) < self._width:
            return None
        return None if any(map(str.strip, cells[self._width :])) else cells[: self._width]

    def _plain(self, line: str) -> list[str] | None:
        cells = self._fit(split_plain(line.rstrip("\r\n"), self._separator))
        return None if cells is None else [_without_marks(cell) for cell in cells]

    def _record(self, block: list[str], index: int) -> tuple[list[str] | None, int]:
        """Cells of the record that starts at a line with quote marks, and its number of lines."""
        line = block[index].rstrip("\r\n")
        if "\0" in line:
            return None, 1
        quoted = _split_quoted(line, self._separator)
        if quoted is None and '\\"' in line:
            quoted = _split_quoted(line, self._separator, escape="\\")
        cells = self._fit(quoted)
        if cells is not None:
            return cells, 1
        plain = self._plain(line)
        opened = _open_cells(line, self._separator) if quoted is None else None
        if opened is not None:
            joined, used = self._joined(block, index)
            if joined is not None:
                rest = block[index + 1 : index + used]
                if plain is None or not all(map(self._plain, rest)):
                    return joined, used
                if self._separator != "\t":
                    return None, used
            if len(opened) - 1 in self._closed:
                return None, 1
        return plain, 1

    def _joined(self, block: list[str], index: int) -> tuple[list[str] | None, int]:
        """Cells and number of the lines from an opening quote mark to the closing one."""
        pieces = [block[index].rstrip("\r\n")]
        for used in range(2, _MAX_LINES):
            if index + used > len(block):
                more = list(islice(self._lines, _BLOCK))
                if not more:
                    return None, 1
                block.extend(more)
                self.ended = more[-1].endswith(("\n", "\r"))
            line = block[index + used - 1].rstrip("\r\n")
            pieces.append(line)
            if '"' not in line:
                continue
            record = "\n".join(pieces)
            cells = _split_quoted(record, self._separator)
            if cells is not None:
                return self._fit(cells), used
            if _open_cells(record, self._separator) is None:
                return None, 1
        return None, 1


def _without_marks(cell: str) -> str:
    """The content of a cell that is enclosed in quote marks; other quote marks are text."""
    text = cell.strip() if '"' in cell else cell
    if len(text) > 1 and text[0] == text[-1] == '"' and '"' not in text[1:-1]:
        return text[1:-1]
    return cell
