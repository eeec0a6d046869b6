"""Fig. 2 and Fig. 4, from the values of their tables."""

from __future__ import annotations

from pathlib import Path

from recbole_painvrl.evaluation.comparison import part_name
from recbole_painvrl.report.plots.curves import Point, curves, save
from recbole_painvrl.report.tables import Table

Panels = dict[str, dict[str, list[Point]]]


def recall_curve(table: Table, folder: Path) -> list[Path]:
    """Recall@K over K, one line per row; returns the files written."""
    panels: Panels = {}
    for row in table.rows:
        for part, metric in table.columns:
            name, _, k = metric.partition("@")
            if name == "recall" and (part, metric) in row.numbers:
                point = Point(float(k), row.numbers[part, metric])
                panels.setdefault(_title(part), {}).setdefault(row.shown, []).append(point)
    return _write(panels, "K", "Recall@K", table, folder / "recall_curve")


def environment_curve(table: Table, folder: Path) -> list[Path]:
    """Recall and NDCG over the number of environments, one panel per test set."""
    panels: Panels = {}
    for row in table.rows:
        for part, metric in table.columns:
            if metric.startswith(("recall", "ndcg")) and (part, metric) in row.numbers:
                # The label ends with the number, `|E| = 5`.
                point = Point(float(row.label.split()[-1]), row.numbers[part, metric])
                panels.setdefault(_title(part), {}).setdefault(metric, []).append(point)
    return _write(panels, "number of environments", "metric", table, folder / "environments")


def _write(panels: Panels, x_label: str, y_label: str, table: Table, stem: Path) -> list[Path]:
    if not panels:
        return []
    seeds = max(len(row.folders) for row in table.rows)
    spread = (
        f"Line: mean over up to {seeds} seeds; band: ± one sample standard deviation; dots: seeds"
        if seeds > 1
        else "One seed, hence no standard deviation"
    )
    # The first note names dataset, variant, protocol and seeds.
    note = f"{table.notes[0]} {spread}"
    figure = curves(panels, x_label, dict.fromkeys(panels, y_label), note)
    return save(figure, stem.parent, stem.name)


def _title(part: str) -> str:
    return f"{part_name(part)} test" if part in ("iid", "ood") else part_name(part)
