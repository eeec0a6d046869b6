"""Runs every model twice with one thread and once with two, and compares.

    python -m benchmarks.reliability.determinism

Prints, as Markdown, whether two runs with the same seed have the same figures and the same
SHA-256 of their weights, and by how much two threads move a metric or a weight. The exit code is
1 if equal runs differ.
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks.common import command_line, head, row
from benchmarks.reliability.runs import (
    CASES,
    arguments,
    differences,
    make_data,
    outcome,
    read_saved,
    run,
    warm_up,
)


def metric_distance(one: Mapping[str, Any], two: Mapping[str, Any]) -> float:
    """Largest difference between two ``metrics`` of ``result.json``."""
    return max(
        abs(float(value) - float(two[split][name]))
        for split, values in one.items()
        for name, value in values.items()
    )


def weight_distance(one: Path, two: Path) -> float:
    """Largest difference between the weights of two runs, by the largest of its tensor."""
    first, second = (
        read_saved(folder / "checkpoint" / "best.safetensors")[0] for folder in (one, two)
    )
    return max(
        (
            float((tensor - second[name]).abs().max()) / max(float(tensor.abs().max()), 1e-30)
            for name, tensor in first.items()
            if tensor.is_floating_point() and tensor.numel()
        ),
        default=0.0,
    )


def main(argv: Sequence[str] | None = None) -> int:
    """Exit code 0 if equal runs were equal."""
    parser = command_line(__doc__)
    parser.add_argument("--cases", nargs="+", default=list(CASES), choices=list(CASES))
    given = parser.parse_args(argv)
    warm_up()
    failed = False
    print(head("model", "weights (SHA-256)", "again", "2 threads: metric", "2 threads: weight"))
    with tempfile.TemporaryDirectory(prefix="determinism-") as name:
        folder = Path(name)
        make_data(folder / "data")
        for case in given.cases:
            found = {}
            for run_name, threads in (("one", 1), ("again", 1), ("two", 2)):
                more = f"--n_threads={threads}"
                words = arguments(case, folder / "data", folder / case, run_name, more)
                if run(words, folder / "log"):
                    raise RuntimeError(f"{case}: {(folder / 'log').read_text()}")
                found[run_name] = outcome(folder / case / run_name)
            one, again, two = found.values()
            differing = differences(one, again)
            failed = failed or bool(differing)
            same = f"differs: {', '.join(differing)}" if differing else "identical"
            metric = metric_distance(one["metrics"], two["metrics"])
            weight = weight_distance(folder / case / "one", folder / case / "two")
            digest = f"{one['hashes']['weights'][:12]}…"
            print(row(case, digest, same, f"{metric:.1g}", f"{weight:.1g}"), flush=True)
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
