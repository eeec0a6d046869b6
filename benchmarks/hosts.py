"""RecBole's own training loop and ours on the same interactions."""

from __future__ import annotations

import time
from contextlib import ExitStack
from itertools import islice
from pathlib import Path
from typing import Any

import pandas as pd
from recbole.config import Config
from recbole.data import create_dataset, data_preparation
from recbole.utils import get_model, get_trainer, init_seed

from benchmarks.steps import RandomData, Shape
from recbole_painvrl._compat.recbole import tensorboard_in
from recbole_painvrl.config import config_from_arguments
from recbole_painvrl.data.folder import DatasetContent, write_dataset
from recbole_painvrl.run.logs import run_log
from recbole_painvrl.run.runner import Run
from recbole_painvrl.training.pipeline import Context


class Host:
    """A trainer with its loaders; ``_train_epoch`` and ``evaluate`` are what is timed."""

    def __init__(self, train: Any, valid: Any, trainer: Any) -> None:
        self.train, self.valid, self.trainer = train, valid, trainer
        self._first: list[Any] = []
        trainer.eval_collector.data_collect(train)

    def train_batches(self, n_batches: int) -> None:
        """Train on a whole epoch, or on its first batches, which are kept from call to call.

        Drawing the order of an epoch would weigh too much on a few batches.
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


def write_interactions(shape: Shape, folder: Path, name: str) -> None:
    """A dataset folder with random interactions and without features."""
    data = RandomData(Shape(shape.n_users, shape.n_items, (1,), shape.n_interactions))
    columns = {"user_id": data.users.numpy(), "item_id": data.items.numpy()}
    frame = pd.DataFrame(columns).astype(str)
    write_dataset(DatasetContent(name, "random", "none", "none", frame, features={}), folder / name)


def recboles(model: str, folder: Path, name: str, stack: ExitStack) -> Host:
    """RecBole's dataset, loaders, model and trainer with RecBole's defaults."""
    config = Config(
        model=model,
        dataset=name,
        config_dict={
            "data_path": str(folder),
            "use_gpu": False,
            "show_progress": False,
            "checkpoint_dir": str(folder / "saved"),
            "load_col": {"inter": ["user_id", "item_id"]},
        },
    )
    init_seed(config["seed"], config["reproducibility"])
    train, valid, _ = data_preparation(config, create_dataset(config))
    built = get_model(model)(config, train._dataset)
    with tensorboard_in(folder / "events" / "recbole"):
        trainer = get_trainer(config["MODEL_TYPE"], model)(config, built)
    stack.callback(trainer.tensorboard.close)
    return Host(train, valid, trainer)


def ours(model: str, folder: Path, name: str, stack: ExitStack) -> Host:
    """What our command makes of the same model and dataset."""
    config = config_from_arguments(
        [f"--model={model}", f"--dataset={name}", f"--data_path={folder}", "--use_gpu=False",
         "--show_progress=False", f"--output_dir={folder}"]
    )  # fmt: skip
    init_seed(config["seed"], config["reproducibility"])
    run = Run(config, stack.enter_context(run_log()), stack, None, time.perf_counter())
    run.trainer.pipeline.begin(Context(run.trainer, run.train_loader, saved=False))
    stack.callback(run.trainer.tensorboard.close)
    return Host(run.train_loader, run.valid_loader, run.trainer)
