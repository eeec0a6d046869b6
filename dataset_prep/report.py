"""Faults, requested repairs, notes and the counts after every step."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from recbole_painvrl.errors import UserError, did_you_mean

FIXES = {
    "drop-rows": "drop malformed interaction lines, and feature rows with NaN or Inf, without "
    "content, or without an id",
    "drop-columns": "drop feature columns that are constant, exceed the limit, or hold NaN or Inf",
    "drop-duplicates": "keep the first feature row of an id; keep a pair in its first split only",
    "drop-unrated": "drop feature rows of items that have no interaction",
    "keep-unrated": "keep them; runs then need `unknown_items: ignore`",
    "keep-constant": "keep constant feature columns",
    "standardise": "shift and scale every feature column to mean 0 and deviation 1",
    "shift-ids": "shift feature ids by one if that matches the interactions",
    "keep-ids": "keep the feature ids although a shift by one matches more interactions",
    "keep-nonpositive": "count rows with a rating of 0 or less as interactions",
}
CORRECT = "correct it"


@dataclass(frozen=True)
class Fault:
    """A fault of the input without a requested repair.

    ``fixes`` are possible repairs, best first; ``advice`` is for faults without one, or that the
    user must decide.
    """

    where: str
    what: str
    fixes: tuple[str, ...] = ()
    advice: str = CORRECT

    def line(self) -> str:
        """One line: where, what, and how to repair it."""
        repair = " or ".join(f"`--fix {fix}`" for fix in self.fixes)
        by_fix = repair and self.advice == CORRECT
        return f"{self.where}: {self.what}; " + (f"use {repair}" if by_fix else self.advice)


@dataclass
class Report:
    """Requested repairs, and faults, made repairs, notes and counts of one run.

    A run with any fault writes nothing. A repair has ``where``, ``fix``, ``what`` and ``count``, a
    step its name and the numbers of interactions, users and items after it.
    """

    fixes: frozenset[str] = frozenset()
    faults: list[Fault] = field(default_factory=list)
    repairs: list[dict[str, str | int]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    steps: list[tuple[str, int, int, int]] = field(default_factory=list)

    def found(
        self, where: str, what: str, count: int, *fixes: str, advice: str = CORRECT
    ) -> str | None:
        """Record a fault or, if one of ``fixes`` was requested, its repair; return that fix."""
        for fix in fixes:
            if fix in self.fixes:
                self.repairs.append({"where": where, "fix": fix, "what": what, "count": count})
                return fix
        self.faults.append(Fault(where, what, fixes, advice))
        return None

    def note(self, text: str) -> None:
        """Add a note once."""
        if text not in self.notes:
            self.notes.append(text)

    def print(self) -> None:
        """Repairs, notes and faults, one line each."""
        for repair in self.repairs:
            print(f"repaired by {repair['fix']}: {repair['where']}: {repair['what']}")
        for text in self.notes:
            print(f"note: {text}")
        for fault in self.faults:
            print(f"fault: {fault.line()}")

    def refuse_if_broken(self, name: str) -> None:
        """Raise :class:`UserError` if there is a fault, with the repairs that would remove it."""
        if not self.faults:
            return
        # Faults without a repair come first, then those that need a decision.
        first = min(self.faults, key=lambda fault: (bool(fault.fixes), fault.advice == CORRECT))
        more = f" (and {len(self.faults) - 1} more)" if len(self.faults) > 1 else ""
        where = f"{name}: {first.where}" if first.fixes else first.where
        # The best repair of every fault that has one and needs no decision.
        plain = [fault for fault in self.faults if fault.fixes and fault.advice == CORRECT]
        missing = dict.fromkeys(fault.fixes[0] for fault in plain)
        repair = f"`--fix {','.join([*sorted(self.fixes), *missing])}` would repair "
        if not first.fixes or not missing:
            advice = first.advice
        elif first.advice == CORRECT:
            advice = f"{repair}it"
        else:
            advice = f"{first.advice}; {repair}the rest"
        raise UserError(f"{where}: {first.what}{more}; nothing was written, {advice}")


def parse_fixes(texts: Iterable[str]) -> frozenset[str]:
    """Names from ``--fix a,b --fix c``."""
    names = [name.strip() for text in texts for name in text.split(",") if name.strip()]
    for name in names:
        if name not in FIXES:
            raise UserError(
                f"--fix {name}: no such repair{did_you_mean(name, FIXES)}; there are "
                f"{', '.join(FIXES)}"
            )
    for one, other in (("drop-unrated", "keep-unrated"), ("shift-ids", "keep-ids")):
        if one in names and other in names:
            raise UserError(f"--fix {one},{other}: the two contradict each other; choose one")
    return frozenset(names)
