"""Real runs on the tiny planted data, and their page."""

from __future__ import annotations

import io
from collections.abc import Callable
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from pathlib import Path

import pytest
from support import SHORT_STAGES, run_main

RUNS = (
    ("painvrl-1", "PaInvRL", (*SHORT_STAGES, "--seed=1")),
    ("painvrl-2", "PaInvRL", (*SHORT_STAGES, "--seed=2")),
    ("invrl-1", "InvRL", (*SHORT_STAGES, "--seed=1", "--oracle=False")),
    ("ultragcn-1", "UltraGCN", ("--seed=1",)),
    ("ultragcn-ids", "UltraGCN", ("--seed=1", "--modalities=[]")),
)


@dataclass(frozen=True)
class Reported:
    """A call of the command: exit code, what it printed, and the page."""

    code: int
    out: str
    err: str
    page: Path

    @property
    def text(self) -> str:
        """The page's HTML."""
        return self.page.read_text(encoding="utf-8")


Report = Callable[..., Reported]


@pytest.fixture(scope="session")
def report() -> Report:
    """Call the command on runs: ``report(page, run, run...)``."""
    pytest.importorskip("matplotlib", reason="the figures of a report need the extra `plot`")

    def call(page: Path, *runs: Path) -> Reported:
        from recbole_painvrl.cli.report import main

        out, err = io.StringIO(), io.StringIO()
        with redirect_stdout(out), redirect_stderr(err):
            code = main([*(str(run) for run in runs), "--output", str(page)])
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
    return report(run_folders.parent / "page.html", *(run_folders / name for name, _, _ in RUNS))
