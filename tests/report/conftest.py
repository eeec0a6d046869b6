"""Real runs on the tiny planted data, and their page."""

from __future__ import annotations

import io
from contextlib import nullcontext, redirect_stderr, redirect_stdout
from pathlib import Path

import pytest
from filelock import FileLock
from report_support import RUNS, Report, Reported
from support import empty_figures, run_main


@pytest.fixture(scope="session")
def report() -> Report:
    """Call the command: ``report(page, run, ..., drawn=True)``; else figures are empty."""
    pytest.importorskip("matplotlib", reason="the figures of a report need the extra `plot`")

    def call(page: Path, *words: Path | str, drawn: bool = False) -> Reported:
        from recbole_painvrl.__main__ import main

        out, err = io.StringIO(), io.StringIO()
        figures = nullcontext() if drawn else empty_figures()
        with redirect_stdout(out), redirect_stderr(err), figures:
            code = main(["report", *map(str, words), "--output", str(page)])
        return Reported(code, out.getvalue(), err.getvalue(), page)

    return call


@pytest.fixture(scope="session")
def run_folders(tiny_data: Path, tmp_path_factory: pytest.TempPathFactory, worker_id: str) -> Path:
    """Folder of the runs of ``RUNS``, several cut-offs each, which the workers divide."""
    place = tmp_path_factory.getbasetemp()
    if worker_id != "master":
        place = place.parent
    place /= "report"
    place.mkdir(exist_ok=True)
    for name, model, argv in RUNS if worker_id.endswith("0") else reversed(RUNS):
        with FileLock(place / f"{name}.lock"):
            if not (place / "runs" / name / "result.json").exists():
                run = run_main(tiny_data, place, model, *argv, "--topk=[5,10,20]", name=name)
                assert run.code == 0, run.err
    return place / "runs"


@pytest.fixture(scope="session")
def page(run_folders: Path, report: Report) -> Reported:
    """One page about all runs."""
    folders = (run_folders / name for name, _, _ in RUNS)
    return report(run_folders.parent / "page.html", *folders, drawn=True)
