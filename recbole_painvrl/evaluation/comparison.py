"""One method beside others: which of them is the reference, which differences are significant.

Every table, page and summary prints what :func:`compare` returns, so that none can disagree with
another. No test set is looked at to choose the reference, and p-values are corrected within two
families by Holm.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd

from recbole_painvrl.evaluation.significance import PairedComparison, compare_paired, holm

VALID = "valid"
LEVEL = 0.05
# Comparisons with the best baseline, and with all other methods: each is one family for Holm.
PRIMARY, OTHERS = "best baseline", "other rows"
# Names of the masks that explain a learnt one (`ablate`), the planted truth last.
ORACLE = "oracle"
CONTROLS = ("learnt", "soft", "uniform", "permuted", "ones", "zeros", ORACLE)
# What a reader of a table has to know about the tests.
TESTS = (
    "paired over users whose values are averaged over seeds, so they speak of users and not of "
    "other seeds; t test and Wilcoxon's, two-sided, corrected by Holm within two families ("
    f"{PRIMARY}: all test sets and metrics; {OTHERS}: the same for all of them). Intervals are "
    "not corrected."
)
# Test set and metric.
Column = tuple[str, str]


@dataclass(frozen=True)
class Method:
    """A method with the runs of one configuration over seeds.

    Attributes:
        label: its name.
        values: test set and metric to its values, one per seed.
        seeds: of its runs.
        per_user: metrics of every user of the run of a seed, with columns ``test_set`` and
            ``user_id``; None where the run kept none.
        complete: whether every planned seed is there; otherwise it cannot be the reference.
        shown: how sentences call it, where that is not the label.
        control: which of ``CONTROLS`` its mask is; such a method is no baseline. Empty for others.
    """

    label: str
    values: Mapping[Column, Sequence[float]]
    seeds: Sequence[int]
    per_user: Callable[[int], pd.DataFrame | None]
    complete: bool = True
    shown: str = ""
    control: str = ""

    def mean(self, column: Column, of: Collection[int] | None = None) -> float:
        """Mean over the seeds, or over some of them; NaN without a value."""
        values = self.values.get(column, ())
        if of is not None:
            found = zip(self.seeds, values, strict=True) if len(values) else ()
            values = [value for seed, value in found if seed in of]
        return float(np.mean(values)) if len(values) else math.nan


@dataclass(frozen=True)
class Comparison:
    """A method against another one, on one test set and metric.

    Attributes:
        other: label of the other one.
        part: test set.
        metric: metric.
        family: which comparisons it is corrected with.
        seeds: seeds that both have, over which every user's values are averaged.
        value: mean of the method over these seeds; without a common one, over its own.
        other_value: mean of the other one.
        paired: difference over users (method minus other), effect and p; None without a test.
        holm_t: p of the t test, corrected.
        holm_wilcoxon: p of Wilcoxon's test, corrected.
        untested: why there is no test.
    """

    other: str
    part: str
    metric: str
    family: str
    seeds: int
    value: float
    other_value: float
    paired: PairedComparison | None = None
    holm_t: float = math.nan
    holm_wilcoxon: float = math.nan
    untested: str = ""

    @property
    def outcome(self) -> str:
        """``better``, ``worse``, ``not significant``, ``the tests disagree`` or ``not tested``."""
        if self.paired is None:
            return "not tested"
        if min(self.holm_t, self.holm_wilcoxon) >= LEVEL:
            return "not significant"
        opposite = self.paired.difference * self.paired.signed_ranks < 0
        if max(self.holm_t, self.holm_wilcoxon) >= LEVEL or opposite:
            return "the tests disagree"
        return "better" if is_better(self.metric, self.paired.difference, 0.0) else "worse"


def smaller_is_better(metric: str) -> bool:
    """Whether RecBole counts a metric as better where it is smaller, such as RMSE."""
    from recbole.evaluator.register import metric_types, metrics_dict

    name = metric.partition("@")[0]
    return name in metric_types and bool(getattr(metrics_dict[name], "smaller", False))


def is_better(metric: str, value: float, other: float) -> bool:
    """Whether a value of a metric is better than another one."""
    return value < other if smaller_is_better(metric) else value > other


def best(metric: str, values: Mapping[str, float]) -> str | None:
    """Label of the best value, the first of equal ones; None without a finite value."""
    finite = {label: value for label, value in values.items() if math.isfinite(value)}
    choose = min if smaller_is_better(metric) else max
    return choose(finite, key=lambda label: finite[label]) if finite else None


def places(methods: Sequence[Method], column: Column) -> dict[str, str]:
    """``best`` and ``second``, by label, of the means of a column; equal means share a place.

    The oracle mask, which knows the truth, is not ranked. Methods that lack seeds are ranked only
    if no method has all of its seeds. If all means are equal, no method is marked.
    """
    able = [one for one in methods if one.control != ORACLE and math.isfinite(one.mean(column))]
    able = [one for one in able if one.complete] or able
    means = {one.label: round(one.mean(column), 6) for one in able}
    ranks = sorted(set(means.values()), reverse=not smaller_is_better(column[1]))
    names = dict(zip(ranks, ("best", "second"), strict=False)) if len(ranks) > 1 else {}
    return {label: names[value] for label, value in means.items() if value in names}


def control_of(feature_mask: str | None) -> str:
    """Which of ``CONTROLS`` the file of a setting ``feature_mask`` is; empty for other masks."""
    path = Path(feature_mask or "")
    return path.stem if path.suffix == ".npz" and path.stem in CONTROLS else ""


def rivals(methods: Sequence[Method], label: str) -> list[Method]:
    """The other methods without the oracle; controls only if ``label`` is a control itself."""
    own = next(one for one in methods if one.label == label)
    return [
        one
        for one in methods
        if one is not own and one.control != ORACLE and (own.control or not one.control)
    ]


def reference(methods: Sequence[Method], label: str, valid_metric: str) -> str | None:
    """The best baseline by mean validation metric.

    None without validation values, and for one of ``CONTROLS``: the other masks are no baselines.
    """
    if any(one.control for one in methods if one.label == label):
        return None
    column = (VALID, valid_metric)
    others = {one.label: one.mean(column) for one in rivals(methods, label) if one.complete}
    return best(valid_metric, others)


def compare(
    methods: Sequence[Method], label: str, chosen: str | None, columns: Sequence[Column]
) -> list[Comparison]:
    """The method against every other one, the reference first.

    Args:
        methods: all of them.
        label: of the method of interest.
        chosen: label of the reference.
        columns: test sets and metrics.
    """
    method = next(one for one in methods if one.label == label)
    found = []
    for other in methods:
        if other.label == label:
            continue
        family = PRIMARY if other.label == chosen else OTHERS
        first, second, seeds = _frames(method, other)
        for column in columns:
            value, other_value = (one.mean(column, seeds or None) for one in (method, other))
            if not (math.isfinite(value) and math.isfinite(other_value)):
                continue
            paired, untested = _paired(first, second, column)
            found.append(
                Comparison(
                    other.label,
                    *column,
                    family,
                    len(seeds),
                    value,
                    other_value,
                    paired,
                    untested=untested,
                )
            )
    return [one for family in (PRIMARY, OTHERS) for one in _corrected(found, family)]


def standing(
    methods: Sequence[Method], label: str, column: Column, found: Sequence[Comparison]
) -> str:
    """How a method stands in a column, beside whom, and with what confidence, as a sentence."""
    known = [one for one in rivals(methods, label) if math.isfinite(one.mean(column))]
    known = [one for one in known if one.complete] or known
    names = {one.label: one.shown or one.label for one in methods}
    own = next(one for one in methods if one.label == label)
    part, metric = column
    rival = best(metric, {one.label: one.mean(column) for one in known})
    if rival is None or not math.isfinite(own.mean(column)):
        return ""
    tests = {(one.other, one.part, one.metric): one for one in found}
    test = tests.get((rival, *column))
    other = next(one for one in known if one.label == rival)
    value, theirs = own.mean(column), other.mean(column)
    if test:
        # Over the seeds that both have: one of the two methods may have more.
        value, theirs = test.value, test.other_value
    if is_better(metric, theirs, value):
        verb = "does not win: it is behind"
    else:
        verb = "does not win: it is level with" if theirs == value else "leads, ahead of"
    gap = abs(value - theirs)
    fraction = f", {gap / abs(theirs):.1%}" if theirs else ""
    words = f"{part_name(part)} {metric}: {names[label]} ({value:.4f}) {verb} "
    words += f"{names[rival]} ({theirs:.4f})"
    words += f" by {gap:.4f}{fraction}" if gap else ""
    if test and 0 < test.seeds < max(len(own.seeds), len(other.seeds)):
        words += f" over the {test.seeds} seed{'s' * (test.seeds > 1)} that both have"
    elif test and not test.seeds:
        words += ", each over other seeds"
    opposite = test and test.paired and (value - theirs) * test.paired.difference < 0
    if test and opposite and test.outcome != "not significant":
        # Every seed counts alike in the means, every user in the tests.
        words += "; the mean over users, of whom seeds have different numbers, is the other way"
    return f"{words}; {confidence(test)}."


def confidence(one: Comparison | None) -> str:
    """What the paired tests say of a difference, in words."""
    if one is None or one.paired is None:
        return f"not tested: {one.untested if one else 'no runs to compare'}"
    verdict = {
        "not significant": "the difference is not significant",
        "the tests disagree": "the two tests disagree",
    }.get(one.outcome, "the difference is significant")
    paired = one.paired
    return (
        f"{verdict} (over {paired.n} users {paired.difference:+.4f}, 95 % interval "
        f"{paired.low:+.4f} to {paired.high:+.4f}; corrected p {one.holm_t:.2g} by t, "
        f"{one.holm_wilcoxon:.2g} by Wilcoxon)"
    )


def part_name(part: str) -> str:
    """How a table calls a test set."""
    return {"iid": "IID", "ood": "OOD"}.get(part, part)


def paired_users(first: pd.Series, second: pd.Series, test_set: str) -> pd.DataFrame:
    """Both methods' values of every user, averaged over the seeds in which both have the user.

    Args:
        first: values by seed, test set and user.
        second: the same of the other method; a user may be missing or have NaN.
        test_set: its name.

    Returns:
        ``first`` and ``second`` by user.
    """
    both = pd.concat({"first": first, "second": second}, axis=1, join="inner").dropna()
    rows = both[both.index.get_level_values("test_set") == test_set]
    return rows.groupby("user_id", sort=True).mean()


def _frames(one: Method, other: Method) -> tuple[pd.DataFrame, pd.DataFrame, list[int]]:
    """Values per user of both, by common seed; without one, averaged over the seeds of each."""
    seeds = sorted(set(one.seeds) & set(other.seeds))
    if seeds:
        return _per_user(one, seeds), _per_user(other, seeds), seeds
    keys = ["test_set", "user_id"]
    averaged = []
    for method in (one, other):
        frame = _per_user(method, method.seeds)
        if not frame.empty:
            frame = pd.concat({0: frame.groupby(keys).mean()}, names=["seed"])
        averaged.append(frame)
    return averaged[0], averaged[1], []


def _per_user(method: Method, seeds: Sequence[int]) -> pd.DataFrame:
    """Every user's metrics by seed and test set; empty where a run kept none."""
    frames = {seed: method.per_user(seed) for seed in seeds}
    known = {seed: frame for seed, frame in frames.items() if frame is not None}
    whole = known and len(known) == len(frames)
    if not whole or any("user_id" not in frame for frame in known.values()):
        return pd.DataFrame()
    frame = pd.concat(known, names=["seed", None]).reset_index("seed")
    return frame.set_index(["seed", "test_set", "user_id"])


def _paired(
    first: pd.DataFrame, second: pd.DataFrame, column: Column
) -> tuple[PairedComparison | None, str]:
    """The paired comparison, or why there is none."""
    part, metric = column
    if metric not in first or metric not in second:
        return None, "no values per user in these runs"
    pairs = paired_users(first[metric], second[metric], part)
    if len(pairs) < 2:
        return None, "fewer than two users in common"
    return compare_paired(pairs["first"].to_numpy(), pairs["second"].to_numpy()), ""


def _corrected(found: Sequence[Comparison], family: str) -> list[Comparison]:
    """The comparisons of a family with Holm's correction over those that could be tested."""
    members = [one for one in found if one.family == family]
    tests = [one.paired for one in members if one.paired is not None]
    by_t = iter(holm(np.array([one.p_t for one in tests])))
    by_wilcoxon = iter(holm(np.array([one.p_wilcoxon for one in tests])))
    return [
        replace(one, holm_t=float(next(by_t)), holm_wilcoxon=float(next(by_wilcoxon)))
        if one.paired is not None
        else one
        for one in members
    ]
