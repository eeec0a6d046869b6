"""RecBole's own loop and ours on the same interactions."""

from __future__ import annotations

from contextlib import ExitStack
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from recbole.config import Config
from recbole.data import create_dataset, data_preparation
from recbole.utils import get_model, get_trainer, init_seed

from benchmarks.shapes import RandomData, Shape
from recbole_painvrl._compat.recbole import tensorboard_in
from recbole_painvrl.config import config_from_arguments
from recbole_painvrl.data.dataset import ModalityDataset
from recbole_painvrl.data.folder import DatasetContent, write_dataset
from recbole_painvrl.data.loaders import evaluation_loader, training_loader
from recbole_painvrl.data.splits.base import TRAIN, VALID
from recbole_painvrl.models.faster import faster
from recbole_painvrl.training.base import run_trainer_class


class Host:
    """A trainer with its loaders.

    Attributes:
        train: training loader.
        valid: validation loader.
        trainer: ``_train_epoch`` and ``evaluate`` are what is timed.
    """

    def __init__(self, train: Any, valid: Any, trainer: Any) -> None:
        self.train, self.valid, self.trainer = train, valid, trainer
        self._first: list[Any] = []

    def train_batches(self, n_batches: int) -> None:
        """Train on a whole epoch, or on its first batches, which are then kept from call to call.

        Drawing the order of an epoch would weigh too much on a few batches.
        """
        if n_batches >= len(self.train):
            self.trainer._train_epoch(self.train, 0)
            return
        if len(self._first) != n_batches:
            self._first = list(islice(self.train, n_batches))
        self.trainer._train_epoch(self._first, 0)

    def evaluate(self) -> Any:
        """Rank all items for all users of the validation part."""
        return self.trainer.evaluate(self.valid, load_best_model=False)


def write_interactions(shape: Shape, folder: Path, name: str) -> None:
    """A dataset folder with random interactions and without features."""
    data = RandomData(Shape(shape.n_users, shape.n_items, (1,), shape.n_interactions))
    frame = pd.DataFrame(
        {"user_id": data.users.numpy().astype(str), "item_id": data.items.numpy().astype(str)}
    )
    write_dataset(DatasetContent(name, "random", "none", "none", frame, features={}), folder / name)


def recboles(model: str, folder: Path, name: str) -> Host:
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
    trainer.eval_collector.data_collect(train)
    return Host(train, valid, trainer)


def ours(model: str, folder: Path, name: str, *arguments: str) -> Host:
    """What our command makes of the same model and dataset."""
    config = config_from_arguments(
        [f"--model={model}", f"--dataset={name}", f"--data_path={folder}", "--use_gpu=False",
         "--show_progress=False", *arguments]
    )  # fmt: skip
    config["run_folder"] = str(folder / "run")
    config["checkpoint_dir"] = str(folder / "run" / "checkpoint")
    parts = ModalityDataset(config).build_parts()
    init_seed(config["seed"], config["reproducibility"])
    built = faster(get_model(model))(config, parts[TRAIN])
    trainer_class = run_trainer_class(get_trainer(config["MODEL_TYPE"], model))
    trainer: Any = trainer_class(config, built)
    train = training_loader(config, parts[TRAIN])
    trainer.progress.begin(train, enabled=False)
    trainer.eval_collector.data_collect(train)
    valid = evaluation_loader(config, [parts[TRAIN]], parts[VALID], "valid")
    return Host(train, valid, trainer)


def close(hosts: list[Host], stack: ExitStack) -> None:
    """Close the TensorBoard writers when the stack does."""
    for host in hosts:
        stack.callback(host.trainer.tensorboard.close)


def scores_of(result: Any) -> np.ndarray[Any, np.dtype[np.float64]]:
    """Metric values of an evaluation."""
    return np.array([float(value) for value in result.values()])
