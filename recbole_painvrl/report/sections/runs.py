"""Caveats, and the provenance of every run: command, configuration, versions and hashes."""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from recbole_painvrl.report.caveats import caveats
from recbole_painvrl.report.collect import LeftOut, PlannedRun
from recbole_painvrl.report.groups import Block, unique
from recbole_painvrl.report.read import RunData
from recbole_painvrl.report.render import Cell, address, metric_name, number_or_dash
from recbole_painvrl.report.same_tests import short
from recbole_painvrl.run.program import shell_command


def limits(block: Block) -> dict[str, Any]:
    """Caveats of all runs, then those of single columns."""
    by_run = {run.folder: caveats(run) for run in block.runs}
    shared = [
        text
        for text in by_run[block.runs[0].folder]
        if all(text in found for found in by_run.values())
    ]
    lists = [("All runs", shared)]
    for group in block.groups:
        texts = unique(
            text for run in group.runs for text in by_run[run.folder] if text not in shared
        )
        entries = []
        for text in texts:
            seeds = [str(run.done.seed) for run in group.runs if text in by_run[run.folder]]
            holds_for_all = len(seeds) == len(group.runs)
            entries.append(text if holds_for_all else f"Seed {', '.join(seeds)}: {text}")
        if len(group.runs) == 1:
            entries.append("One seed: the standard deviation over seeds is not known.")
        lists.append((group.label, entries))
    versions = {tuple(sorted(run.done.versions.items())) for run in block.runs}
    return {
        "lists": [(title, entries) for title, entries in lists if entries],
        "versions": len(versions),
    }


def answers(block: Block) -> dict[str, Any] | None:
    """The last lines of every run that learnt a mask; of more than two, also their verdicts."""
    found: dict[tuple[str, ...], list[str]] = {}
    verdicts = []
    for group in block.groups:
        for run in group.runs:
            said = run.done.answer
            lines = said.get("lines")
            if isinstance(lines, list):
                name = f"{group.label}, seed {run.done.seed}"
                found.setdefault(tuple(map(str, lines)), []).append(name)
                gap = said.get("oracle_gap")
                words = [str(said.get(key, "–")) for key in ("mask", "environments")]
                verdicts.append([name, *words, number_or_dash(gap, ".0%")])
    said_by = [("; ".join(names), [*lines]) for lines, names in found.items()]
    return {"runs": said_by, "verdicts": verdicts if len(said_by) > 2 else []} if found else None


def provenance(block: Block, page: Path) -> list[dict[str, Any]]:
    """Every run by column: metrics, command, configuration, versions and hashes."""
    return [
        {
            "title": group.label,
            "anchor": block.anchor(group),
            "runs": [_run(run, page) for run in group.runs],
        }
        for group in block.groups
    ]


def _run(run: RunData, page: Path) -> dict[str, Any]:
    result = run.done
    names = unique(name for values in result.metrics.values() for name in values)
    file = address(run.folder / "result.json", page)
    entries = sorted(
        run.config.items(), key=lambda item: (str(item[1]["from"]).startswith("RecBole"), item[0])
    )
    words = result.command
    python = ["python"] if words and words[0].endswith(".py") else []
    return {
        "folder": Cell(run.folder.name, address(run.folder, page)),
        "result": result,
        "command": shlex.join([*python, *words]) or "not recorded",
        "splits": [*result.metrics],
        "metrics": [
            [
                metric_name(name),
                *(
                    "–" if values.get(name) is None else Cell(f"{values[name]:.4f}", file)
                    for values in result.metrics.values()
                ),
            ]
            for name in names
        ],
        "settings": [[name, short(one["value"], 160), str(one["from"])] for name, one in entries],
    }


def incomplete(
    runs: Sequence[RunData], missing: Iterable[PlannedRun], page: Path
) -> list[list[str | Cell]]:
    """Runs without a result, with their last log line and the command that resumes them.

    Args:
        runs: with a run folder.
        missing: planned runs that failed or have none.
        page: the page, for links.
    """
    begun: list[list[str | Cell]] = [
        [
            Cell(run.folder.name, address(run.folder, page)),
            f"{run.value('model') or '?'} on {run.value('dataset') or '?'}, "
            f"seed {run.value('seed')}",
            run.last_line or "nothing in train.log",
            shell_command(resume=run.folder),
        ]
        for run in runs
    ]
    retry = "that of the grid, with --retry-failed for failed runs"
    return begun + [
        [one.folder.name, f"{one.row}, seed {one.seed}", one.state, retry] for one in missing
    ]


def left_out(found: Sequence[LeftOut], page: Path) -> list[list[str | Cell]]:
    """Given paths that are not on the page, and why."""
    return [[Cell(str(one.path), address(one.path, page)), one.reason] for one in found]
