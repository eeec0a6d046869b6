"""``python -m recbole_painvrl doctor``: what is installed, what would fail, what to type."""

from __future__ import annotations

import functools
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
Looks at Python, the packages and their versions, whether PyTorch, RecBole and the plugin can be
imported, GPU, cores, memory, disk and permissions, extras, the datasets in the data path, and
interrupted runs. It works on a broken installation, too, and changes nothing.

  python -m recbole_painvrl doctor
  python -m recbole_painvrl doctor --data_path=/data/recsys --output_dir=/scratch/runs

Every line begins with `ok`, `note` (works, but good to know) or `FAIL`. Of datasets only the
headers are read; `python -m dataset_prep check FOLDER` reads everything.
"""
_FOLDER = click.Path(path_type=Path)


@base.command(
    "doctor",
    page=PAGE,
    without_words=True,
    exit_codes="0 nothing would fail, 1 something would, 2 wrong input (one line says what)",
    stopped="stopped",
)
@base.option("--data_path", "--data-path", type=_FOLDER, default="dataset", help="your datasets")
@base.option("--output_dir", "--output-dir", type=_FOLDER, default="runs", help="your runs")
def command(data_path: Path, output_dir: Path) -> int:
    """Look at everything that a run depends on and say what would fail and what to type."""
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


main = functools.partial(base.execute, command)
