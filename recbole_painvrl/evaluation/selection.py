"""The value by which an epoch, a candidate or a configuration is selected; larger is better."""

from __future__ import annotations

from collections.abc import Sequence

Vector = Sequence[float]


def selection_score(values: Sequence[float], select_on: str) -> float:
    """One value from the validation scores.

    Args:
        values: ``[iid]`` or ``[iid, ood]``; with one value the rule does not matter.
        select_on: ``iid``, ``ood`` or ``harmonic`` (mean of the two, 0 where both are).
    """
    if len(values) == 1 or select_on == "iid":
        return values[0]
    iid, ood = values
    if select_on == "ood":
        return ood
    return 2 * iid * ood / (iid + ood) if iid + ood > 0 else 0.0


def dominates(a: Vector, b: Vector) -> bool:
    """Whether ``a`` is no worse than ``b`` in every objective and better in one."""
    pairs = list(zip(a, b, strict=True))
    return all(x >= y for x, y in pairs) and any(x > y for x, y in pairs)
