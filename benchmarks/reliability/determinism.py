"""Runs every case twice with one thread and once with two, and compares the results.

    python -m benchmarks.reliability.determinism

Prints, as Markdown, whether two runs with the same seed have the same results and weights
(SHA-256), and the largest difference of a metric and of a weight between one and two threads. The
exit code is 1 if runs with the same seed and threads differ.
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks.common import command_line, table
from benchmarks.reliability import runs


def metric_distance(one: Mapping[str, Any], two: Mapping[str, Any]) -> float:
    """Largest difference between two ``metrics`` of ``result.json``."""
    return max(
        abs(float(value) - float(two[split][name]))
        for split, values in one.items()
        for name, value in values.items()
    )


def weight_distance(one: Path, two: Path) -> float:
    """Largest difference between the weights of two runs, relative to the largest of a tensor."""
    first, second = (
        runs.read_saved(folder / "checkpoint" / "best.safetensors")[0] for folder in (one, two)
    )
    return max(
        (
            float((tensor - second[name]).abs().max()) / max(float(tensor.abs().max()), 1e-30)
            for name, tensor in first.items()
            if tensor.is_floating_point() and tensor.numel()
        ),
        default=0.0,
    )


def compare(case: str, folder: Path) -> tuple[str, ...]:
    """Run a case three times below ``folder``, which holds ``data``; its row of the table."""
    found = {}
    for name, threads in (("one", 1), ("again", 1), ("two", 2)):
        target = folder / case / name
        argv = runs.arguments(case, folder / "data", target, f"--n_threads={threads}")
        if runs.run(argv, folder / "log"):
            raise RuntimeError(f"{case}: {(folder / 'log').read_text()}")
        found[name] = runs.outcome(target)
    one, again, two = found.values()
    differing = runs.differences(one, again)
    return (
        case,
        f"{one['hashes']['weights'][:12]}…",
        f"differs: {', '.join(differing)}" if differing else "identical",
        f"{metric_distance(one['metrics'], two['metrics']):.1g}",
        f"{weight_distance(folder / case / 'one', folder / case / 'two'):.1g}",
    )


def main(argv: Sequence[str] | None = None) -> int:
    """Run the cases and print the table; returns the exit code."""
    parser = command_line(__doc__)
    parser.add_argument("--cases", nargs="+", default=list(runs.CASES), choices=list(runs.CASES))
    given = parser.parse_args(argv)
    runs.warm_up()
    with tempfile.TemporaryDirectory(prefix="determinism-") as name:
        runs.make_data(Path(name) / "data")
        rows = [compare(case, Path(name)) for case in given.cases]
    head = ("model", "weights (SHA-256)", "again", "2 threads: metric", "2 threads: weight")
    print(table(head, rows))
    return int(any(row[2] != "identical" for row in rows))


if __name__ == "__main__":
    sys.exit(main())
