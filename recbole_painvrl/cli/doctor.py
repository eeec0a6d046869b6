"""``python -m recbole_painvrl doctor``: what is installed, what would fail, what to type."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from recbole_painvrl.arguments import Arguments
from recbole_painvrl.cli.outcome import DONE, FAILED, guarded
from recbole_painvrl.doctor.findings import Check, isolated
from recbole_painvrl.doctor.folders import check_datasets, check_runs
from recbole_painvrl.doctor.imports import check_imports
from recbole_painvrl.doctor.machine import check_cores, check_disk, check_memory
from recbole_painvrl.doctor.packages import check_extras, check_python, check_required

HELP = """\
usage: python -m recbole_painvrl doctor [--data_path=dataset] [--output_dir=runs]

Looks at everything that a run depends on and says what would fail and what to type: Python,
the packages and their versions, whether PyTorch, RecBole and the plugin can be imported, GPU,
cores, memory, disk and permissions, extras, the datasets in the data path, and interrupted
runs. It works on a broken installation, too, and changes nothing.

  python -m recbole_painvrl doctor
  python -m recbole_painvrl doctor --data_path=/data/recsys --output_dir=/scratch/runs

Every line begins with `ok`, `note` (works, but good to know) or `FAIL`. Datasets are looked at
by their headers; `python -m dataset_prep check FOLDER` reads everything.

exit codes: 0 nothing would fail, 1 something would, 2 wrong input (one line says what)
"""


def main(argv: Sequence[str]) -> int:
    """Look at everything; returns the exit code."""
    if any(word in ("-h", "--help") for word in argv):
        print(HELP)
        return DONE
    codes: list[int] = []
    code = guarded(lambda: codes.append(_look(argv)), stopped="stopped")
    return code or codes[-1]


def _look(argv: Sequence[str]) -> int:
    parser = Arguments("doctor")
    parser.add_argument("--data_path", "--data-path", type=Path, default=Path("dataset"))
    parser.add_argument("--output_dir", "--output-dir", type=Path, default=Path("runs"))
    options = parser.parse_args(list(argv))
    checks: dict[str, Check] = {
        "Python": check_python,
        "packages": check_required,
        "imports": check_imports,
        "extras": check_extras,
        "cores": check_cores,
        "memory": check_memory,
        "disk": lambda: check_disk(options.output_dir),
        "datasets": lambda: check_datasets(options.data_path),
        "runs": lambda: check_runs(options.output_dir),
    }
    failures = 0
    for name, check in checks.items():
        print(name)
        for finding in isolated(name, check):
            failures += finding.level == "FAIL"
            print(finding, flush=True)
    print(f"what would fail: {failures}" if failures else "nothing would fail")
    return FAILED if failures else DONE
