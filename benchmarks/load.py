"""Prepares large planted data, runs a model on them and measures whether 16 GB are enough.

    python -m benchmarks.load --output /big/disk/load
    python -m benchmarks.load --output /tmp/load --users 2000 --items 2000 --per-user 50

10 million interactions (100,000 users x 100), 100,000 items, 512 columns: written, checked
(`python -m dataset_prep check`), one epoch of every stage of the model, evaluation. Each step is
a process of its own; its peak memory and seconds are printed and kept in load.json. What is
already done is not done again. Exit code 1 when a step fails or needs more than --limit GB.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from benchmarks.load_data import Size, write_planted
from recbole_painvrl.atomic import write_json

_STAGES = (
    "--backbone_epochs=1",
    "--environment_rounds=2",
    "--environment_restarts=1",
    "--environment_batch_size=65536",
    "--mask_epochs=1",
    "--mask_batch_size=8192",
    "--mask_negatives=16",
    "--oracle=False",
)
_BATCH = "--train_batch_size=65536"
_POOL = "--n_negatives=128"
MODELS: dict[str, tuple[str, ...]] = {
    "PaInvRL": (_BATCH, _POOL, *_STAGES),
    "InvRL": (_BATCH, _POOL, *_STAGES),
    "UltraGCN": (_BATCH, _POOL),
    "VBPR": (_BATCH,),
    "BPR": (_BATCH,),
}


def main() -> int:
    """All steps that are not done yet; prints one line each."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--output", type=Path, required=True)
    parser.add_argument("--users", type=int, default=100_000)
    parser.add_argument("--items", type=int, default=100_000)
    parser.add_argument("--per-user", type=int, default=100)
    parser.add_argument("--columns", type=int, default=512)
    parser.add_argument("--test-users", type=int, default=10_000)
    parser.add_argument("--limit", type=float, default=16.0, help="GB that a step may need")
    parser.add_argument("--models", nargs="+", choices=list(MODELS), default=["PaInvRL"])
    parser.add_argument("--write", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    data = arguments.output / "data" / "load"
    if arguments.write:
        size = Size(
            arguments.users,
            arguments.items,
            arguments.per_user,
            arguments.columns,
            arguments.test_users,
        )
        print(write_planted(size, data))
        return 0
    return _steps(arguments, data)


def _steps(arguments: argparse.Namespace, data: Path) -> int:
    log = arguments.output / "load.json"
    done: dict[str, Any] = json.loads(log.read_text()) if log.is_file() else {}
    for name, command in _commands(arguments, data).items():
        if not done.get(name, {}).get("ok"):
            done[name] = _measure(command)
            write_json(log, done)
        step = done[name]
        print(f"{name}: {step['peak_gb']:.2f} GB, {step['seconds']:.0f} s", flush=True)
        if not step["ok"] or step["peak_gb"] > arguments.limit:
            print(f"{name}: failed ({step})", file=sys.stderr)
            return 1
    return 0


def _commands(arguments: argparse.Namespace, data: Path) -> dict[str, list[str]]:
    sizes = [
        f"--{name.replace('_', '-')}={getattr(arguments, name)}"
        for name in ("users", "items", "per_user", "columns", "test_users")
    ]
    own = [sys.executable, "-m", "benchmarks.load", "--write", f"--output={arguments.output}"]
    commands = {
        "write": [*own, *sizes],
        "check": [sys.executable, "-m", "dataset_prep", "check", str(data)],
    }
    for model in arguments.models:
        stamp = time.strftime("%Y%m%d-%H%M%S")
        commands[model] = [
            sys.executable,
            "run_recbole.py",
            f"--model={model}",
            f"--dataset={data.name}",
            f"--data_path={data.parent}",
            f"--output_dir={arguments.output / 'runs'}",
            f"--run_name={model.lower()}-{stamp}",
            "--epochs=1",
            "--use_gpu=False",
            "--show_progress=False",
            *MODELS[model],
        ]
    return commands


def _measure(command: list[str]) -> dict[str, Any]:
    """Run a command; its exit code, seconds and peak resident memory."""
    print("+", " ".join(command[1:]), file=sys.stderr, flush=True)
    start = time.perf_counter()
    process = subprocess.Popen(command)
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    return {
        "ok": process.returncode == 0,
        "exit_code": process.returncode,
        "seconds": round(time.perf_counter() - start, 1),
        "peak_gb": usage.ru_maxrss / 2**20,
    }


if __name__ == "__main__":
    sys.exit(main())
