"""Ids that look the same and differ only by their Unicode normalisation (NFC, NFD)."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable
from logging import getLogger
from pathlib import Path

from recbole_painvrl.errors import UserError


def composed(tokens: Iterable[str]) -> dict[str, list[str]]:
    """Ids with signs beyond ASCII by their form NFC; ASCII has one form only."""
    found: dict[str, list[str]] = {}
    for token in tokens:
        if not token.isascii():
            found.setdefault(unicodedata.normalize("NFC", token), []).append(token)
    return found


def warn_of_twins(tokens: Iterable[str], field: str, folder: Path) -> None:
    """A warning if ids of a column look the same: they count as different users or items."""
    twins = [same for same in composed(tokens).values() if len(same) > 1]
    if twins:
        getLogger("recbole_painvrl").warning(
            "%s: %d ids in `%s` look like another one and differ only by their Unicode "
            "normalisation, such as %s; they count as different, write all of them as NFC",
            folder,
            sum(len(same) - 1 for same in twins),
            field,
            " and ".join(map(ascii, twins[0][:2])),
        )


def refuse_other_form(path: Path, unknown: Iterable[str], without_row: Iterable[str]) -> None:
    """Refuse ids of a feature file that the interactions have in another form.

    Args:
        path: the list of ids.
        unknown: its ids that the dataset lacks.
        without_row: ids of the dataset that the list lacks.

    Raises:
        UserError: naming the first; its features would be left out.
    """
    known = composed(without_row)
    same = [
        (token, known[form][0]) for form, (token, *_) in composed(unknown).items() if form in known
    ]
    if same:
        raise UserError(
            f"{path}: {len(same)} item ids differ from those of the interactions only by their "
            f"Unicode normalisation, first {same[0][0]!a} in place of {same[0][1]!a}; "
            "write both files as NFC"
        )
