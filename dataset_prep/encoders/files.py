"""Content files named by item id: ``ITEM.jpg``, ``ITEM.wav``."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from dataset_prep.report import Report
from recbole_painvrl.errors import UserError


def files_of_items(
    folder: Path, endings: Sequence[str], tokens: Sequence[str] | None, report: Report, advice: str
) -> dict[str, Path]:
    """File of each item in ``tokens``, or of every file's own name where that is None.

    The folder is listed rather than asked for names, so that no id can point outside it.

    Raises:
        UserError: no such folder, or no file of any item.
    """
    if not folder.is_dir():
        raise UserError(f"{folder}: no such folder; give the folder of files named by item id")
    found: dict[str, Path] = {}
    several = 0
    by_ending = sorted(
        (endings.index(path.suffix.lower()), path.name, path)
        for path in folder.iterdir()
        if path.suffix.lower() in endings and path.is_file()
    )
    wanted = None if tokens is None else set(tokens)
    for _, _, path in by_ending:
        if wanted is None or path.stem in wanted:
            several += path.stem in found
            found.setdefault(path.stem, path)
    if several:
        report.note(
            f"{folder.name}: {several} more files of the same item; the first of "
            f"{', '.join(endings)} counts"
        )
    if not found:
        example = tokens[0] if tokens else "ID"
        raise UserError(f"{folder}: has no file named by an item, as {example}{endings[0]}{advice}")
    order = sorted(found) if tokens is None else [token for token in tokens if token in found]
    return {token: found[token] for token in order}
