"""Ids of any type as text tokens and small numbers."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from recbole_painvrl.data.folder import MISSING_TOKENS
from recbole_painvrl.errors import UserError

Codes = npt.NDArray[np.int32]

_FLOATING_ID = re.compile(r"-?\d+\.0+")


def clean_token(value: object) -> str:
    """Text of an id without surrounding space; empty where the id is missing."""
    if isinstance(value, float | np.floating):
        if not np.isfinite(value):
            return ""
        text = str(int(value)) if value == int(value) else repr(float(value))
    elif isinstance(value, bytes):
        text = value.decode("utf-8", "replace").strip()
    else:
        text = "" if value is None else str(value).strip()
    return "" if text in MISSING_TOKENS else text


def as_tokens(values: Sequence[Any] | npt.NDArray[Any] | pd.Series) -> list[str]:
    """Text of many ids; ``12.0`` becomes ``12`` where every id looks like that."""
    codes, uniques = pd.factorize(np.asarray(values), use_na_sentinel=False)
    cleaned = _without_point([clean_token(value) for value in uniques])
    return [cleaned[code] for code in codes]


def _without_point(tokens: list[str]) -> list[str]:
    known = [token for token in tokens if token]
    if known and all(_FLOATING_ID.fullmatch(token) for token in known):
        return [token.partition(".")[0] for token in tokens]
    return tokens


class TokenIndex:
    """Numbers the tokens that it meets, in order of appearance.

    Attributes:
        words: rows whose id is a word that reads as missing (``NA``, ``None``), by this word.
    """

    def __init__(self) -> None:
        self._numbers: dict[str, int] = {}
        self.words: Counter[str] = Counter()

    def encode(self, values: npt.NDArray[Any] | pd.Series) -> Codes:
        """Number of each value, -1 where the id is missing; the work is per distinct value."""
        codes, uniques = pd.factorize(np.asarray(values), use_na_sentinel=False)
        numbers = np.empty(len(uniques), dtype=np.int32)
        for place, value in enumerate(uniques.tolist()):
            token = clean_token(value)
            numbers[place] = self._numbers.setdefault(token, len(self._numbers)) if token else -1
            if not token and isinstance(value, str) and value.strip():
                self.words[value.strip()] += int((codes == place).sum())
        encoded: Codes = numbers[codes]
        return encoded

    def listed(self) -> list[str]:
        """Token of each number, as met."""
        return list(self._numbers)

    def tokens(self, where: str) -> npt.NDArray[np.object_]:
        """Token of each number.

        Raises:
            UserError: two ids that differ only by a trailing ``.0``.
        """
        listed = list(self._numbers)
        cleaned = _without_point(listed)
        if len(set(cleaned)) < len(listed):
            raise UserError(f"{where}: ids like 1.0 and 1.00 are both there; write whole numbers")
        return np.array(cleaned, dtype=object)
