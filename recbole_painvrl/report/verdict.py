"""Does the method win, by how much, and with what confidence."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from recbole_painvrl.evaluation.significance import PairedComparison, compare_paired, holm
from recbole_painvrl.report.contents import smaller_is_better
from recbole_painvrl.report.groups import Block, Group
from recbole_painvrl.report.read import RunData

METHOD = "PaInvRL"
_LEVEL = 0.05


@dataclass(frozen=True)
class Verdict:
    """The method against the best other column, for one test set and metric.

    Attributes:
        part: test set.
        metric: metric.
        method: label of the method's column.
        other: label of the best other column.
        value: mean of the method.
        best: mean of the other.
        test: paired comparison over users; None where it is not possible.
        p: p of its t test after Holm's correction over all verdicts; None without a test.
        why_not: why there is no test.
    """

    part: str
    metric: str
    method: str
    other: str
    value: float
    best: float
    test: PairedComparison | None
    p: float | None
    why_not: str

    @property
    def outcome(self) -> str:
        """One word: ``wins``, ``loses``, ``ties`` (not significant) or ``untested``."""
        if self.p is None or self.test is None:
            return "untested"
        if self.p >= _LEVEL:
            return "ties"
        better = (self.test.difference > 0) != smaller_is_better(self.metric)
        return "wins" if better else "loses"

    @property
    def behind(self) -> bool:
        """Whether the mean of the method is worse."""
        gap = self.value - self.best
        return gap > 0 if smaller_is_better(self.metric) else gap < 0


def method_group(block: Block) -> Group | None:
    """The column that is judged: PaInvRL, the first if there are several; None without others."""
    own = [group for group in block.groups if group.model == METHOD]
    return own[0] if own and len(block.groups) > 1 else None


def verdicts(block: Block) -> list[Verdict]:
    """Every test set and metric, the method against the best other column."""
    method = method_group(block)
    if method is None:
        return []
    found = []
    for part in (part for part in block.parts if part != "valid"):
        for metric in block.metrics:
            verdict = _verdict(block, method, part, metric)
            if verdict is not None:
                found.append(verdict)
    tested = [number for number, verdict in enumerate(found) if verdict.test is not None]
    p_values = np.asarray([found[number].test.p_t for number in tested])  # type: ignore[union-attr]
    corrected = holm(p_values) if tested else p_values
    for number, p in zip(tested, corrected.tolist(), strict=True):
        old = found[number]
        found[number] = Verdict(
            old.part, old.metric, old.method, old.other, old.value, old.best, old.test, p, ""
        )
    return found


def _verdict(block: Block, method: Group, part: str, metric: str) -> Verdict | None:
    others = [
        (value, group)
        for group in block.groups
        if group is not method and (value := group.mean(part, metric)) is not None
    ]
    own = method.mean(part, metric)
    if own is None or not others:
        return None
    choose = min if smaller_is_better(metric) else max
    best, other = choose(others, key=lambda pair: pair[0])
    test, why_not = _paired(method, other, part, metric)
    return Verdict(part, metric, method.label, other.label, own, best, test, None, why_not)


def _paired(
    method: Group, other: Group, part: str, metric: str
) -> tuple[PairedComparison | None, str]:
    """Paired over users, each with its mean over the seeds that both columns have."""
    ours = {run.done.seed: run for run in method.runs}
    theirs = {run.done.seed: run for run in other.runs}
    seeds = sorted(set(ours) & set(theirs))
    first = _per_user([ours[seed] for seed in seeds] or method.runs, part, metric)
    second = _per_user([theirs[seed] for seed in seeds] or other.runs, part, metric)
    if first is None or second is None:
        return None, "no metrics per user in these runs"
    both = pd.concat([first, second], axis=1, join="inner").dropna()
    if len(both) < 2:
        return None, "fewer than two users in common"
    return compare_paired(both.iloc[:, 0].to_numpy(), both.iloc[:, 1].to_numpy()), ""


def _per_user(runs: list[RunData], part: str, metric: str) -> pd.Series | None:
    found = []
    for run in runs:
        frame = run.per_user
        if frame is None or metric not in frame:
            return None
        rows = frame.loc[frame["test_set"] == part, ["user_id", metric]]
        found.append(rows.groupby("user_id")[metric].mean())
    mean: pd.Series = pd.concat(found, axis=1, join="inner").mean(axis=1)
    return mean
