"""The page of a report and the table of a grid say the same about the same runs."""

from __future__ import annotations

import json
from pathlib import Path

from recbole_painvrl.evaluation.comparison import compare, reference, standing
from recbole_painvrl.experiments.tables import methods
from recbole_painvrl.report.groups import blocks
from recbole_painvrl.report.read import read_run
from recbole_painvrl.report.tables import Number, TableRow


def test_report_and_benchmark_agree(run_folders: Path) -> None:
    folders = sorted(path for path in run_folders.iterdir() if (path / "result.json").is_file())
    (block, *_) = blocks([read_run(folder) for folder in folders])
    rows = []
    for group in block.groups:
        numbers: dict[tuple[str, str], Number] = {}
        for run in group.runs:
            result = json.loads((run.folder / "result.json").read_text())
            for part, metrics in result["metrics"].items():
                for metric, value in metrics.items():
                    numbers.setdefault((part, metric), Number([])).values.append(value)
        places = {run.done.seed: run.folder for run in group.runs}
        rows.append(TableRow(group.label, places, [], numbers))
    columns = [(part, metric) for part in block.splits for metric in block.metrics]
    label = next(group.label for group in block.groups if group.model == "PaInvRL")
    said = []
    for found in (methods(rows), [group.method() for group in block.groups]):
        chosen = reference(found, label, block.groups[0].first.done.valid_metric.lower())
        tests = compare(found, label, chosen, columns)
        sentences = [standing(found, label, column, tests) for column in columns]
        said.append((chosen, [str(one) for one in tests], sentences))
    assert said[0] == said[1]
    assert said[0][0] is not None and len(said[0][1]) >= len(columns)
