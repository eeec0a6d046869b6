"""Measures every fast path beside its plain form, in turns, and prints the table of ratios.

    python -m benchmarks.speed                 everything, at the paper's sizes (about half an hour)
    python -m benchmarks.speed --quick         the same on small shapes, to try it out (a minute)
    python -m benchmarks.speed --parts mask limits --shapes tiktok --repeats 7

Ratios are medians of steps taken in turns (theirs, ours, theirs, ...), so a load on the machine
meets both; those of ``limits`` are of the shortest runs. The parts: ``sampling`` (negatives and
batches a second), ``mask``, ``recommender`` (backbone and final model), ``environments``, each
against ``benchmarks/reference``; ``recbole`` (BPR and LightGCN by our command against RecBole's own
loop, and evaluation); ``limits`` (which share of the machine's sgemm, gather and copy rates is
reached, by a step, by its products and by its Adam).
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import torch

from benchmarks import hosts
from benchmarks.shapes import SHAPES, RandomData, Shape
from benchmarks.stages import environment_steps, mask_steps, recommender_steps
from benchmarks.timing import (
    adam_rate,
    alternately,
    best,
    copy_rate,
    gather_rate,
    gemm_operations,
    machine_facts,
    seconds_in_products,
    sgemm_rate,
)
from recbole_painvrl.data.negatives import NegativeSampler, sorted_keys
from recbole_painvrl.functional.pairs import pair_scores

PARTS = ("sampling", "mask", "recommender", "environments", "recbole", "limits")
HEADER = "| what | ours | plain | ratio | target |\n|---|---|---|---|---|"


@dataclass(frozen=True)
class Row:
    """A line of the table: two values with their unit, and the ratio aimed at, if any."""

    what: str
    ours: float
    plain: float
    target: float | None
    unit: str = "s"
    faster_is_larger: bool = False

    @property
    def ratio(self) -> float:
        """How many times better ours is."""
        return self.ours / self.plain if self.faster_is_larger else self.plain / self.ours

    def __str__(self) -> str:
        target = "-"
        if self.target is not None:
            target = f"{self.target:.3g} ({'met' if self.ratio >= self.target else 'missed'})"
        ours, plain = f"{self.ours:.4g} {self.unit}", f"{self.plain:.4g} {self.unit}"
        return f"| {self.what} | {ours} | {plain} | {self.ratio:.2f} | {target} |"


def main(argv: list[str] | None = None) -> None:
    """Measure what is asked for and print it as it comes."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="small shapes")
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=list(PARTS))
    parser.add_argument("--shapes", nargs="+", choices=list(SHAPES), default=list(SHAPES))
    parser.add_argument("--repeats", type=int, default=3, help="turns of every comparison")
    parser.add_argument("--threads", type=int, default=1, help="PyTorch's threads")
    arguments = parser.parse_args(argv)
    # RecBole reads the command line, too.
    sys.argv = sys.argv[:1]
    torch.set_num_threads(arguments.threads)
    torch.manual_seed(0)
    shapes = {name: SHAPES[name] for name in arguments.shapes}
    if arguments.quick:
        shapes = {name: shape.quick() for name, shape in shapes.items()}
    print("\n".join(machine_facts()), flush=True)
    print(HEADER)
    for part in arguments.parts:
        for row in rows(part, shapes, arguments.repeats):
            print(row, flush=True)


def rows(part: str, shapes: dict[str, Shape], repeats: int) -> Iterator[Row]:
    """The lines of one part."""
    if part in ("sampling", "recbole"):
        # On the interactions of the first shape alone.
        name, shape = next(iter(shapes.items()))
        yield from (sampling if part == "sampling" else recbole)(name, shape, repeats)
        return
    measure = {
        "mask": mask,
        "recommender": recommender,
        "environments": environments,
        "limits": limits,
    }[part]
    for name, shape in shapes.items():
        yield from measure(name, RandomData(shape), repeats)


def sampling(name: str, shape: Shape, repeats: int) -> Iterator[Row]:
    """Whole epochs of the loader, and draws that avoid positives, per second."""
    with tempfile.TemporaryDirectory() as place, ExitStack() as stack:
        folder = Path(place)
        hosts.write_interactions(shape, folder, name)
        own, other = hosts.ours("BPR", folder, name), hosts.recboles("BPR", folder, name)
        hosts.close([own, other], stack)
        epochs = {
            "own": lambda: sum(1 for _ in own.train),
            "other": lambda: sum(1 for _ in other.train),
        }
        seconds = alternately(epochs, repeats)
        n = len(own.train.dataset)
        what = f"{name}: positives a second, one negative each (target: 1 M)"
        rates = n / seconds["own"] / 1e6, n / seconds["other"] / 1e6
        yield Row(what, *rates, 1.0 / rates[1], "M", True)
    data = RandomData(shape)
    keys = sorted_keys(data.users, data.items, data.num("item_id"))
    sampler = NegativeSampler(data.num("item_id"), 50, "per_positive", torch.Generator(), keys)
    users = data.batch(shape.batch)[0]

    def searched() -> None:
        drawn = torch.randint(1, data.num("item_id"), (len(users), 50))
        torch.searchsorted(keys, users[:, None] * data.num("item_id") + drawn)

    seconds = alternately({"own": lambda: sampler.draw(users), "other": searched}, 20 * repeats)
    draws = {key: 50 * len(users) / value / 1e6 for key, value in seconds.items()}
    what = f"{name}: draws a second at 50 that avoid positives, against a sorted search (20 M)"
    yield Row(what, draws["own"], draws["other"], 20 / draws["other"], "M", True)


def mask(name: str, data: RandomData, repeats: int) -> Iterator[Row]:
    """One joint step of all environments."""
    for attention, kind in ((False, "plain gate (InvRL)"), (True, "attention (PaInvRL)")):
        seconds = alternately(mask_steps(data, attention), repeats)
        for own, target in (("shared pool", 20.0), ("same draws", 4.0)):
            what = f"{name}: mask step, {kind}, {own}"
            yield Row(what, seconds[own], seconds["reference"], target)


def recommender(name: str, data: RandomData, repeats: int) -> Iterator[Row]:
    """Epochs of the final model, from single steps."""
    batch = data.shape.batch
    sizes = {f"shared pool, batch {size}": size for size in (batch, 8 * batch)}
    yield from _epochs(f"{name}: final epoch", data, recommender_steps(data, sizes), repeats)


def environments(name: str, data: RandomData, repeats: int) -> Iterator[Row]:
    """Epochs of all environment models together, from some of their batches."""
    yield from _epochs(f"{name}: environment epoch", data, environment_steps(data), repeats)


def _epochs(what: str, data: RandomData, steps: object, repeats: int) -> Iterator[Row]:
    assert isinstance(steps, dict)
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
            pair = {
                "own": hosts.ours(model, folder, name),
                "other": hosts.recboles(model, folder, name),
            }
            hosts.close(list(pair.values()), stack)
            n = min(n_batches, *(len(host.train) for host in pair.values()))
            steps = {key: partial(host.train_batches, n) for key, host in pair.items()}
            seconds = alternately(steps, repeats)
            epoch = {key: seconds[key] * len(host.train) / n for key, host in pair.items()}
            what = f"{name}: {model} epoch against RecBole ({n} batches timed)"
            yield Row(what, epoch["own"], epoch["other"], target)
            if model == "BPR":
                seconds = alternately({key: host.evaluate for key, host in pair.items()}, repeats)
                yield Row(f"{name}: evaluation", seconds["own"], seconds["other"], 4.0)


def limits(name: str, data: RandomData, repeats: int) -> Iterator[Row]:
    """Shares of the machine's rates: ratio 1 would be the limit itself.

    Each is the shortest of several runs; the rate of a step over that of its products alone is the
    share of its time that they take.
    """
    shape, peak, copied = data.shape, sgemm_rate(), copy_rate() / 1e9
    steps = {"mask step, shared pool": mask_steps(data, True)["shared pool"]}
    sizes = {
        f"final step, shared pool, batch {size}": size for size in (shape.batch, 8 * shape.batch)
    }
    final = recommender_steps(data, sizes)
    steps |= {what: final[what][0] for what in sizes}
    steps["environments, content"] = environment_steps(data)["content"][0]
    for what, step in steps.items():
        operations, whole = gemm_operations(step), best(step, repeats)
        products = seconds_in_products(step, repeats)
        rate, alone = operations / whole / 1e9, operations / products / 1e9
        yield Row(f"{name}: {what}, of sgemm", rate, peak / 1e9, 0.5, "GFLOP/s", True)
        part = f"{name}: {what}, its products alone, of sgemm"
        yield Row(part, alone, peak / 1e9, None, "GFLOP/s", True)
        adam, moved = adam_rate(step, repeats)
        if adam:
            part = f"{name}: {what}, its Adam alone ({adam / whole:.0%} of the time), of copying"
            yield Row(part, moved / 1e9, copied, None, "GB/s", True)
    width, n = 64, shape.batch * shape.n_negatives
    table = torch.randn(data.num("item_id"), 1, width)
    users = torch.randn(shape.batch, width)
    drawn = torch.randint(1, len(table), (shape.batch, shape.n_negatives))
    scored = 4 * width * n / best(lambda: pair_scores(table, users, drawn))
    gathered = gather_rate(len(table), width, n)
    what = f"{name}: scores of {shape.n_negatives} negatives each, of gather"
    yield Row(what, scored / 1e9, gathered / 1e9, 0.3, "GB/s", True)


if __name__ == "__main__":
    main()
