"""Runs every model twice with one thread and once with two, and compares.

    python -m benchmarks.reliability.determinism

Prints, as Markdown, whether two runs with the same seed have the same figures and the same
SHA-256 of their weights, and by how much two threads move a metric or a weight. The exit code is
1 if equal runs differ.
"""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.reliability.runs import (
    CASES,
    arguments,
    differences,
    make_data,
    outcome,
    run,
    warm_up,
)


@dataclass
class Comparison:
    """Three runs of one case.

    Attributes:
        case: the case.
        weights: SHA-256 of the weights of the first run.
        differing: what differs between two runs with one thread.
        metrics: largest difference of a metric between one thread and two.
        parameters: largest difference of a weight, by the largest weight of its tensor.
    """

    case: str
    weights: str
    differing: list[str]
    metrics: float
    parameters: float


def compare(case: str, folder: Path) -> Comparison:
    """Run a case with 1, 1 and 2 threads.

    Raises:
        RuntimeError: a run failed.
    """
    found = {}
    for name, threads in (("one", 1), ("again", 1), ("two", 2)):
        words = arguments(case, folder / "data", folder / case, name, f"--n_threads={threads}")
        if run(words, folder / "log"):
            raise RuntimeError(f"{case}: {(folder / 'log').read_text()}")
        found[name] = outcome(folder / case / name)
    one, again, two = (found[name] for name in ("one", "again", "two"))
    # The number of threads is a setting, so that it changes the hash of the settings.
    return Comparison(
        case,
        one["hashes"]["weights"],
        differences(one, again),
        metric_distance(one["metrics"], two["metrics"]),
        weight_distance(*(folder / case / name for name in ("one", "two"))),
    )


def metric_distance(one: Mapping[str, Any], two: Mapping[str, Any]) -> float:
    """Largest difference between two ``metrics`` of ``result.json``."""
    return max(
        abs(float(value) - float(two[part][name]))
        for part, values in one.items()
        for name, value in values.items()
    )


def weight_distance(one: Path, two: Path) -> float:
    """Largest difference between the weights of two runs, by the largest of its tensor."""
    import torch

    from recbole_painvrl.training.checkpoint import read_checkpoint

    first, second = (
        read_checkpoint(folder / "checkpoint" / "best.safetensors", torch.device("cpu"))[0]
        for folder in (one, two)
    )
    distances = [0.0]
    for name, tensor in first.items():
        if tensor.is_floating_point() and tensor.numel():
            scale = max(float(tensor.abs().max()), 1e-30)
            distances.append(float((tensor - second[name]).abs().max()) / scale)
    return max(distances)


def main(argv: Sequence[str] | None = None) -> int:
    """Exit code 0 if equal runs were equal."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--cases", nargs="+", default=list(CASES), choices=list(CASES))
    given = parser.parse_args(argv)
    warm_up()
    folder = Path(tempfile.mkdtemp(prefix="determinism-"))
    make_data(folder / "data")
    print("| model | weights (SHA-256) | again | 2 threads: metric | 2 threads: weight |")
    print("|---|---|---|---|---|")
    failed = False
    for case in given.cases:
        found = compare(case, folder)
        failed = failed or bool(found.differing)
        same = f"differs: {', '.join(found.differing)}" if found.differing else "identical"
        distances = f"{found.metrics:.1g} | {found.parameters:.1g}"
        print(f"| {case} | {found.weights[:12]}… | {same} | {distances} |", flush=True)
    shutil.rmtree(folder)
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
