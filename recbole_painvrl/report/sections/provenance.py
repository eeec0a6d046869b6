"""What is planted, capped or approximated; and from what, by which command, a run was made."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from pathlib import Path

from recbole_painvrl.report.caveats import caveats
from recbole_painvrl.report.collect import LeftOut
from recbole_painvrl.report.groups import Block, Group, short
from recbole_painvrl.report.html import (
    Markup,
    details,
    items,
    join,
    link,
    paragraph,
    section,
    table,
    tag,
)
from recbole_painvrl.report.read import RunData
from recbole_painvrl.report.sections.headline import anchor, metric_name
from recbole_painvrl.run.summary import part_name


def limits(block: Block) -> Markup:
    """Caveats: those that all runs share once, then those of single columns."""
    by_run = {run.folder: caveats(run) for run in block.runs}
    shared = [text for text in by_run[block.runs[0].folder]
              if all(text in found for found in by_run.values())]  # fmt: skip
    parts: list[object] = []
    if shared:
        parts += [tag("h4", "All runs"), items(shared)]
    for group in block.groups:
        own = dict.fromkeys(
            text for run in group.runs for text in by_run[run.folder] if text not in shared
        )
        if len(group.runs) == 1:
            own["One seed: nothing is known about its spread."] = None
        if own:
            parts += [tag("h4", group.label), items(_with_seeds(group, list(own), by_run))]
    versions = {tuple(sorted(run.done.versions.items())) for run in block.runs}
    if len(versions) > 1:
        parts.append(paragraph("The runs were made with different versions of packages."))
    if not parts:
        parts = [paragraph("Nothing that the runs' files tell of.")]
    title = "What is planted, capped or approximated"
    return section(title, join(parts), f"{block.key}-limits", 3)


def _with_seeds(group: Group, texts: Sequence[str], by_run: dict[Path, list[str]]) -> list[str]:
    """Say for which seeds a sentence holds, where it is not all of them."""
    found = []
    for text in texts:
        seeds = [str(run.done.seed) for run in group.runs if text in by_run[run.folder]]
        some = 0 < len(seeds) < len(group.runs)
        found.append(f"Seed {', '.join(seeds)}: {text}" if some else text)
    return found


def provenance(block: Block, page: Path) -> Markup:
    """Every run: its figures, command, configuration, versions and hashes."""
    parts = []
    for group in block.groups:
        runs = join(_run(run, page) for run in group.runs)
        parts.append(section(group.label, runs, anchor(block, group), 4))
    return section("Runs", join(parts), f"{block.key}-runs", 3)


def _run(run: RunData, page: Path) -> Markup:
    result = run.done
    head = join([
        link(run.folder, page, run.folder.name), f", seed {result.seed}, {result.device or '?'}, "
        f"{result.threads or '?'} threads, {result.seconds:,.1f} s",
    ])  # fmt: skip
    metrics = table(
        f"Metrics of seed {result.seed}",
        ["metric", *(part_name(part) for part in result.metrics)],
        [
            [metric_name(name), *(_linked(run, part, name, page) for part in result.metrics)]
            for name in dict.fromkeys(n for values in result.metrics.values() for n in values)
        ],
    )
    identity = table(
        "Versions and hashes",
        ["what", "value"],
        [*result.versions.items(), *((f"SHA-256 of {k}", v) for k, v in result.hashes.items())],
        numbers=False,
    )
    return tag(
        "article",
        join([
            paragraph(head),
            tag("pre", tag("code", command(result.command))),
            details("Metrics", metrics),
            details(f"Configuration: {len(run.config)} settings", _configuration(run)),
            details("Versions and hashes", identity),
        ]),
    )  # fmt: skip


def command(words: Sequence[str]) -> str:
    """What was typed, ready for a shell."""
    if not words:
        return "not recorded"
    prefix = ["python"] if words[0].endswith(".py") else []
    return shlex.join([*prefix, *words])


def _linked(run: RunData, part: str, name: str, page: Path) -> object:
    value = run.done.metrics[part].get(name)
    return "–" if value is None else link(run.folder / "result.json", page, f"{value:.4f}")


def _configuration(run: RunData) -> Markup:
    entries = sorted(
        run.config.items(), key=lambda item: (str(item[1]["from"]).startswith("RecBole"), item[0])
    )
    rows = [[name, short(entry["value"], 160), entry["from"]] for name, entry in entries]
    caption = "Every setting and where its value came from; RecBole's own defaults last"
    return table(caption, ["setting", "value", "from"], rows, numbers=False)


def incomplete(runs: Sequence[RunData], page: Path) -> Markup:
    """Runs without a result, with how far they came and how to go on."""
    if not runs:
        return Markup("")
    rows = [
        [
            link(run.folder, page, run.folder.name),
            f"{run.value('model') or '?'} on {run.value('dataset') or '?'}",
            f"seed {run.value('seed')}",
            _trial(run) or run.last_line or "nothing in train.log",
            f"python run_recbole.py --resume={shlex.quote(str(run.folder))}",
        ]
        for run in runs
    ]
    head = ["run", "what", "seed", "how far it came", "go on with"]
    content = join([
        paragraph("There is no result.json in these folders, so their runs are not complete and "
                  "none of their figures is shown. A trial of tune has none: it is judged on "
                  "validation, and going on with it tests it."),
        table("Incomplete runs", head, rows, numbers=False),
    ])  # fmt: skip
    return section("Incomplete runs", content, "incomplete")


def _trial(run: RunData) -> str:
    """The validation metrics of a trial of ``tune``; empty for any other run."""
    words = [
        f"{metric} {value:.4f} on {split}"
        for split, metrics in run.trial.items()
        for metric, value in metrics.items()
        if value is not None
    ]
    return f"trial: {', '.join(words)}" if words else ""


def left_out(found: Sequence[LeftOut], page: Path) -> Markup:
    """What was named and is not shown, and why."""
    if not found:
        return Markup("")
    rows = [[link(one.path, page, str(one.path)), one.reason] for one in found]
    content = table("Left out", ["what", "why"], rows, numbers=False)
    return section("Left out", content, "left-out")
