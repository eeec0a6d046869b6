"""The page of a report and the table of a grid say the same about the same runs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from report_support import toy_run
from support import empty_figures, result_of

from recbole_painvrl.evaluation.comparison import compare, reference, standing
from recbole_painvrl.experiments.tables import method_of
from recbole_painvrl.report.groups import Block, Group, blocks
from recbole_painvrl.report.plots.style import PAPER, Figures
from recbole_painvrl.report.read import read_run
from recbole_painvrl.report.sections.headline import headline
from recbole_painvrl.report.tables import Number, TableRow


def test_report_and_benchmark_agree(run_folders: Path) -> None:
    folders = sorted(path for path in run_folders.iterdir() if (path / "result.json").is_file())
    (block, *_) = blocks([read_run(folder) for folder in folders])
    rows = []
    for group in block.groups:
        numbers: dict[tuple[str, str], Number] = {}
        for run in group.runs:
            result = result_of(run.folder)
            for part, metrics in result["metrics"].items():
                for metric, value in metrics.items():
                    numbers.setdefault((part, metric), Number([])).values.append(value)
        places = {run.done.seed: run.folder for run in group.runs}
        rows.append(TableRow(group.label, places, [], numbers))
    columns = [(part, metric) for part in block.splits for metric in block.metrics]
    label = next(group.label for group in block.groups if group.model == "PaInvRL")
    said = []
    for found in ([method_of(row) for row in rows], [group.method() for group in block.groups]):
        chosen = reference(found, label, block.groups[0].first.done.valid_metric.lower())
        tests = compare(found, label, chosen, columns)
        sentences = [standing(found, label, column, tests) for column in columns]
        said.append((chosen, [str(one) for one in tests], sentences))
    assert said[0] == said[1]
    assert said[0][0] is not None and len(said[0][1]) >= len(columns)


def judged_toy() -> tuple[Block, Group]:
    """Of two seeds the method is 0.1 ahead of B, 0.1 behind C and level with D in the mean."""
    runs = []
    for seed, above in ((0, -0.1), (1, 0.1)):
        for name, level in (("A", 0.5), ("B", 0.4), ("C", 0.6), ("D", 0.5)):
            own = level + above * (name == "A")
            runs.append(toy_run(name, seed, {"ood": own, "valid": 1 - level}))
    (block,) = blocks(runs)
    return block, block.groups[0]


def figures_of(block: Block, folder: Path) -> Figures:
    return Figures(folder, "b1", [(group.label, group.model) for group in block.groups])


def test_differences_are_those_of_the_method_over_all_seeds(tmp_path: Path) -> None:
    block, method = judged_toy()
    with empty_figures():
        shown = headline(block, figures_of(block, tmp_path), tmp_path / "x.html", method)
    judged = shown["judged"]
    assert judged["chosen"] == "B"
    rows = {(metric, other): row for metric, other, *row in judged["every"]}
    change, difference, *_, outcome = rows["NDCG@10, OOD", "B"]
    assert (change, outcome) == ("+25.0%", "better")
    assert difference.startswith("+0.1000 [+0.09") and difference.endswith("]")
    assert rows["NDCG@10, OOD", "C"][0] == "-16.7%"
    assert rows["NDCG@10, OOD", "C"][1].startswith("-0.1000 [-0.10")
    assert rows["NDCG@10, OOD", "D"][-1] == "not significant"
    # Sentences have the smallest cut-off alone, and curves the means over the seeds.
    (sentence,) = judged["sentences"]
    assert "OOD ndcg@5: A (0.2500) does not win: it is behind C (0.3000)" in sentence
    (curves,) = shown["drawings"]
    assert "A from 0.2500 to 0.5000" in curves.alt


def test_filled_marks_are_significant_differences(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    block, method = judged_toy()
    marks: dict[str, list[bool]] = {}

    def look(self: Figures, name: str, figure: Any, alt: str) -> None:
        points = [line for line in figure.axes[0].lines if line.get_marker() == "o"]
        marks[name] = [point.get_markerfacecolor() != PAPER for point in points]

    monkeypatch.setattr(Figures, "write", look)
    headline(block, figures_of(block, tmp_path), tmp_path / "x.html", method)
    # B, C and D.
    assert marks["forest-NDCG@5, OOD"] == [True, True, False]
