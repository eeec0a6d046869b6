"""``python -m recbole_painvrl doctor``: check the installation and suggest fixes."""

from __future__ import annotations

from pathlib import Path

import click

from recbole_painvrl.cli import base
from recbole_painvrl.doctor.folders import check_datasets, check_runs
from recbole_painvrl.doctor.packages import check_extras, check_python, check_required
from recbole_painvrl.doctor.system import (
    Check,
    check_cores,
    check_disk,
    check_imports,
    check_memory,
    isolated,
)

PAGE = """
Checks Python, the packages and their versions, the imports of PyTorch, RecBole and the plugin, GPU,
cores, memory, disk, permissions, optional packages, the datasets in the data path, and interrupted
runs. It also works if the installation is broken, and changes nothing.

  python -m recbole_painvrl doctor
  python -m recbole_painvrl doctor --data_path=/data/recsys --output_dir=/scratch/runs

Every line begins with `ok`, `note` (works, but may need attention) or `FAIL`. Only the headers of
datasets are read; `python -m dataset_prep check FOLDER` reads them completely.
"""
_FOLDER = click.Path(path_type=Path)


@base.command(
    "doctor",
    page=PAGE,
    without_words=True,
    exit_codes="0 no failures, 1 failures found, 2 wrong input (one line says what)",
    stopped="stopped",
)
@base.option(
    "--data_path", "--data-path", type=_FOLDER, default="dataset", help="folder of your datasets"
)
@base.option(
    "--output_dir", "--output-dir", type=_FOLDER, default="runs", help="folder of your runs"
)
def command(data_path: Path, output_dir: Path) -> int:
    """Check everything that a run depends on, report what would fail and suggest fixes."""
    checks: dict[str, Check] = {
        "Python": check_python,
        "packages": check_required,
        "imports": check_imports,
        "extras": check_extras,
        "cores": check_cores,
        "memory": check_memory,
        "disk": lambda: check_disk(output_dir),
        "datasets": lambda: check_datasets(data_path),
        "runs": lambda: check_runs(output_dir),
    }
    failures = 0
    for name, check in checks.items():
        print(name)
        for finding in isolated(name, check):
            failures += finding.level == "FAIL"
            print(finding, flush=True)
    print(f"what would fail: {failures}" if failures else "nothing would fail")
    return base.FAILED if failures else base.DONE
