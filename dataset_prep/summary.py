"""The summary that every source prints in the end."""

from __future__ import annotations

from dataset_prep.fix.selection import Selection
from dataset_prep.interactions import Interactions
from dataset_prep.options import RawDataset
from dataset_prep.report import Report


def print_summary(
    raw: RawDataset, interactions: Interactions, selections: list[Selection], report: Report
) -> None:
    """Counts after every step beside the paper's, modalities, repairs, notes, faults."""
    print("\n".join(step_table(report, raw.paper)))
    for name in interactions.part_names:
        print(f"{'split ' + name:>28} {int(interactions.part(name).sum()):>14,}")
    items = interactions.n_items()
    rated = set(interactions.rated().tolist())
    for selection in selections:
        covered = len(rated.intersection(selection.tokens.tolist()))
        rows, width = selection.shape
        print(
            f"{'modality ' + selection.table.name:>28} {rows:,} rows x {width} columns, "
            f"{covered:,} of {items:,} items ({covered / max(items, 1):.1%})"
        )
    print_report(report)


def print_modalities(selections: list[Selection]) -> None:
    """Size of each modality where there are no interactions."""
    for selection in selections:
        rows, width = selection.shape
        print(
            f"{'modality ' + selection.table.name:>28} {rows:,} rows x {width} columns, "
            f"{selection.table.encoder}"
        )


def print_report(report: Report) -> None:
    """Repairs, notes and faults, one line each."""
    for repair in report.repairs:
        print(f"mended by {repair['fix']}: {repair['where']}: {repair['what']}")
    for text in report.notes:
        print(f"note: {text}")
    for fault in report.faults:
        print(f"fault: {fault.line()}")


def step_table(report: Report, paper: tuple[int, int, int] | None) -> list[str]:
    """Lines of the table of counts."""
    lines = [f"{'step':>28} {'interactions':>14} {'users':>10} {'items':>10}"]
    for step, *counts in report.steps:
        lines.append(f"{step:>28} {counts[0]:>14,} {counts[1]:>10,} {counts[2]:>10,}")
    if paper is not None:
        lines.append(f"{'paper, Table 1':>28} {paper[0]:>14,} {paper[1]:>10,} {paper[2]:>10,}")
        last = report.steps[-1][1:]
        differences = [mine - theirs for mine, theirs in zip(last, paper, strict=True)]
        rows, users, items = differences
        lines.append(f"{'difference':>28} {rows:>+14,} {users:>+10,} {items:>+10,}")
    return lines
