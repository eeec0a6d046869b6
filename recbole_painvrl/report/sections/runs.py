"""What is planted, capped or approximated; and from what, by which command, a run was made."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from pathlib import Path

from recbole_painvrl.report.caveats import caveats
from recbole_painvrl.report.collect import LeftOut
from recbole_painvrl.report.groups import Block, Group, short, unique
from recbole_painvrl.report.parts import (
    Bullets,
    Cell,
    PageTable,
    Part,
    Run,
    Runs,
    Section,
    Text,
    address,
)
from recbole_painvrl.report.read import RunData
from recbole_painvrl.report.sections.headline import metric_name
from recbole_painvrl.run.summary import part_name


def limits(block: Block) -> Section:
    """Caveats: those that all runs share once, then those of single columns."""
    by_run = {run.folder: caveats(run) for run in block.runs}
    shared = [text for text in by_run[block.runs[0].folder]
              if all(text in found for found in by_run.values())]  # fmt: skip
    parts: list[Part] = [Bullets(shared, "All runs")] if shared else []
    for group in block.groups:
        texts = unique(
            text for run in group.runs for text in by_run[run.folder] if text not in shared
        )
        entries = [_with_seeds(group, text, by_run) for text in texts]
        if len(group.runs) == 1:
            entries.append("One seed: nothing is known about its spread.")
        if entries:
            parts.append(Bullets(entries, group.label))
    if len({tuple(sorted(run.done.versions.items())) for run in block.runs}) > 1:
        parts.append(Text("The runs were made with different versions of packages."))
    if not parts:
        parts = [Text("Nothing that the runs' files tell of.")]
    title = "What is planted, capped or approximated"
    return Section(f"{block.key}-limits", title, parts)


def _with_seeds(group: Group, text: str, by_run: dict[Path, list[str]]) -> str:
    """Say for which seeds a sentence holds, where it is not all of them."""
    seeds = [str(run.done.seed) for run in group.runs if text in by_run[run.folder]]
    return f"Seed {', '.join(seeds)}: {text}" if len(seeds) < len(group.runs) else text


def provenance(block: Block, page: Path) -> Section:
    """Every run: its figures, command, configuration, versions and hashes."""
    parts = [
        Runs(group.label, block.anchor(group), [_run(run, page) for run in group.runs])
        for group in block.groups
    ]
    return Section(f"{block.key}-runs", "Runs", parts)


def _run(run: RunData, page: Path) -> Run:
    result = run.done
    names = unique(name for values in result.metrics.values() for name in values)
    file = address(run.folder / "result.json", page)
    metrics = [
        [metric_name(name),
         *("–" if values.get(name) is None else Cell(f"{values[name]:.4f}", file)
           for values in result.metrics.values())]
        for name in names
    ]  # fmt: skip
    entries = sorted(
        run.config.items(), key=lambda item: (str(item[1]["from"]).startswith("RecBole"), item[0])
    )
    settings = [[name, short(entry["value"], 160), str(entry["from"])] for name, entry in entries]
    identity = [*result.versions.items(), *((f"SHA-256 of {k}", v) for k, v in
                                            result.hashes.items())]  # fmt: skip
    return Run(
        Cell(run.folder.name, address(run.folder, page)),
        f", seed {result.seed}, {result.device or '?'}, {result.threads or '?'} threads, "
        f"{result.seconds:,.1f} s",
        _command(result.command),
        [
            PageTable(f"Metrics of seed {result.seed}",
                      ["metric", *(part_name(part) for part in result.metrics)], metrics,
                      folded="Metrics"),
            PageTable("Every setting and where its value came from; RecBole's own defaults last",
                      ["setting", "value", "from"], settings, numbers=False,
                      folded=f"Configuration: {len(run.config)} settings"),
            PageTable("Versions and hashes", ["what", "value"], identity, numbers=False,
                      folded="Versions and hashes"),
        ],
    )  # fmt: skip


def _command(words: Sequence[str]) -> str:
    """What was typed, ready for a shell."""
    if not words:
        return "not recorded"
    return shlex.join([*(["python"] if words[0].endswith(".py") else []), *words])


def incomplete(runs: Sequence[RunData], page: Path) -> Section | None:
    """Runs without a result, with how far they came and how to go on; None without any."""
    rows = [
        [
            Cell(run.folder.name, address(run.folder, page)),
            f"{run.value('model') or '?'} on {run.value('dataset') or '?'}",
            f"seed {run.value('seed')}",
            _trial(run) or run.last_line or "nothing in train.log",
            f"python run_recbole.py --resume={shlex.quote(str(run.folder))}",
        ]
        for run in runs
    ]
    words = (
        "There is no result.json in these folders, so their runs are not complete and none of "
        "their figures is shown. A trial of tune has none: it is judged on validation, and going "
        "on with it tests it."
    )
    head = ["run", "what", "seed", "how far it came", "go on with"]
    table = PageTable("Incomplete runs", head, rows, numbers=False)
    return Section("incomplete", "Incomplete runs", [Text(words), table]) if rows else None


def _trial(run: RunData) -> str:
    """The validation metrics of a trial of ``tune``; empty for any other run."""
    words = [
        f"{metric} {value:.4f} on {split}"
        for split, metrics in run.trial.items()
        for metric, value in metrics.items()
        if value is not None
    ]
    return f"trial: {', '.join(words)}" if words else ""


def left_out(found: Sequence[LeftOut], page: Path) -> Section | None:
    """What was named and is not shown, and why; None without any."""
    rows = [[Cell(str(one.path), address(one.path, page)), one.reason] for one in found]
    table = PageTable("Left out", ["what", "why"], rows, numbers=False)
    return Section("left-out", "Left out", [table]) if rows else None
