"""Real runs on the tiny planted data, and their page."""

from __future__ import annotations

import io
from contextlib import nullcontext, redirect_stderr, redirect_stdout
from pathlib import Path
from unittest.mock import patch

import pytest
from report_support import RUNS, Report, Reported
from support import run_main


@pytest.fixture(scope="session")
def report() -> Report:
    """Call the command: ``report(page, run, ..., drawn=True)``; else figures are empty."""
    pytest.importorskip("matplotlib", reason="the figures of a report need the extra `plot`")

    def call(page: Path, *words: Path | str, drawn: bool = False) -> Reported:
        from recbole_painvrl.cli.report import main
        from recbole_painvrl.report.render import Drawing

        out, err = io.StringIO(), io.StringIO()
        write = "recbole_painvrl.report.plots.style.Figures.write"
        empty = patch(write, lambda *words: Drawing(words[-1], "0 0 1 1", ""))
        with redirect_stdout(out), redirect_stderr(err), nullcontext() if drawn else empty:
            code = main([*map(str, words), "--output", str(page)])
        return Reported(code, out.getvalue(), err.getvalue(), page)

    return call


@pytest.fixture(scope="session")
def run_folders(tiny_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of the runs of ``RUNS``, several cut-offs each."""
    place = tmp_path_factory.mktemp("report")
    for name, model, argv in RUNS:
        run = run_main(tiny_data, place, model, *argv, "--topk=[5,10,20]", name=name)
        assert run.code == 0, run.err
    return place / "runs"


@pytest.fixture(scope="session")
def page(run_folders: Path, report: Report) -> Reported:
    """One page about all runs."""
    folders = (run_folders / name for name, _, _ in RUNS)
    return report(run_folders.parent / "page.html", *folders, drawn=True)
