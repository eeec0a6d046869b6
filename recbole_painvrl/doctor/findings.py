"""One line per thing that was looked at."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class Finding:
    """Something that was looked at.

    Attributes:
        level: ``ok``, ``note`` (works, but good to know) or ``FAIL``.
        text: what was found.
        advice: what to type or do; empty where nothing is to be done.
    """

    level: Literal["ok", "note", "FAIL"]
    text: str
    advice: str = ""

    def __str__(self) -> str:
        advice = f"\n        {self.advice}" if self.advice else ""
        return f"  {self.level:<4}  {self.text}{advice}"


Check = Callable[[], Sequence[Finding]]


def isolated(name: str, check: Check) -> list[Finding]:
    """The findings of a check; one that breaks is a finding itself and stops no other."""
    try:
        return list(check())
    except Exception as error:  # noqa: BLE001
        text = " ".join(str(error).split())
        return [Finding("FAIL", f"{name} could not be looked at: {type(error).__name__}: {text}")]
