"""What a table says of complete runs that were made with different software or devices."""

from __future__ import annotations

import json

from grid_support import MakeRuns, write_run

from recbole_painvrl.experiments.planning import Row
from recbole_painvrl.experiments.runs import GridRun
from recbole_painvrl.experiments.tables import assemble


def test_different_versions_and_devices_are_named(make_runs: MakeRuns) -> None:
    """A grid that was resumed after an update keeps its complete runs: the key has no versions."""
    runs = make_runs("A", "B")
    rows = [Row("A", tuple(runs[:2])), Row("B", tuple(runs[2:]))]
    for run in runs:
        _write(run, "2.12.0", "cpu")
    assert not [note for note in assemble("T", rows, "A").notes if "different" in note]

    _write(runs[3], "2.13.0", "cuda")
    notes = [note for note in assemble("T", rows, "A").notes if "different" in note]
    begin = "The runs have different"
    assert notes == [
        f"{begin} torch, on which figures may depend: 2.12.0 (3 of 4), 2.13.0 (1 of 4).",
        f"{begin} device, on which figures may depend: cpu (3 of 4), cuda (1 of 4).",
    ]


def _write(run: GridRun, torch: str, device: str) -> None:
    write_run(run)
    path = run.folder / "result.json"
    more = {"versions": {"python": "3.12.1", "torch": torch}, "device": device}
    path.write_text(json.dumps({**json.loads(path.read_text()), **more}))
