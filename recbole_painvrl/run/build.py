"""The one place that makes dataset, splits, model and trainer from a configuration."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from recbole.model.abstract_recommender import GeneralRecommender
from recbole.utils import get_model, get_trainer, init_seed

from recbole_painvrl.config import SafeConfig
from recbole_painvrl.data.dataset import ModalityDataset
from recbole_painvrl.data.loaders import liked
from recbole_painvrl.data.splits.base import TRAIN
from recbole_painvrl.models.faster import faster
from recbole_painvrl.run.checks import settings_of_recbole
from recbole_painvrl.training.base import run_trainer_class

if TYPE_CHECKING:
    from recbole_painvrl.training.base import RunTrainerMixin


@dataclass
class Built:
    """What a configuration describes, before training.

    Attributes:
        dataset: the whole dataset.
        parts: its splits; the training split holds liked interactions only.
        model: the model with its initial values.
    """

    dataset: ModalityDataset
    parts: dict[str, ModalityDataset]
    model: GeneralRecommender


def build(config: SafeConfig) -> Built:
    """Dataset, splits and model of a configuration.

    Raises:
        UserError: the data or a setting is wrong.
    """
    dataset, parts = build_data(config)
    return Built(dataset, parts, build_model(config, parts[TRAIN]))


def build_data(config: SafeConfig) -> tuple[ModalityDataset, dict[str, ModalityDataset]]:
    """Dataset and splits; protocol `random` draws from the global generators, seeded here."""
    init_seed(config["seed"], config["reproducibility"])
    dataset = ModalityDataset(config)
    parts = dataset.build_parts()
    parts[TRAIN] = liked(config, parts[TRAIN])
    return dataset, parts


def build_model(
    config: SafeConfig, train: ModalityDataset, fast: bool = True
) -> GeneralRecommender:
    """The model on its device, its initial values drawn from newly seeded generators.

    Args:
        config: the configuration.
        train: the training split.
        fast: use the faster propagation of LightGCN and NGCF, whose scores differ from RecBole's
            by rounding; False for RecBole's own class.
    """
    init_seed(config["seed"], config["reproducibility"])
    model_class = get_model(config["model"])
    with settings_of_recbole(config):
        return (faster(model_class) if fast else model_class)(config, train).to(config["device"])


def build_trainer(config: SafeConfig, model: GeneralRecommender) -> RunTrainerMixin:
    """The trainer of a model; it writes to ``run_folder`` of the configuration."""
    trainer_class = run_trainer_class(get_trainer(config["MODEL_TYPE"], config["model"]))
    trainer: RunTrainerMixin = trainer_class(config, model)
    return trainer
