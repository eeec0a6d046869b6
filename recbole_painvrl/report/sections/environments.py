"""The environments: sizes, stability, and what distinguishes them."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime

import numpy as np

from recbole_painvrl.report.environment_facts import (
    EnvironmentFacts,
    agreement_with_truth,
    environment_facts,
    one_environment_users,
    word_shares,
)
from recbole_painvrl.report.groups import Block, Group
from recbole_painvrl.report.html import Markup, items, join, paragraph, section, table
from recbole_painvrl.report.plots.environments import environment_panels
from recbole_painvrl.report.plots.style import Look, Panels
from recbole_painvrl.report.read import RunData, Stage
from recbole_painvrl.report.side_information import SideInformation, side_information


def environments(block: Block, panels: Panels, looks: Mapping[str, Look]) -> Markup:
    """Figures and tables of the found environments; nothing where no run has any."""
    groups = [group for group in block.groups if group.first.environments]
    if not groups:
        return Markup("")
    facts = {
        group.label: environment_facts(*(_array(group.first, name) for name in _COLUMNS))
        for group in groups
    }
    # All runs of a block have the same data; one of them speaks for the dataset.
    known = {group.label: side_information(group.first) for group in groups}
    missing = dict.fromkeys(text for found in known.values() for text in found.missing)
    parts: list[object] = [
        panels.show(
            environment_panels(block, groups, facts, looks),
            "Environments of the training interactions, numbered from 0. Boxes: quartiles, "
            "whiskers from 5 % to 95 %, per interaction.",
        ),
        table(
            "How the environments were found (agreement 1: the same partition, up to its names)",
            _FOUND_HEAD,
            [_found(group, run) for group in groups for run in group.runs],
        ),
        table(
            "What distinguishes them",
            _HEAD + _number_names(known),
            [
                row
                for group in groups
                for row in _distinguished(group, facts[group.label], known, _number_names(known))
            ],
        ),
        *(_words(group, known[group.label]) for group in groups),
        paragraph("Not known here:", "note") if missing else "",
        items(f"{text}." for text in missing) if missing else "",
    ]
    return section("Environments", join(parts), f"{block.key}-environments", 3)


_COLUMNS = ("environment", "user_id", "item_id")
_FOUND_HEAD = ["run", "environments", "rounds", "moved last", "agreement with the random start",
               "agreement with other starts", "users in one environment (90 %)",
               "adjusted Rand index with the truth"]  # fmt: skip
_HEAD = ["environment", "interactions", "item popularity, mean", "user degree, mean",
         "with the most popular tenth of items"]  # fmt: skip


def _array(run: RunData, name: str) -> np.ndarray:
    return run.environments[name]


def _last_stage(run: RunData) -> Stage | None:
    found = [stage for stage in run.done.stages if stage.name.startswith("environments")]
    return found[-1] if found else None


def _found(group: Group, run: RunData) -> list[object]:
    stage, labels = _last_stage(run), run.environments.get("environment")
    if labels is None:
        return [f"{group.label}, seed {run.done.seed}", *["–"] * (len(_FOUND_HEAD) - 1)]
    ari = agreement_with_truth(labels, run.environments.get("truth"))
    if ari is None:
        recorded = run.done.planted.get("environment_ari")
        ari = float(recorded) if isinstance(recorded, int | float) else None

    def numbers(name: str, form: str) -> str:
        values = [] if stage is None else stage.numbers(name)
        return ", ".join(format(value, form) for value in values) or "–"

    return [
        f"{group.label}, seed {run.done.seed}",
        str(len(np.unique(labels))),
        numbers("rounds", ".0f"),
        numbers("moved", ".1%"),
        numbers("start_agreement", ".2f"),
        numbers("stability", ".2f"),
        f"{one_environment_users(labels, run.environments['user_id']):.0%}",
        "not known" if ari is None else f"{ari:.3f}",
    ]


def _number_names(known: Mapping[str, SideInformation]) -> list[str]:
    return list(dict.fromkeys(name for found in known.values() for name in found.numbers))


def _distinguished(
    group: Group,
    facts: list[EnvironmentFacts],
    known: Mapping[str, SideInformation],
    names: list[str],
) -> list[list[object]]:
    labels, numbers = group.first.environments["environment"], known[group.label].numbers
    rows = []
    for fact in facts:
        inside = labels == fact.number
        row: list[object] = [
            f"{group.label}, {fact.number}",
            f"{int(inside.sum()):,} ({fact.share:.0%})",
            f"{fact.popularity.mean():.1f}",
            f"{fact.degree.mean():.1f}",
            f"{fact.popular_share:.1%}",
        ]
        for name in names:
            values = numbers[name][inside] if name in numbers else np.asarray([])
            row.append(_mean(name, values[np.isfinite(values)]))
        rows.append(row)
    return rows


def _mean(name: str, values: np.ndarray) -> str:
    if not len(values):
        return "–"
    median = float(np.median(values))
    if name == "timestamp" and 0 < median < 1e11:
        return f"median {datetime.fromtimestamp(median, UTC):%Y-%m-%d}"
    return f"mean {values.mean():.4g}"


def _words(group: Group, known: SideInformation) -> Markup:
    labels = group.first.environments["environment"]
    numbers = np.unique(labels).tolist()
    tables = []
    for name, words in known.words.items():
        rows = [
            [word, *(f"{share:.1%}" for share in shares)]
            for word, shares in word_shares(labels, words)
        ]
        caption = f"{group.label}: words of `{name}` whose share differs most between environments"
        tables.append(table(caption, [name, *(f"environment {n}" for n in numbers)], rows))
    return join(tables)
