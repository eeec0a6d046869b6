"""From finished cells to a table: means over seeds, places, paired tests, plain sentences."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from recbole_painvrl.evaluation.significance import compare_paired, holm
from recbole_painvrl.experiments.cells import Cell
from recbole_painvrl.experiments.planning import Row
from recbole_painvrl.report.contents import (
    BEST,
    OTHERS,
    PRIMARY,
    SECOND,
    VALID,
    Column,
    Comparison,
    Number,
    TableRow,
    smaller_is_better,
)

_USER = ["test_set", "user_id"]
_RUN = "seed"


def places(values: dict[str, float], smaller_is_better: bool = False) -> dict[str, str]:
    """Who is best and second; equal values share a place.

    Args:
        values: label to mean.
        smaller_is_better: for errors.
    """
    ranks = sorted(set(values.values()), reverse=not smaller_is_better)
    names = dict(zip(ranks, (BEST, SECOND), strict=False))
    return {label: names.get(value, "") for label, value in values.items()}


def table_row(row: Row) -> TableRow:
    """Read the cells of a row."""
    numbers: dict[Column, Number] = {}
    folders, missing = {}, []
    for cell in row.cells:
        if cell.state() != "done":
            missing.append(_missing(cell))
            continue
        folders[cell.seed] = cell.folder
        for part, metrics in cell.result()["metrics"].items():
            for metric, value in metrics.items():
                # A run writes null for what is no number; it must not pass for a missing seed.
                known = float("nan") if value is None else value
                numbers.setdefault((part, metric), Number([])).values.append(known)
    return TableRow(row.label, folders, missing, numbers)


def rank(rows: Sequence[TableRow], column: Column) -> None:
    """Set the places of a column; rows with missing seeds compete only where all have some."""
    able = [row for row in rows if row.has(column)]
    complete = [row for row in able if row.complete] or able
    means = {row.label: row.numbers[column].mean for row in complete}
    found = places(means, smaller_is_better(column[1]))
    for row in complete:
        row.numbers[column].place = found[row.label]


def reference_row(rows: Sequence[TableRow], method: str, valid_metric: str) -> str | None:
    """The best row beside the method by mean validation metric; no test set is looked at."""
    column = (VALID, valid_metric)
    means = {
        row.label: row.numbers[column].mean
        for row in rows
        if row.label != method and row.has(column) and row.complete
    }
    if not means:
        return None
    choose = min if smaller_is_better(valid_metric) else max
    return choose(means, key=lambda label: means[label])


def comparisons(
    rows: Sequence[TableRow], method: str, reference: str | None, columns: Sequence[Column]
) -> list[Comparison]:
    """Paired tests of the method against every other row, corrected within two families."""
    by_label = {row.label: row for row in rows}
    own, found = by_label[method], []
    for other in rows:
        if other.label == method:
            continue
        family = PRIMARY if other.label == reference else OTHERS
        seeds = sorted(set(own.folders) & set(other.folders))
        if not seeds:
            continue
        first, second = (_per_user({s: row.folders[s] for s in seeds}) for row in (own, other))
        for part, metric in columns:
            if metric not in first or metric not in second:
                continue
            pairs = paired_users(first[metric], second[metric], part)
            if len(pairs) < 2:
                continue
            paired = compare_paired(pairs["first"].to_numpy(), pairs["second"].to_numpy())
            found.append(Comparison(other.label, part, metric, family, len(seeds), paired))
    return [one for family in (PRIMARY, OTHERS) for one in _corrected(found, family)]


def paired_users(first: pd.Series, second: pd.Series, part: str) -> pd.DataFrame:
    """Both rows' values of every user, averaged over the seeds in which both have the user.

    Args:
        first: values by seed, test set and user.
        second: the same of the other row; a user may be missing, or have no number (NaN).
        part: test set.

    Returns:
        ``first`` and ``second`` by user.
    """
    both = pd.concat({"first": first, "second": second}, axis=1, join="inner").dropna()
    own = both[both.index.get_level_values("test_set") == part]
    return own.groupby("user_id", sort=True).mean()


def result_of_any(rows: Sequence[Row]) -> dict[str, Any] | None:
    """The result of one cell that is done, for what all have in common."""
    for row in rows:
        for cell in row.cells:
            if cell.state() == "done":
                return cell.result()
    return None


def _corrected(found: Sequence[Comparison], family: str) -> list[Comparison]:
    members = [one for one in found if one.family == family]
    by_t = holm(np.array([one.paired.p_t for one in members]))
    by_wilcoxon = holm(np.array([one.paired.p_wilcoxon for one in members]))
    return [
        replace(one, holm_t=float(t), holm_wilcoxon=float(w))
        for one, t, w in zip(members, by_t, by_wilcoxon, strict=True)
    ]


def _per_user(folders: Mapping[int, Path]) -> pd.DataFrame:
    """Every user's metrics by seed and test set; without columns where runs kept none."""
    frames = {seed: pd.read_parquet(path / "per_user.parquet") for seed, path in folders.items()}
    frame = pd.concat(frames, names=[_RUN, None]).reset_index(_RUN)
    if "user_id" not in frame:
        return pd.DataFrame()
    return frame.set_index([_RUN, *_USER])


def _missing(cell: Cell) -> str:
    state = cell.state()
    what = f"failed: {cell.reason()}" if state == "failed" else "not run"
    if state == "interrupted":
        what = "not complete"
    return f"seed {cell.seed} {what}"
