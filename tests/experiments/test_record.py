"""What is left of earlier calls: `cells.json`, what a report makes of it, files that are gone."""

from __future__ import annotations

import json
import os
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
from grid_support import MakeRuns, write_run
from support import edited

from recbole_painvrl.errors import InterruptedRunError, UserError, WriteError
from recbole_painvrl.experiments import grid, record
from recbole_painvrl.experiments.ablate import ablate
from recbole_painvrl.experiments.benchmark import benchmark
from recbole_painvrl.experiments.options import GridOptions
from recbole_painvrl.experiments.planning import Plan, Row
from recbole_painvrl.experiments.record import write_record
from recbole_painvrl.experiments.tables import assemble
from recbole_painvrl.locks import holder
from recbole_painvrl.report.collect import collect
from recbole_painvrl.report.groups import Block, blocks


def reported(output: Path) -> Block:
    found = collect([output])
    (block,) = blocks(found.runs, found.of_partial_rows)
    return block


def test_a_report_knows_the_rows_and_methods_of_calls_with_other_experiments(
    tmp_path: Path, make_runs: MakeRuns
) -> None:
    output = tmp_path / "out"
    rows = {name: Row(name, tuple(make_runs(name)), "losses") for name in ("A", "B", "C")}
    other = Row("D", tuple(make_runs("D")), "choices")
    # Of B the better seed is there alone, and C has not begun.
    for run in (*rows["A"].runs, rows["B"].runs[0], *other.runs):
        write_run(run, 0.9 if run.model == "B" else 0.3)
    write_record(output, [*rows.values()], {"losses": "A"})
    rows["B"].runs[1].fail("no luck", resumable=False)
    for methods in ({"choices": "D"}, {"choices": "D"}):
        write_record(output, [other], methods)
    assert json.loads((output / "cells.json").read_text())["methods"] == {
        "losses": "A",
        "choices": "D",
    }
    found = collect([output])
    block = reported(output)
    complete = {group.label: group.complete for group in block.groups}
    assert complete == {"A": True, "B": False, "D": True}
    assert "B" not in block.places(("ood", "ndcg@10"))
    method = block.method(None, found.of_methods)
    assert method is not None and method.label == "A"
    missing = {(run.row, run.seed) for run in found.missing.values()}
    assert missing == {("B", 1), ("C", 0), ("C", 1)}


def test_fewer_seeds_than_in_an_earlier_call_are_all_seeds_of_their_row(
    tmp_path: Path, make_runs: MakeRuns
) -> None:
    output, runs = tmp_path / "out", {name: make_runs(name) for name in ("A", "B")}
    for one in runs.values():
        write_run(one[0])
    write_record(output, [Row(name, tuple(one)) for name, one in runs.items()])
    write_record(output, [Row(name, (one[0],)) for name, one in runs.items()])
    assert all(group.complete for group in reported(output).groups)
    assert not collect([output]).missing


def test_a_table_of_another_dataset_in_the_same_folder_replaces_no_run(
    tmp_path: Path, make_runs: MakeRuns
) -> None:
    output = tmp_path / "out"
    rows = {}
    for data in ("toy", "other"):
        runs = [
            replace(
                run,
                arguments=("--model=A", f"--dataset={data}"),
                key=replace(run.key, data=data),
                folder=run.folder.with_name(run.folder.name.replace("toy", data)),
            )
            for run in make_runs("A")
        ]
        rows[data] = Row("A", tuple(runs))
    for run in (*rows["toy"].runs, rows["other"].runs[0]):
        write_run(run)
    with edited(rows["other"].runs[0].folder / "result.json") as result:
        result["dataset"] = "other"
    assert write_record(output, [rows["toy"]], {"": "A"}) == []
    (line,) = write_record(output, [rows["other"]], {"": "A"})
    assert "are of `toy` and are replaced by those of `other`" in line
    assert write_record(output, [rows["other"]], {"": "A"}) == [], "said once"
    found = collect([output])
    assert found.left == []
    complete = {
        block.result.dataset: [(len(group.runs), group.complete) for group in block.groups]
        for block in blocks(found.runs, found.of_partial_rows)
    }
    assert complete == {"toy": [(2, True)], "other": [(1, False)]}
    assert {run.folder.resolve() for run in rows["toy"].runs} < found.of_methods


def test_without_rows_of_an_experiment_its_method_is_forgotten(
    tmp_path: Path, make_runs: MakeRuns
) -> None:
    output, runs = tmp_path / "out", tuple(make_runs("A"))
    write_record(output, [Row("A", runs)], {"": "A"})
    write_record(output, [Row("B", runs)], {"": "B"})
    assert json.loads((output / "cells.json").read_text())["methods"] == {"": "B"}
    for damaged in ('{"methods": 3}', '{"methods": []}'):
        (output / "cells.json").write_text(damaged)
        write_record(output, [Row("A", runs)], {"": "A"})
        assert json.loads((output / "cells.json").read_text())["methods"] == {"": "A"}


def test_two_commands_that_write_the_record_at_once_keep_both_rows(
    tmp_path: Path, make_runs: MakeRuns, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The slower one replaced what the other had written since it read the file."""
    rows, read = [Row(name, tuple(make_runs(name))) for name in ("A", "B")], record._read
    other = threading.Thread(target=write_record, args=(tmp_path / "out", [rows[1]]))

    def read_slowly(path: Path) -> dict[str, Any]:
        found = read(path)
        if threading.current_thread() is not other:
            other.start()
            other.join(0.3)
        return found

    monkeypatch.setattr(record, "_read", read_slowly)
    write_record(tmp_path / "out", [rows[0]])
    other.join(60)
    found = json.loads((tmp_path / "out" / "cells.json").read_text())
    assert {entry["row"] for entry in found["cells"] + found["earlier"]} == {"A", "B"}


@pytest.mark.parametrize("command", [benchmark, ablate])
def test_tables_are_read_and_written_in_turn(
    command: Any, tiny_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`--report-only` beside a command that ends replaced its tables by those of before."""
    held: list[str] = []

    def stop(*_: Any) -> None:
        held.append(holder(tmp_path / ".tables.lock"))
        raise UserError("seen")

    monkeypatch.setattr(sys.modules[command.__module__], "assemble", stop)
    settings = [f"--data_path={tiny_data}", "--use_gpu=False"]
    options = GridOptions("tiny", "1", tmp_path, settings=settings, report_only=True)
    with pytest.raises(UserError, match="seen"):
        command(options, "losses") if command is ablate else command(options, "Pop", None)
    assert held[0].startswith(str(os.getpid()))
    assert not (tmp_path / ".tables.lock").exists()


def test_a_run_without_its_values_per_user_is_not_tested_and_a_damaged_file_named(
    make_runs: MakeRuns,
) -> None:
    rows = [Row(name, tuple(make_runs(name))) for name in ("A", "B", "C")]
    for row in rows:
        for run in row.runs:
            write_run(run)
    path = rows[1].runs[0].folder / "per_user.parquet"
    path.unlink()
    outcomes = {(one.other, one.outcome) for one in assemble("T", rows, "A").comparisons}
    assert ("B", "not tested") in outcomes and len(outcomes) == 2
    assert any(note.startswith("Tests: ") for note in assemble("T", rows, "A").notes)
    (rows[0].runs[0].folder / "per_user.parquet").unlink()
    assert not any(note.startswith("Tests: ") for note in assemble("T", rows, "A").notes)
    path.write_bytes(b"PAR1")
    with pytest.raises(UserError, match=r"per_user.parquet: damaged .*; delete its run folder"):
        assemble("T", rows, "A")


@pytest.mark.parametrize("stopped", [True, False])
def test_the_record_has_the_states_in_which_runs_are_left(
    stopped: bool, make_runs: MakeRuns, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also of runs that are stopped, and of those that another command has run meanwhile."""
    runs = make_runs("BPR", seeds=2)

    def run(*_: Any) -> None:
        write_run(runs[0])
        runs[1].folder.mkdir()
        if stopped:
            raise KeyboardInterrupt
        write_run(runs[1])

    monkeypatch.setattr(grid, "prepare_split", lambda *_: None)
    monkeypatch.setattr(grid, "run", run)
    plan = cast(Plan, SimpleNamespace(config=lambda arguments: None))
    options = GridOptions("toy", "2", tmp_path / "out")
    with pytest.raises(InterruptedRunError) if stopped else nullcontext():
        grid.run_grid(options, plan, [Row("BPR", tuple(runs))])
    written = json.loads((tmp_path / "out" / "cells.json").read_text())
    found = [entry["state"] for entry in written["cells"]]
    assert found == ["done", "interrupted" if stopped else "done"]


@pytest.mark.parametrize("stopped", [True, False])
def test_a_full_disk_does_not_hide_that_a_grid_was_stopped(
    stopped: bool,
    make_runs: MakeRuns,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """The line about the record was raised in place of that about the interruption."""

    def run(*_: Any) -> None:
        monkeypatch.setattr(grid, "write_record", refuse)
        if stopped:
            raise KeyboardInterrupt

    def refuse(*_: Any) -> None:
        raise WriteError("cells.json: cannot be written (disk full)")

    monkeypatch.setattr(grid, "prepare_split", lambda *_: None)
    monkeypatch.setattr(grid, "run", run)
    plan = cast(Plan, SimpleNamespace(config=lambda arguments: None))
    options, rows = GridOptions("toy", "1", tmp_path / "out"), [Row("A", tuple(make_runs("A")))]
    with pytest.raises(InterruptedRunError if stopped else WriteError):
        grid.run_grid(options, plan, rows)
    assert ("warning: cells.json: cannot be" in capsys.readouterr().err) == stopped


def test_a_run_that_was_complete_when_its_task_began_is_not_said_to_start(
    make_runs: MakeRuns,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """As by another command, or a worker that Dask took for lost."""
    runs = make_runs("A", seeds=3)

    @contextmanager
    def engine(name: str, workers: int, output: Path, started: Any) -> Iterator[None]:
        write_run(runs[0])
        runs[1].folder.mkdir(parents=True)
        for one in runs:
            started(one.folder.name)
        yield

    monkeypatch.setattr(grid, "open_engine", engine)
    monkeypatch.setattr(grid, "prepare_split", lambda *_: None)
    monkeypatch.setattr(grid, "run", lambda *_: None)
    plan = cast(Plan, SimpleNamespace(config=lambda arguments: None))
    grid.run_grid(GridOptions("toy", "3", tmp_path / "out"), plan, [Row("A", tuple(runs))])
    said = capsys.readouterr().err
    assert [word for word in ("starts", "resumes") if said.count(word) == 1] == [
        "starts",
        "resumes",
    ]
    assert runs[0].folder.name not in said
