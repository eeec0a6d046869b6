"""RecBole's atomic files (``.inter``, ``.item``, ``.user``), checked while they are read.

RecBole reads them with pandas' defaults: a quote mark joins lines, ids such as ``NA`` become
missing values, and a line with too few cells is silently filled. Here quote marks in an unquoted
file are text, only an empty cell is missing, and a malformed line is an error that names the line.
"""

from __future__ import annotations

import csv
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pandas as pd

from recbole_painvrl.errors import UserError, did_you_mean, short
from recbole_painvrl.quoting import is_quoted, split_rows, text_lines

# Rows held as text at a time.
_ROWS = 1 << 20
TYPES = frozenset({"token", "float", "token_seq", "float_seq"})


def read_header(
    path: Path, required: Sequence[str], separator: str, encoding: str
) -> dict[str, str]:
    """Type of every column of an atomic file, by name.

    Args:
        path: the file.
        required: names of required columns.
        separator: between columns.
        encoding: of the file; a byte order mark is skipped.

    Raises:
        UserError: the file is missing, not text, empty, or lacks a typed header or a column.
    """
    example = separator.join(f"{name}:token" for name in required[:2])
    expected = f"expected a first line such as {example!r}"
    with _lines(path, encoding) as lines:
        header, row = next(lines, ""), next(lines, "")
    names: dict[str, str] = {}
    for cell in next(split_rows([header], separator, header.startswith('"')), []):
        name, _, kind = cell.partition(":")
        if kind not in TYPES:
            raise UserError(
                f"{path}: column {short(cell)} of the first line has no type; {expected}, or set "
                "`field_separator`"
            )
        if name in names:
            raise UserError(f"{path}: column `{name}` occurs twice in the first line; remove one")
        names[name] = kind
    for name in required:
        if name not in names:
            raise UserError(
                f"{path}: no column `{name}`, found {short(list(names))}"
                f"{did_you_mean(name, names)}; {expected}"
            )
    if not row:
        raise UserError(f"{path}: the file has no rows; write it again or remove it")
    return names


def quotes_of(path: Path, separator: str, encoding: str) -> bool | None:
    """Whether quote marks enclose cells of a file or are text; None if there are none."""
    with _lines(path, encoding) as lines:
        return is_quoted(lines, separator)


def read_columns(
    path: Path,
    types: dict[str, str],
    wanted: Collection[str],
    separator: str,
    encoding: str,
    quoted: bool | None = None,
) -> pd.DataFrame:
    """The wanted columns of an atomic file: tokens and sequences as text, floats in 64 bit.

    Args:
        path: the file.
        types: type of every column, see :func:`read_header`.
        wanted: the columns to read.
        separator: between columns.
        encoding: of the file.
        quoted: whether quote marks enclose cells; None to detect it from this file.

    Returns:
        One row per line; an empty cell is missing (NaN).

    Raises:
        UserError: a line with too few or too many cells, or a cell that is not a number.
    """
    if quoted is None:
        quoted = quotes_of(path, separator, encoding)
    names = [name for name in types if name in wanted]
    if not quoted and len(separator) == 1 and _is_plain(path, len(types), separator, encoding):
        with pd.read_csv(
            path,
            sep=separator,
            header=None,
            skiprows=1,
            names=list(types),
            usecols=names,
            dtype=str,
            keep_default_na=False,
            na_values=[""],
            encoding=_codec(encoding),
            quoting=csv.QUOTE_NONE,
            chunksize=_ROWS,
        ) as blocks:
            found = [_with_numbers(path, block[names], types) for block in blocks]
        return pd.concat(found, ignore_index=True)
    with _lines(path, encoding) as lines:
        rows = list(split_rows(lines, separator, quoted))[1:]
    for number, row in enumerate(rows, start=1):
        if len(row) != len(types):
            raise UserError(_wrong_length(path, len(types), len(row), f"row {number} after it"))
    frame = pd.DataFrame(rows, columns=list(types), dtype=object)[names]
    return _with_numbers(path, frame.where(frame != ""), types)


def _with_numbers(path: Path, frame: pd.DataFrame, types: dict[str, str]) -> pd.DataFrame:
    """The same rows with float columns parsed as float64."""
    columns = dict(frame.items())
    for name in columns:
        if types[str(name)] != "float":
            continue
        try:
            columns[name] = columns[name].astype(np.float64)
        except ValueError:
            row, cell = next((r, c) for r, c in enumerate(columns[name]) if not _is_number(c))
            raise UserError(
                f"{path}: row {row + 1} after the first line has {short(cell)} in column "
                f"`{name}:float`, expected a number; correct it or prepare the data with "
                "`python -m dataset_prep`"
            ) from None
    return pd.DataFrame(columns)


def _is_number(cell: object) -> bool:
    try:
        float(cell)  # type: ignore[arg-type]
    except ValueError:
        return False
    return True


def _is_plain(path: Path, n_columns: int, separator: str, encoding: str) -> bool:
    """Check the number of cells of every line; returns whether only line feeds end lines."""
    plain = True
    with _lines(path, encoding) as lines:
        for number, line in enumerate(lines, start=1):
            found = line.count(separator) + 1
            if found != n_columns and line.strip():
                raise UserError(_wrong_length(path, n_columns, found, f"line {number}"))
            plain = plain and "\r" not in line
    return plain


def _wrong_length(path: Path, n_columns: int, n_found: int, where: str) -> str:
    return (
        f"{path}: {n_columns} columns in the first line, {n_found} in {where}; write the file again"
    )


def _codec(encoding: str) -> str:
    # Files written by Excel begin with a byte order mark, which is not part of a name.
    return "utf-8-sig" if encoding.lower().replace("_", "-") in ("utf-8", "utf8") else encoding


@contextmanager
def _lines(path: Path, encoding: str) -> Iterator[Iterator[str]]:
    try:
        with open(path, encoding=_codec(encoding), newline="\n") as stream:
            yield text_lines(stream)
    except FileNotFoundError as error:
        raise UserError(
            f"{path}: no such file; a dataset folder needs it, see `python -m dataset_prep --help`"
        ) from error
    except LookupError as error:
        raise UserError(
            f"`encoding`: found {encoding!r}, expected a text encoding such as utf-8 or latin-1"
        ) from error
    except OSError as error:
        raise UserError(f"{path}: not readable ({error})") from error
    except UnicodeError as error:
        with open(path, "rb") as raw:
            wide = raw.read(2) in (b"\xff\xfe", b"\xfe\xff")
        other = "utf-16" if wide else "latin-1"
        raise UserError(
            f"{path}: not readable as {encoding} text ({error}); set `encoding`, such as "
            f"`--encoding={other}`, or save it as UTF-8"
        ) from error
