"""Types of what training and inference use of RecBole's models and trainers, which are untyped."""

# ruff: noqa: D102  # the classes that have these methods document them

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from logging import Logger
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import torch
from recbole.data.dataloader.abstract_dataloader import AbstractDataLoader as Loader
from torch import Tensor, nn

from recbole_painvrl.config.base import ConfigLike
from recbole_painvrl.evaluation.collector import FastCollector
from recbole_painvrl.training.pipeline import Context, Outcome, Pipeline
from recbole_painvrl.training.stage_log import StageLog


class Recommender(Protocol):
    """What is relied on of a ``GeneralRecommender``."""

    n_users: int
    n_items: int
    device: torch.device
    USER_ID: str

    def named_parameters(self) -> Iterator[tuple[str, nn.Parameter]]: ...
    def named_buffers(self) -> Iterator[tuple[str, Tensor]]: ...
    def load_state_dict(self, state_dict: Mapping[str, Tensor], /) -> Any: ...
    def load_other_parameter(self, para: Any, /) -> None: ...
    def full_sort_predict(self, interaction: Any, /) -> Tensor: ...


class TermsRecommender(Recommender, Protocol):
    """A recommender that says which terms its loss on a batch consists of (``noted``)."""

    features: Tensor
    noted: dict[str, Tensor] | None

    def calculate_loss(self, interaction: Any, /) -> Tensor: ...
    def forget_tables(self) -> None: ...


class Trains(Protocol):
    """What stages, pipeline and guard use of a ``RunTrainerMixin``."""

    config: ConfigLike
    model: Recommender
    device: torch.device
    stage: str
    history: list[dict[str, Any]]
    best_valid_score: float
    best_valid_result: Any
    log: Logger
    stage_log: StageLog
    pipeline: Pipeline
    eval_collector: FastCollector

    def fit_stage(self, context: Context[Any], /) -> tuple[Outcome, dict[str, Any]]: ...
    def load_best(self, path: Path | None = None) -> int: ...
    def state_dict(self) -> dict[str, Any]: ...
    def load_state_dict(self, state: dict[str, Any], /) -> None: ...


@runtime_checkable
class MakesFinal(Protocol):
    """A trainer whose last stage trains another model, which the run makes for it.

    Attributes:
        make_final: trainer and training loader of that model, from the training split and a mask.
    """

    make_final: Callable[[Any, Tensor], tuple[Any, Loader]] | None
