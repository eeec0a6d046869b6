"""Trains on large random data and measures whether 16 GB are enough.

    python -m benchmarks.reliability.load --output /big/disk/load
    python -m benchmarks.reliability.load --output /tmp/load --users 2000 --items 2000 --per-user 50

10 million interactions (100,000 users x 100), 100,000 items and 512 columns are written, checked
(`python -m dataset_prep check`) and used for one epoch of every stage and the evaluation of 10,000
users. Each step is its own process, whose peak memory and seconds are printed. The exit code is 1
if a step fails or needs more than --limit GB. Existing data are not written again.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np

from benchmarks.common import command_line, print_table, run_process
from benchmarks.steps import RandomData, Shape
from recbole_painvrl.data.folder import write_dataset

_LARGE = ("--train_batch_size=65536",)
_SHARED = (*_LARGE, "--n_negatives=128")
_STAGES = (
    *_SHARED,
    "--backbone_epochs=1",
    "--environment_rounds=2",
    "--environment_restarts=1",
    "--environment_batch_size=65536",
    "--mask_epochs=1",
    "--mask_batch_size=8192",
    "--mask_negatives=16",
    "--mask_form=soft",
)
MODELS: dict[str, tuple[str, ...]] = {
    "PaInvRL": _STAGES,
    "InvRL": _STAGES,
    "UltraGCN": _SHARED,
    "VBPR": _LARGE,
    "BPR": _LARGE,
}


def main() -> int:
    """Run all steps and print a row for each; returns the exit code."""
    parser = command_line(__doc__)
    parser.add_argument("--output", type=Path, required=True)
    parser.add_argument("--users", type=int, default=100_000)
    parser.add_argument("--items", type=int, default=100_000)
    parser.add_argument("--per-user", type=int, default=100)
    parser.add_argument("--columns", type=int, default=512)
    parser.add_argument("--test-users", type=int, default=10_000)
    parser.add_argument("--limit", type=float, default=16.0, help="GB that a step may need")
    parser.add_argument("--models", nargs="+", choices=list(MODELS), default=["PaInvRL"])
    parser.add_argument("--write", action="store_true", help="only write the data")
    given = parser.parse_args()
    data = given.output / "data" / "load"
    if given.write:
        n_interactions = given.users * given.per_user
        shape = Shape(given.users, given.items, (given.columns,), n_interactions)
        write(shape, given.test_users, data)
        return 0
    commands: dict[str, list[str]] = {}
    if not data.is_dir():
        commands["write"] = ["-m", __spec__.name, *sys.argv[1:], "--write"]
    commands["check"] = ["-m", "dataset_prep", "check", str(data)]
    for model in given.models:
        commands[model] = [
            *("run_recbole.py", f"--model={model}", "--dataset=load", f"--data_path={data.parent}"),
            *(f"--output_dir={given.output}/runs", f"--run_name={model}-{time.time_ns()}"),
            *("--epochs=1", "--use_gpu=False", "--show_progress=False", *MODELS[model]),
        ]
    failed = False

    def rows() -> Iterator[tuple[str, str, str]]:
        nonlocal failed
        for name, command in commands.items():
            found = run_process([sys.executable, *command], quiet=True)
            yield name, f"{found.peak_gb:.2f}", f"{found.seconds:.0f}"
            if found.code or found.peak_gb > given.limit:
                print(f"{name}: failed (exit code {found.code})", file=sys.stderr)
                failed = True
                return

    print_table(("step", "peak memory, GB", "seconds"), rows())
    return int(failed)


def write(shape: Shape, test_users: int, folder: Path) -> None:
    """Write random data, in which the first users have validation and test interactions."""
    content = RandomData(shape).dataset(folder.name)
    frame = content.interactions
    digit = np.random.default_rng(0).integers(0, 10, len(frame))
    split = np.where(frame["user_id"].cat.codes < test_users, digit, 9)
    splits = {"valid": frame[split == 0], "test": frame[split == 1], "train": frame[split > 1]}
    write_dataset(replace(content, splits=splits, default_protocol="files"), folder)


if __name__ == "__main__":
    sys.exit(main())
