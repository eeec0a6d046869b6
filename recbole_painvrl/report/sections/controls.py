"""Controls of a learnt mask: the same model with masks that lack a part of it (`ablate`)."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from recbole_painvrl.evaluation.comparison import TESTS, VALID, Comparison, part_name
from recbole_painvrl.report.groups import Block, Group
from recbole_painvrl.report.render import metric_name
from recbole_painvrl.report.sections.headline import difference

LEARNT = "learnt"
# Names of the files of the masks, and what they keep of the learnt one.
_KEEPS = {
    LEARNT: "everything",
    "soft": "values before the cut",
    "uniform": "the mean",
    "permuted": "values, not their order",
    "ones": "nothing; all features",
    "zeros": "nothing; no features",
    "oracle": "nothing; planted truth",
}


def controls(block: Block) -> dict[str, Any] | None:
    """A table of all controls, each against the learnt mask; None without such runs."""
    learnt = next((group for group in block.groups if group.mask == LEARNT), None)
    if learnt is None:
        return None
    found: dict[str | None, Group] = {LEARNT: learnt}
    for group in block.groups:
        # Another ablation has learnt another mask.
        if group.mask in _KEEPS and _folders(group) & _folders(learnt):
            found.setdefault(group.mask, group)
    if len(found) < 2:
        return None
    metric = found[LEARNT].valid_metric
    tests = [split for split in block.splits if split != VALID]
    compared = [one for one in block.judge(found[LEARNT]).found if one.metric == metric]
    return {
        "head": [
            "mask",
            "keeps",
            *(f"{metric_name(metric)}, {part_name(test)}" for test in tests),
            *(f"learnt − this, {part_name(test)}" for test in tests),
        ],
        "rows": [
            [
                name,
                keeps,
                *(_value(found[name], test, metric) for test in tests),
                *(_difference(found[name], test, compared) for test in tests),
            ]
            for name, keeps in _KEEPS.items()
            if name in found
        ],
        "about": TESTS,
        "seeds": len(found[LEARNT].runs),
    }


def _folders(group: Group) -> set[Path]:
    """Folders of the grids that have the runs."""
    return {run.folder.parent.resolve() for run in group.runs}


def _value(group: Group, test: str, metric: str) -> str:
    number = group.number(test, metric)
    if number is None:
        return "–"
    return f"{number.mean:.4f}" + ("" if number.sd is None else f" ± {number.sd:.4f}")


def _difference(group: Group, test: str, compared: Sequence[Comparison]) -> str:
    """Difference over the users, its interval and what the tests say."""
    one = next((c for c in compared if c.other == group.label and c.part == test), None)
    if one is None:
        return "–"
    if one.paired is None:
        return one.untested
    verdict = "" if one.outcome == "not significant" else f", {one.outcome}"
    return f"{difference(one.paired)}{verdict}"
