"""Processor time of an epoch and of an evaluation, and peak memory, of every model.

    python -m benchmarks.models --data dataset --dataset tiktok      a dataset folder, whole epochs
    python -m benchmarks.models --steps 10 --batch 8192              planted data, 10 steps each
    python -m benchmarks.models --models GRCN,FREEDOM,LightGCN       some of them

Without ``--dataset``, planted interactions and features of the size 36,656 x 76,085 with 3 x 128
columns, written once to ``--output``. Every model runs at its defaults in a process of its own.
``build``: dataset, model, graphs. ``epoch``: training on all batches; with ``--steps`` the first
step, which includes what a model does once an epoch, plus the mean of the other measured steps
times the number of remaining steps (``~``). ``evaluation``: ranking all items for all users of the
validation split. All are seconds of processor time. Models trained in stages are left out:
``benchmarks.paper_sizes`` has them.
"""

from __future__ import annotations

import contextlib
import os
import sys
import time
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import Any

from benchmarks.common import command_line, print_table

_LARGE = "planted-large"
_ADDED = ("LightGCN", "BPR")
_COLUMNS = ("model", "build", "step", "steps", "epoch", "evaluation", "peak memory, GB")


@dataclass(frozen=True)
class Figures:
    """Seconds of processor time; ``measured`` of ``steps`` steps were made."""

    build: float
    first_step: float
    other_steps: float
    measured: int
    steps: int
    evaluation: float
    peak_gb: float

    @property
    def step(self) -> float:
        """Mean seconds of a step, without the first if there are others."""
        return self.other_steps / (self.measured - 1) if self.measured > 1 else self.first_step

    def cells(self) -> list[str]:
        """Cells of the table; an extrapolated epoch begins with ``~``."""
        whole = self.measured == self.steps
        epoch = self.first_step + self.other_steps + self.step * (self.steps - self.measured)
        return [
            f"{self.build:.1f}",
            f"{self.step:.3f}",
            f"{self.steps}" if whole else f"{self.measured} of {self.steps}",
            f"{epoch:.1f}" if whole else f"~{epoch:.1f}",
            f"{self.evaluation:.1f}",
            f"{self.peak_gb:.2f}",
        ]


class _EnoughError(Exception):
    """The steps asked for were made."""


def main(argv: list[str] | None = None) -> None:
    """Print a line per model as it is measured."""
    parser = command_line(__doc__)
    parser.add_argument("--data", type=Path, default=Path("dataset"), help="folder of datasets")
    parser.add_argument("--dataset", help="name of a dataset in it; planted data without")
    parser.add_argument("--models", help="names with commas between; all single-stage ones without")
    parser.add_argument("--steps", type=int, default=0, help="steps of an epoch; 0: all")
    parser.add_argument("--batch", type=int, default=0, help="train_batch_size; 0: the defaults")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--output", type=Path, default=Path("runs/models"))
    given = parser.parse_args(argv)
    # RecBole reads the command line, too.
    sys.argv = sys.argv[:1]
    os.environ["OMP_NUM_THREADS"] = str(given.threads)
    if given.dataset is None:
        given.data, given.dataset = given.output / "data", _LARGE
        write_planted(given.data / _LARGE)
    names = given.models.split(",") if given.models else models()
    print_table(_COLUMNS, ((model, *_in_a_process(model, given)) for model in names))


def models() -> list[str]:
    """The project's single-stage models and two of RecBole's."""
    from recbole_painvrl.specs import specs

    staged = {name for name, spec in specs().items() if getattr(spec.model, "learns_mask", False)}
    return [*(name for name in specs() if name not in staged), *_ADDED]


def write_planted(folder: Path) -> None:
    """Planted data of the paper's largest size, unless they are there."""
    from recbole_painvrl.data.folder import write_dataset
    from recbole_painvrl.data.planted import PlantedDesign, generate_planted

    if folder.is_dir():
        return
    design = PlantedDesign(
        n_users=36_656,
        n_items=76_085,
        min_interactions=15,
        max_interactions=25,
        modalities={"visual": 128, "acoustic": 128, "textual": 128},
    )
    write_dataset(generate_planted(design, folder.name), folder)


def _in_a_process(model: str, given: Any) -> list[str]:
    """Cells of a model's line, measured by a process of its own."""
    with ProcessPoolExecutor(1, get_context("spawn")) as pool:
        try:
            return pool.submit(measure, model, given).result().cells()
        except Exception as error:  # noqa: BLE001  (the other models are measured all the same)
            why = " ".join(str(error).replace("|", "/").split())[:80]
            return [f"failed: {why}", *[""] * (len(_COLUMNS) - 2)]


def measure(model: str, given: Any) -> Figures:
    """Build, train on some steps and evaluate a model in this process."""
    import torch

    from recbole_painvrl.config import config_from_arguments
    from recbole_painvrl.data.loaders import evaluation_loader, training_loader
    from recbole_painvrl.data.splits.base import TRAIN, VALID
    from recbole_painvrl.run.build import build_data, build_model, build_trainer
    from recbole_painvrl.training.pipeline import Context
    from recbole_painvrl.training.stage_log import peak_memory_mb

    torch.set_num_threads(given.threads)
    words = [f"--model={model}", f"--data_path={given.data}", f"--dataset={given.dataset}"]
    words += [f"--train_batch_size={given.batch}"] if given.batch else []
    quiet = ("--use_gpu=False", "--show_progress=False", f"--output_dir={given.output}")
    config = config_from_arguments([*words, *quiet])
    start = time.process_time()
    _, parts = build_data(config)
    loader = training_loader(config, parts[TRAIN])
    valid = evaluation_loader(config, [parts[TRAIN]], parts[VALID], "valid")
    trainer = build_trainer(config, build_model(config, parts[TRAIN]))
    trainer.pipeline.begin(Context(trainer, loader, saved=False))
    trainer.eval_collector.data_collect(loader)
    times = [time.process_time()]
    build = times[0] - start

    def stepped(*_: object) -> None:
        times.append(time.process_time())
        if len(times) == given.steps + 1:
            raise _EnoughError

    trainer.optimizer.register_step_post_hook(stepped)
    with contextlib.suppress(_EnoughError):
        trainer._train_epoch(loader, 0)
    steps = len(getattr(trainer, "batches", loader))
    start = time.process_time()
    trainer.evaluate(valid, load_best_model=False)
    evaluation = time.process_time() - start
    trainer.tensorboard.close()
    return Figures(
        build,
        times[1] - times[0],
        times[-1] - times[1],
        len(times) - 1,
        steps,
        evaluation,
        peak_memory_mb() / 1024,
    )


if __name__ == "__main__":
    main()
