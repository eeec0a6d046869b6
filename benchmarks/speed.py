"""Measures every fast path beside its plain form, in turns, and prints the table of ratios.

    python -m benchmarks.speed                 everything, at the paper's sizes (about half an hour)
    python -m benchmarks.speed --quick         the same on small shapes, to try it out (a minute)
    python -m benchmarks.speed --parts mask --shapes tiktok --repeats 7

Ratios are medians of steps taken in turns (theirs, ours, theirs, ...), so a load on the machine
meets both. The parts: ``sampling`` (negatives and batches a second), ``mask``, ``recommender``
(backbone and final model), ``environments``, each against ``benchmarks/reference.py``; ``recbole``
(BPR and LightGCN by our command against RecBole's own loop, and evaluation).
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import torch

from benchmarks import hosts
from benchmarks.common import command_line, head, row
from benchmarks.steps import (
    SHAPES,
    RandomData,
    Shape,
    Step,
    environment_steps,
    mask_steps,
    recommender_steps,
)
from benchmarks.timing import alternately, machine_facts
from recbole_painvrl.data.negatives import NegativeSampler, sorted_keys

HEADER = head("what", "ours", "plain", "ratio", "target")


@dataclass(frozen=True)
class Row:
    """A line of the table: two values with their unit, and the ratio aimed at."""

    what: str
    ours: float
    plain: float
    target: float
    unit: str = "s"
    faster_is_larger: bool = False

    @property
    def ratio(self) -> float:
        """How many times better ours is."""
        return self.ours / self.plain if self.faster_is_larger else self.plain / self.ours

    def __str__(self) -> str:
        target = f"{self.target:.3g} ({'met' if self.ratio >= self.target else 'missed'})"
        values = (f"{value:.4g} {self.unit}" for value in (self.ours, self.plain))
        return row(self.what, *values, f"{self.ratio:.2f}", target)


def main(argv: list[str] | None = None) -> None:
    """Measure what is asked for and print it as it comes."""
    parser = command_line(__doc__)
    parser.add_argument("--quick", action="store_true", help="small shapes")
    parser.add_argument("--parts", nargs="+", choices=list(PARTS), default=list(PARTS))
    parser.add_argument("--shapes", nargs="+", choices=list(SHAPES), default=list(SHAPES))
    parser.add_argument("--repeats", type=int, default=3, help="turns of every comparison")
    parser.add_argument("--threads", type=int, default=1, help="PyTorch's threads")
    arguments = parser.parse_args(argv)
    # RecBole reads the command line, too.
    sys.argv = sys.argv[:1]
    torch.set_num_threads(arguments.threads)
    torch.manual_seed(0)
    print("\n".join([*machine_facts(), HEADER]), flush=True)
    for part in arguments.parts:
        # RecBole's loop and the loaders take the interactions of the first shape alone.
        names = arguments.shapes[:1] if part in ("sampling", "recbole") else arguments.shapes
        for name in names:
            shape = SHAPES[name].quick() if arguments.quick else SHAPES[name]
            for line in PARTS[part](name, shape, arguments.repeats):
                print(line, flush=True)


def sampling(name: str, shape: Shape, repeats: int) -> Iterator[Row]:
    """Whole epochs of the loader, and draws that avoid positives, per second."""
    with tempfile.TemporaryDirectory() as place, ExitStack() as stack:
        folder = Path(place)
        hosts.write_interactions(shape, folder, name)
        loaders = {
            "ours": hosts.ours("BPR", folder, name, stack).train,
            "plain": hosts.recboles("BPR", folder, name, stack).train,
        }
        epochs = {key: partial(_exhaust, loader) for key, loader in loaders.items()}
        seconds = alternately(epochs, repeats)
        n = len(loaders["ours"].dataset) / 1e6
        what = f"{name}: positives a second, one negative each (target: 1 M)"
        rates = n / seconds["ours"], n / seconds["plain"]
        yield Row(what, *rates, 1.0 / rates[1], "M", True)
    data = RandomData(shape)
    n_items = data.num("item_id")
    keys = sorted_keys(data.users, data.items, n_items)
    sampler = NegativeSampler(n_items, 50, "per_positive", torch.Generator(), keys)
    users = data.batch(shape.batch)[0]

    def searched() -> None:
        drawn = torch.randint(1, n_items, (len(users), 50))
        torch.searchsorted(keys, users[:, None] * n_items + drawn)

    seconds = alternately({"ours": lambda: sampler.draw(users), "plain": searched}, 20 * repeats)
    draws = {key: 50 * len(users) / value / 1e6 for key, value in seconds.items()}
    what = f"{name}: draws a second at 50 that avoid positives, against a sorted search (20 M)"
    yield Row(what, draws["ours"], draws["plain"], 20 / draws["plain"], "M", True)


def _exhaust(loader: object) -> None:
    for _ in loader:  # type: ignore[attr-defined]
        pass


def mask(name: str, shape: Shape, repeats: int) -> Iterator[Row]:
    """One joint step of all environments."""
    data = RandomData(shape)
    for attention, kind in ((False, "plain gate (InvRL)"), (True, "attention (PaInvRL)")):
        seconds = alternately(mask_steps(data, attention), repeats)
        for form, target in (("shared negatives", 20.0), ("same draws", 4.0)):
            what = f"{name}: mask step, {kind}, {form}"
            yield Row(what, seconds[form], seconds["reference"], target)


def recommender(name: str, shape: Shape, repeats: int) -> Iterator[Row]:
    """Epochs of the final model, from single steps."""
    data = RandomData(shape)
    sizes = {f"shared negatives, batch {size}": size for size in (shape.batch, 8 * shape.batch)}
    yield from _epochs(f"{name}: final epoch", data, recommender_steps(data, sizes), repeats)


def environments(name: str, shape: Shape, repeats: int) -> Iterator[Row]:
    """Epochs of all environment models together, from some of their batches."""
    data = RandomData(shape)
    yield from _epochs(f"{name}: environment epoch", data, environment_steps(data), repeats)


def _epochs(
    what: str, data: RandomData, steps: dict[str, tuple[Step, int]], repeats: int
) -> Iterator[Row]:
    seconds = alternately({key: step for key, (step, _) in steps.items()}, repeats)
    epoch = {key: seconds[key] * len(data.users) / n for key, (_, n) in steps.items()}
    for key in steps:
        if key != "reference":
            target = 1.0 if key == "same draws" else 5.0
            yield Row(f"{what}, {key}", epoch[key], epoch["reference"], target)


def recbole(name: str, shape: Shape, repeats: int) -> Iterator[Row]:
    """BPR and LightGCN, ours against RecBole's own loop with its defaults."""
    with tempfile.TemporaryDirectory() as place, ExitStack() as stack:
        folder = Path(place)
        hosts.write_interactions(shape, folder, name)
        for model, n_batches, target in (("BPR", 10**9, 3.0), ("LightGCN", 6, 1.5)):
            ours = hosts.ours(model, folder, name, stack)
            plain = hosts.recboles(model, folder, name, stack)
            pair = {"ours": ours, "plain": plain}
            n = min(n_batches, len(ours.train), len(plain.train))
            steps = {key: partial(host.train_batches, n) for key, host in pair.items()}
            seconds = alternately(steps, repeats)
            epoch = {key: seconds[key] * len(host.train) / n for key, host in pair.items()}
            what = f"{name}: {model} epoch against RecBole ({n} batches timed)"
            yield Row(what, epoch["ours"], epoch["plain"], target)
            if model == "BPR":
                seconds = alternately({key: host.evaluate for key, host in pair.items()}, repeats)
                yield Row(f"{name}: evaluation", seconds["ours"], seconds["plain"], 4.0)


PARTS = {
    "sampling": sampling,
    "mask": mask,
    "recommender": recommender,
    "environments": environments,
    "recbole": recbole,
}

if __name__ == "__main__":
    main()
