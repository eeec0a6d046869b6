"""Measures every optimized implementation beside its plain form and prints the table of ratios.

    python -m benchmarks.speed                 everything, at the paper's sizes (about half an hour)
    python -m benchmarks.speed --quick         the same on small shapes, to try it (a minute)
    python -m benchmarks.speed --parts mask --shapes tiktok --repeats 7

Ratios are medians of steps taken in turns, so that other load on the machine affects both. The
parts: ``sampling`` (negatives and batches per second), ``mask``, ``recommender`` (backbone and
final model), ``environments``, each against ``benchmarks/reference.py``; ``recbole`` (BPR and
LightGCN by our command against RecBole's own loop, and evaluation).
"""

from __future__ import annotations

import sys
import tempfile
import time
from collections import deque
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, replace
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

import torch
from recbole.config import Config
from recbole.data import create_dataset, data_preparation
from recbole.utils import get_model, get_trainer, init_seed

from benchmarks.common import alternately, command_line, machine_facts, print_table
from benchmarks.steps import (
    SHAPES,
    RandomData,
    Shape,
    Step,
    Steps,
    environment_steps,
    mask_steps,
    recommender_steps,
)
from recbole_painvrl._compat.recbole import tensorboard_in
from recbole_painvrl.config import config_from_arguments
from recbole_painvrl.data.folder import write_dataset
from recbole_painvrl.data.negatives import NegativeSampler, sorted_keys
from recbole_painvrl.run.logs import run_log
from recbole_painvrl.run.runner import Run
from recbole_painvrl.training.pipeline import Context

COLUMNS = ("what", "ours", "plain", "ratio", "target")


@dataclass(frozen=True)
class Row:
    """A line of the table: two values with their unit, and the target of the ratio."""

    what: str
    ours: float
    plain: float
    target: float
    unit: str = "s"
    larger_is_better: bool = False

    @property
    def ratio(self) -> float:
        """How many times better ours is."""
        return self.ours / self.plain if self.larger_is_better else self.plain / self.ours

    def cells(self) -> tuple[str, ...]:
        """The line's cells."""
        target = f"{self.target:.3g} ({'met' if self.ratio >= self.target else 'missed'})"
        values = (f"{value:.4g} {self.unit}" for value in (self.ours, self.plain))
        return (self.what, *values, f"{self.ratio:.2f}", target)


def main(argv: list[str] | None = None) -> None:
    """Measure and print row by row."""
    parser = command_line(__doc__)
    parser.add_argument("--quick", action="store_true", help="small shapes")
    parser.add_argument("--parts", nargs="+", choices=list(PARTS), default=list(PARTS))
    parser.add_argument("--shapes", nargs="+", choices=list(SHAPES), default=list(SHAPES))
    parser.add_argument("--repeats", type=int, default=3, help="turns of every comparison")
    parser.add_argument("--threads", type=int, default=1, help="PyTorch's threads")
    given = parser.parse_args(argv)
    # RecBole reads the command line.
    sys.argv = sys.argv[:1]
    torch.set_num_threads(given.threads)
    torch.manual_seed(0)
    print("\n".join([*machine_facts(), ""]), flush=True)

    def rows() -> Iterator[tuple[str, ...]]:
        for part in given.parts:
            # RecBole's loop and the loaders use the interactions of the first shape only.
            names = given.shapes[:1] if part in ("sampling", "recbole") else given.shapes
            for name in names:
                shape = SHAPES[name].quick() if given.quick else SHAPES[name]
                for row in PARTS[part](name, shape, given.repeats):
                    yield row.cells()

    print_table(COLUMNS, rows())


def sampling(name: str, shape: Shape, repeats: int) -> Iterator[Row]:
    """Positives per second of the loader, and draws per second that avoid positives."""
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        loops = both_loops("BPR", shape, Path(folder), stack)
        # A deque without length only exhausts the loader.
        epochs: dict[str, Step] = {k: partial(deque, loop.train, 0) for k, loop in loops.items()}
        seconds = alternately(epochs, repeats)
        n = len(loops["ours"].train.dataset) / 1e6
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


def mask(name: str, shape: Shape, repeats: int) -> Iterator[Row]:
    """One joint step of all environments."""
    data = RandomData(shape)
    for attention, kind in ((False, "plain gate (InvRL)"), (True, "attention (PaInvRL)")):
        steps = mask_steps(data, attention)
        seconds = alternately({key: step for key, (step, _) in steps.items()}, repeats)
        for form, target in (("shared negatives", 20.0), ("same draws", 4.0)):
            what = f"{name}: mask step, {kind}, {form}"
            yield Row(what, seconds[form], seconds["reference"], target)


def recommender(name: str, shape: Shape, repeats: int) -> Iterator[Row]:
    """Epochs of the final model, extrapolated from single steps."""
    data = RandomData(shape)
    sizes = {f"shared negatives, batch {size}": size for size in (shape.batch, 8 * shape.batch)}
    yield from _epochs(f"{name}: final epoch", data, recommender_steps(data, sizes), repeats)


def environments(name: str, shape: Shape, repeats: int) -> Iterator[Row]:
    """Epochs of all environment models together, extrapolated from some batches."""
    data = RandomData(shape)
    yield from _epochs(f"{name}: environment epoch", data, environment_steps(data), repeats)


def _epochs(what: str, data: RandomData, steps: Steps, repeats: int) -> Iterator[Row]:
    seconds = alternately({key: step for key, (step, _) in steps.items()}, repeats)
    epoch = {key: seconds[key] * len(data.users) / n for key, (_, n) in steps.items()}
    for key in steps:
        if key != "reference":
            target = 1.0 if key == "same draws" else 5.0
            yield Row(f"{what}, {key}", epoch[key], epoch["reference"], target)


def recbole(name: str, shape: Shape, repeats: int) -> Iterator[Row]:
    """BPR and LightGCN, ours against RecBole's own loop with its defaults."""
    for model, n_batches, target in (("BPR", 10**9, 3.0), ("LightGCN", 6, 1.5)):
        with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
            loops = both_loops(model, shape, Path(folder), stack)
            n = min(n_batches, *(len(loop.train) for loop in loops.values()))
            steps = {key: partial(loop.train_batches, n) for key, loop in loops.items()}
            seconds = alternately(steps, repeats)
            epoch = {key: seconds[key] * len(loop.train) / n for key, loop in loops.items()}
            what = f"{name}: {model} epoch against RecBole ({n} batches timed)"
            yield Row(what, epoch["ours"], epoch["plain"], target)
            if model == "BPR":
                seconds = alternately({key: loop.evaluate for key, loop in loops.items()}, repeats)
                yield Row(f"{name}: evaluation", seconds["ours"], seconds["plain"], 4.0)


class Loop:
    """A trainer with its loaders, whose ``_train_epoch`` and ``evaluate`` are timed."""

    def __init__(self, train: Any, valid: Any, trainer: Any) -> None:
        self.train, self.valid, self.trainer = train, valid, trainer
        self._first: list[Any] = []
        trainer.eval_collector.data_collect(train)

    def train_batches(self, n_batches: int) -> None:
        """Train on a whole epoch, or on its first batches, which are drawn once.

        Drawing the order of a whole epoch would dominate the time of a few batches.
        """
        if n_batches >= len(self.train):
            self.trainer._train_epoch(self.train, 0)
            return
        if len(self._first) != n_batches:
            self._first = list(islice(self.train, n_batches))
        self.trainer._train_epoch(self._first, 0)

    def evaluate(self) -> Any:
        """Rank all items for all users of the validation split."""
        return self.trainer.evaluate(self.valid, load_best_model=False)


def both_loops(model: str, shape: Shape, folder: Path, stack: ExitStack) -> dict[str, Loop]:
    """Our loop and RecBole's of a pairwise model on the same random data without features."""
    data = RandomData(Shape(shape.n_users, shape.n_items, (1,), shape.n_interactions))
    write_dataset(replace(data.dataset("random"), features={}), folder / "random")
    return {"ours": _our_loop(model, folder, stack), "plain": _recbole_loop(model, folder, stack)}


def _our_loop(model: str, folder: Path, stack: ExitStack) -> Loop:
    config = config_from_arguments(
        [f"--model={model}", "--dataset=random", f"--data_path={folder}", "--use_gpu=False",
         "--show_progress=False", f"--output_dir={folder}"]
    )  # fmt: skip
    init_seed(config["seed"], config["reproducibility"])
    run = Run(config, stack.enter_context(run_log()), stack, None, time.perf_counter())
    run.trainer.pipeline.begin(Context(run.trainer, run.train_loader, saved=False))
    stack.callback(run.trainer.tensorboard.close)
    return Loop(run.train_loader, run.valid_loader, run.trainer)


def _recbole_loop(model: str, folder: Path, stack: ExitStack) -> Loop:
    """RecBole's dataset, loaders, model and trainer with its defaults."""
    settings = {
        "data_path": str(folder),
        "use_gpu": False,
        "show_progress": False,
        "checkpoint_dir": str(folder / "saved"),
        "load_col": {"inter": ["user_id", "item_id"]},
    }
    config = Config(model=model, dataset="random", config_dict=settings)
    init_seed(config["seed"], config["reproducibility"])
    train, valid, _ = data_preparation(config, create_dataset(config))
    built = get_model(model)(config, train._dataset)
    with tensorboard_in(folder / "events" / "recbole"):
        trainer = get_trainer(config["MODEL_TYPE"], model)(config, built)
    stack.callback(trainer.tensorboard.close)
    return Loop(train, valid, trainer)


PARTS = {
    "sampling": sampling,
    "mask": mask,
    "recommender": recommender,
    "environments": environments,
    "recbole": recbole,
}

if __name__ == "__main__":
    main()
