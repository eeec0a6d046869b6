"""Groups runs: equal but for the seed, they form a column; on the same test sets, a block."""

from __future__ import annotations

import math
import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence, Set
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, NamedTuple

from recbole_painvrl.config.layers import is_given
from recbole_painvrl.evaluation.comparison import (
    ORACLE,
    VALID,
    Column,
    Comparison,
    Method,
    compare,
    control_of,
    places,
    reference,
)
from recbole_painvrl.report.read import Result, RunData
from recbole_painvrl.report.same_tests import by_split, data_of, evaluation_of, short
from recbole_painvrl.report.tables import Number
from recbole_painvrl.run.folder import config_hash

# The default method, unless the user or a grid names another.
METHOD = "PaInvRL"
_MAX_SETTINGS = 2
# Settings that come first in the label of a column.
_DECISIVE = ("final_model", "modalities", "preset", "mask_form", "feature_mask")
# Derived from the seed or the machine, so not compared.
_NO_SETTING = frozenset({"seed", "nproc", "gpu_id", "device"})


@dataclass
class Group:
    """Runs of one model with one set of settings, by seed.

    Attributes:
        label: name of the column: the model, and settings that differ from its other columns.
        runs: complete runs, in order of their seeds.
        complete: whether there is a run for every seed that a grid has planned.
    """

    label: str
    runs: list[RunData] = field(default_factory=list)
    complete: bool = True

    @property
    def first(self) -> RunData:
        """The run with the smallest seed, which is drawn in figures of single runs."""
        return self.runs[0]

    @property
    def model(self) -> str:
        """Name of the model."""
        return self.first.done.model

    @property
    def mask(self) -> str | None:
        """Name of the file or run whose mask is on the features (``feature_mask``)."""
        return mask_name(self.first)

    @property
    def valid_metric(self) -> str:
        """The metric that chose the epoch, in lower case as in the results."""
        return self.first.done.valid_metric.lower()

    def number(self, split: str, metric: str) -> Number | None:
        """The metric by run; None where a run lacks it."""
        number = Number(self._values((split, metric)))
        return number if math.isfinite(number.mean) else None

    def _values(self, column: Column) -> list[float]:
        """The metric by run, NaN where a run has none."""
        found = (run.done.metrics.get(column[0], {}).get(column[1]) for run in self.runs)
        return [math.nan if value is None else value for value in found]

    def method(self) -> Method:
        """The group for :func:`compare`."""
        runs = {run.done.seed: run for run in self.runs}
        columns = {
            (s, name) for run in self.runs for s, v in run.done.metrics.items() for name in v
        }
        values = {column: self._values(column) for column in columns}
        given = self.first.value("feature_mask")
        return Method(
            self.label,
            values,
            list(runs),
            lambda seed: runs[seed].per_user,
            self.complete,
            control=control_of(None if given is None else str(given)),
        )


class Judged(NamedTuple):
    """A column compared with all others on every test and metric.

    Attributes:
        methods: all columns.
        chosen: label of the best baseline by validation, or None.
        columns: tests and metrics.
        found: the comparisons, corrected together.
    """

    methods: list[Method]
    chosen: str | None
    columns: list[Column]
    found: list[Comparison]


@dataclass
class Block:
    """All groups on one dataset under one protocol.

    Attributes:
        key: short text for anchors and file names.
        title: name of the dataset and its variant, with the settings of the evaluation where
            several differ.
        groups: the columns of its tables.
    """

    key: str
    title: str
    groups: list[Group]

    @property
    def result(self) -> Result:
        """The result of one run, for what all have in common: dataset, protocol, variant, sizes."""
        # The first of the runs with most modalities, in which most measures of the shift are known.
        return max((run.done for run in self.runs), key=lambda one: one.n_compared)

    @property
    def runs(self) -> list[RunData]:
        """All runs of the block."""
        return [run for group in self.groups for run in group.runs]

    @property
    def splits(self) -> list[str]:
        """Evaluated splits, in the order of the results."""
        return unique(split for run in self.runs for split in run.done.metrics)

    @property
    def metrics(self) -> list[str]:
        """All metrics, in the order of the results."""
        return unique(
            name for run in self.runs for metrics in run.done.metrics.values() for name in metrics
        )

    def methods(self) -> list[Method]:
        """The groups for :func:`compare`."""
        methods = [group.method() for group in self.groups]
        if len({one.control for one in methods} - {""}) < 2:
            # A single mask whose file has such a name is the user's, not a set of controls.
            methods = [replace(one, control="") for one in methods]
        return methods

    def places(self, column: Column) -> dict[str, str]:
        """``best`` and ``second``, by label of the group."""
        return places(self.methods(), column)

    @property
    def has_oracle(self) -> bool:
        """Whether one of several controls is the oracle mask."""
        return any(one.control == ORACLE for one in self.methods())

    def judge(self, method: Group) -> Judged:
        """The comparison of a column with all others, of which every section shows a part."""
        methods = self.methods()
        chosen = reference(methods, method.label, method.valid_metric)
        columns = [
            (split, name) for split in self.splits if split != VALID for name in self.metrics
        ]
        return Judged(methods, chosen, columns, compare(methods, method.label, chosen, columns))

    def anchor(self, group: Group) -> str:
        """Id of the list of a group's runs on the page."""
        return f"{self.key}-runs-{self.groups.index(group) + 1}"

    def method(self, name: str | None, of_grids: Set[Path]) -> Group | None:
        """The group that is compared with the others.

        Args:
            name: label or model given by the user, the latter also as ``package.module:Class``.
            of_grids: run folders of the methods of grids, which are used without a name.
        """
        if name is not None:
            names = {name, name.rpartition(":")[2]}
            return next((g for g in self.groups if names & {g.label, g.model}), None)
        found = [{run.folder.resolve() for run in g.runs} & of_grids for g in self.groups]
        first = next(filter(None, found), None)
        if first is None:
            return next((group for group in self.groups if group.model == METHOD), None)
        # A row of another mask may share runs with the method, but never those of all seeds.
        counts = [len(folders) if folders & first else 0 for folders in found]
        return self.groups[counts.index(max(counts))]


def blocks(
    runs: Sequence[RunData], of_partial_rows: Set[tuple[Path, str | None]] = frozenset()
) -> list[Block]:
    """Sort complete runs into blocks and groups, in the given order.

    Args:
        runs: complete or not.
        of_partial_rows: as of :class:`~recbole_painvrl.report.collect.Collected`.
    """
    complete = [run for run in runs if run.result is not None]
    # A run without a configuration is assumed to be evaluated like the others on its data.
    usual = {data_of(run): evaluation_of(run) for run in reversed(complete) if run.config}
    by_test: dict[Any, list[RunData]] = defaultdict(list)
    for run in complete:
        evaluation = evaluation_of(run) if run.config else usual.get(data_of(run))
        by_test[data_of(run), evaluation].append(run)
    found: list[Block] = []
    for same in by_test.values():
        data = data_of(same[0])[:2]
        alike = [one[0] for one in by_test.values() if data_of(one[0])[:2] == data]
        shared = set.intersection(*(set(evaluation_of(run)) for run in alike))
        own = (pair for pair in evaluation_of(same[0]) if pair not in shared)
        words = [f"{name}={short(value, 60)}" for name, value in own]
        parts = by_split(same)
        for members in parts:
            known = (run.done.hashes["train"] for run in members if "train" in run.done.hashes)
            train = next(known, "not recorded")
            said = [f"split {train[:8]}", *words] if len(parts) > 1 else words
            title = members[0].done.data_name + (f" ({_few(said)})" if said else "")
            groups = _groups(members)
            for group in groups:
                group.complete = not _rows(group) & of_partial_rows
            found.append(Block(f"b{len(found) + 1}", title, groups))
    return found


def _rows(group: Group) -> set[tuple[Path, str | None]]:
    """Run folders with their masks, and without, as a grid records its rows."""
    masks = [(run.folder.resolve(), run.value("feature_mask")) for run in group.runs]
    return {pair for folder, mask in masks for pair in ((folder, None), (folder, mask))}


def _few(words: Sequence[str]) -> str:
    return ", ".join(words[:_MAX_SETTINGS]) + (" …" if len(words) > _MAX_SETTINGS else "")


def unique(values: Iterable[str]) -> list[str]:
    """Values without repetition, in order."""
    return list(dict.fromkeys(values))


def mask_name(run: RunData) -> str | None:
    """Name of the file, without its ending, or of the run of ``feature_mask``; None without one."""
    given = run.value("feature_mask")
    return None if given is None else Path(str(given)).name.removesuffix(".npz")


def _groups(runs: Sequence[RunData]) -> list[Group]:
    by_settings: dict[str, list[RunData]] = defaultdict(list)
    seen: Counter[tuple[str, int]] = Counter()
    by_model: dict[str, list[Group]] = defaultdict(list)
    for run in runs:
        settings = {name: v for name, v in run.config.items() if name not in _NO_SETTING}
        # Every seed of a control has its own mask file, all with the same name.
        settings["feature_mask"] = {"value": mask_name(run)}
        key = f"{run.done.model} {config_hash(settings)} {run.done.hashes.get('code')}"
        # A second run with equal settings and seed (from another machine) goes into another column.
        by_settings[f"{key} {seen[key, run.done.seed]}"].append(run)
        seen[key, run.done.seed] += 1
    groups = []
    for members in by_settings.values():
        model = members[0].done.model
        groups.append(Group(model, sorted(members, key=lambda run: run.done.seed)))
        by_model[model].append(groups[-1])
    for same in by_model.values():
        if len(same) > 1:
            _tell_apart(same)
    # Comparisons and marks go by the label.
    for label, count in Counter(group.label for group in groups).items():
        if count > 1:
            for number, group in enumerate((one for one in groups if one.label == label), 1):
                group.label = f"{label} {number}"
    return groups


def _tell_apart(groups: Sequence[Group]) -> None:
    """Add the settings that differ to the labels, the user's first."""
    absent = {"value": None, "from": "absent"}
    differing: list[str] = []
    for name in unique(name for group in groups for name in group.first.config):
        # Equal hashes: a setting such as the output folder, on which results do not depend.
        hashes = {config_hash({name: group.first.config.get(name, absent)}) for group in groups}
        if name not in _NO_SETTING and len(hashes) > 1:
            differing.append(name)
    given = {
        name
        for group in groups
        for name, entry in group.first.config.items()
        if is_given(str(entry["from"]))
    }
    differing.sort(key=lambda name: (name not in given, name not in _DECISIVE))
    rows = [_row_label(group) for group in groups]
    for number, (group, row) in enumerate(zip(groups, rows, strict=True), 1):
        # The model's name alone says nothing beside a run that is of no grid.
        if rows.count(row) == 1 and row is not None and (row != group.model or None not in rows):
            group.label = row
            continue
        words = [
            f"mask={short(group.mask)}"
            if name == "feature_mask"
            else f"{name}={short(group.first.value(name))}"
            for name in differing
        ]
        group.label = f"{group.model} ({_few(words) or number})"


def _row_label(group: Group) -> str | None:
    """Name of the group's row in a grid (``LABEL=MODEL``), with which its run folders begin."""
    labels = set()
    for run in group.runs:
        end = rf"-{re.escape(run.done.dataset)}-seed{run.done.seed}-[0-9a-f]{{12}}"
        found = re.fullmatch(f"(.+){end}", run.folder.name)
        labels.add(found and found[1])
    return labels.pop() if len(labels) == 1 else None
