"""``cells.json``: every run of a grid with its key and state, and folders of earlier keys."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from recbole_painvrl.atomic import write_json
from recbole_painvrl.experiments.planning import Row
from recbole_painvrl.experiments.runs import GridRun
from recbole_painvrl.locks import in_turn
from recbole_painvrl.report.collect import GRID, argument


def write_record(
    output: Path, rows: Sequence[Row], methods: Mapping[str, str] | None = None
) -> list[str]:
    """Write ``cells.json``; returns a line for each run whose key changed since the last call.

    Another line says if the tables in the folder are of another dataset.

    The old folder of a changed run is kept and listed under ``left``, the runs of rows of earlier
    calls under ``earlier``; the methods of their tables are kept.

    Args:
        output: folder of the grid.
        rows: of all tables.
        methods: group -> label of the method of its table, read by `report`.
    """
    # Other commands, and threads of this one, add their own to what they have read.
    with in_turn(output / f".{GRID}.lock"):
        return _write_record(output, rows, methods)


def _write_record(
    output: Path, rows: Sequence[Row], methods: Mapping[str, str] | None
) -> list[str]:
    path = output / GRID
    before = _read(path)
    entries = [_entry(row, run, output) for row in rows for run in row.runs]
    wanted = {entry["folder"] for entry in entries}
    # Another call may have had other rows.
    recorded = {_place(e): e for e in [*before.get("earlier", []), *before.get("cells", [])]}
    planned = {_place(entry) for entry in entries}
    left = {e["folder"]: e for e in before.get("left", [])}
    lines = _replaced(before.get("cells", []), entries, output)
    for row in rows:
        for run in row.runs:
            dataset = argument(run.arguments, "dataset")
            old = recorded.get((row.group, row.label, run.seed, dataset))
            if old is None or old["folder"] in wanted or not (output / old["folder"]).is_dir():
                continue
            changed = run.key.changed(old)
            left[old["folder"]] = {
                "folder": old["folder"],
                "group": row.group,
                "row": row.label,
                "seed": run.seed,
                "dataset": dataset,
                "changed": changed,
            }
            lines.append(
                f"{row.label} seed {run.seed}: {' and '.join(changed)} changed, so it has to "
                f"be run again; the earlier run stays in {output / old['folder']}"
            )
    kept = [entry for folder, entry in left.items() if folder not in wanted]
    earlier = [entry for place, entry in recorded.items() if place not in planned]
    groups = {entry["group"] for entry in earlier}
    known = {name: one for name, one in before.get("methods", {}).items() if name in groups}
    named = {**known, **(methods or {})}
    write_json(path, {"methods": named, "cells": entries, "left": kept, "earlier": earlier})
    return lines


def _replaced(
    before: Sequence[Mapping[str, Any]], now: Sequence[Mapping[str, Any]], output: Path
) -> list[str]:
    """A line if the tables of the last call were of other datasets; else none."""
    then, present = (sorted({str(_place(e)[3]) for e in entries}) for entries in (before, now))
    if not then or set(then) & set(present):
        return []
    return [
        f"the tables in {output} are of `{', '.join(then)}` and are replaced by those of "
        f"`{', '.join(present)}`; give each dataset its own `--output` to keep both"
    ]


def _place(entry: Mapping[str, Any]) -> tuple[Any, ...]:
    dataset = argument(entry.get("arguments", ()), "dataset")
    return entry["group"], entry["row"], entry["seed"], dataset


def _entry(row: Row, run: GridRun, output: Path) -> dict[str, Any]:
    state = run.state()
    return {
        "group": row.group,
        "row": row.label,
        "model": run.arguments[0].partition("=")[2].rpartition(":")[2],
        "seed": run.seed,
        "state": state,
        "reason": run.reason() if state == "failed" else None,
        "folder": run.folder.relative_to(output).as_posix(),
        "key": run.key.digest,
        "data": run.key.data,
        "config": run.key.config,
        "code": run.key.code,
        "arguments": list(run.arguments),
    }


def _read(path: Path) -> dict[str, Any]:
    try:
        value: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        for entry in [*value.get("cells", []), *value.get("left", []), *value.get("earlier", [])]:
            if not isinstance(entry["folder"], str):
                raise TypeError("folder")
        for entry in [*value.get("cells", []), *value.get("earlier", [])]:
            _ = _place(entry)
        _ = value.get("methods", {}).items()
    # Ignored: without a record, only the folders of earlier keys are no longer listed.
    except (OSError, ValueError, LookupError, TypeError, AttributeError):
        return {}
    return value
