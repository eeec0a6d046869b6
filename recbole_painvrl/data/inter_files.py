"""Interaction files are checked before RecBole reads them: its messages do not name the file."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from recbole_painvrl.config.base import short
from recbole_painvrl.errors import UserError, did_you_mean

_TYPES = frozenset({"token", "float", "token_seq", "float_seq"})


def check_inter_file(path: Path, required: Sequence[str], separator: str = "\t") -> None:
    """Check the typed header and the first row of a ``.inter`` file.

    Args:
        path: the file.
        required: column names that must be there.
        separator: between columns.

    Raises:
        UserError: the file is missing, not text, empty, or lacks a typed header or a column.
    """
    example = separator.join(f"{name}:token" for name in required[:2])
    expected = f"expected a first line such as {example!r}"
    try:
        with open(path, encoding="utf-8") as stream:
            header, row = stream.readline().rstrip("\r\n"), stream.readline().rstrip("\r\n")
    except FileNotFoundError as error:
        raise UserError(
            f"{path}: no such file; a dataset folder needs it, see `python -m dataset_prep --help`"
        ) from error
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{path}: not readable as UTF-8 text ({error}); write it again") from error
    columns = [column.partition(":")[::2] for column in header.split(separator)]
    wrong = [name for name, kind in columns if kind not in _TYPES]
    if wrong:
        raise UserError(
            f"{path}: column {short(wrong[0])} of the first line has no type; {expected}"
        )
    names = [name for name, _ in columns]
    for name in required:
        if name not in names:
            raise UserError(
                f"{path}: no column `{name}`, found {short(names)}{did_you_mean(name, names)}; "
                f"{expected}"
            )
    if not row:
        raise UserError(
            f"{path}: the file is empty, it has no interactions; write it again or remove it"
        )
    if len(row.split(separator)) != len(columns):
        raise UserError(
            f"{path}: {len(columns)} columns in the first line, "
            f"{len(row.split(separator))} in the second; write the file again"
        )
