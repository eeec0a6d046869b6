"""Stages of training, and the pipeline that orders, saves and resumes them."""

from __future__ import annotations

import copy
import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Generic, TypeVar

import numpy as np
from recbole.data.dataloader.abstract_dataloader import AbstractDataLoader as Loader
from torch import Tensor

from recbole_painvrl.parallel import group
from recbole_painvrl.training.checkpoint import fitting, pack, unpack, write_checkpoint
from recbole_painvrl.training.shard_files import (
    is_saved,
    read_state,
    remove_shards,
    write_shards,
)
from recbole_painvrl.training.stage_list import distinct
from recbole_painvrl.training.state import forget_training, global_rng, restore_global_rng

if TYPE_CHECKING:
    import torch

    from recbole_painvrl.training.protocols import Trains

# Fraction of the training time that saving may take; below it every epoch is saved.
_SAVING_FRACTION = 0.05

Outcome = tuple[float, Any]
Array = np.ndarray[Any, Any]
# The trainer under which a stage runs.
TrainerT = TypeVar("TrainerT", bound="Trains")


@dataclass(frozen=True)
class Context(Generic[TrainerT]):
    """What every stage is given.

    Attributes:
        trainer: the trainer (a ``RunTrainerMixin``), with model, settings and logs.
        train_data: the training loader.
        valid_data: the validation loader, or None.
        saved: whether to write checkpoints.
        show_progress: whether to draw progress bars.
        callback: RecBole's ``callback_fn``, called after every validation.
    """

    trainer: TrainerT
    train_data: Loader
    valid_data: Loader | None = None
    saved: bool = True
    show_progress: bool = False
    callback: Any = None


@dataclass
class Artefacts:
    """What a finished run leaves in its folder beside metrics and weights.

    Attributes:
        arrays: name of an ``.npz`` file, without its ending, -> arrays.
        mask: form of the mask and columns dropped, for ``result.json``.
        planted: scores against planted truth, for ``result.json``.
        oracle: weights of the final model trained with the true mask, to be evaluated; or None.
        unmasked: the same of the final model trained with all features.
        backbone: the same of the backbone, where it is of the final model's kind.
    """

    arrays: dict[str, dict[str, Array]] = field(default_factory=dict)
    mask: dict[str, Any] = field(default_factory=dict)
    planted: dict[str, Any] = field(default_factory=dict)
    oracle: dict[str, Tensor] | None = None
    unmasked: dict[str, Tensor] | None = None
    backbone: dict[str, Tensor] | None = None


class Stage(Generic[TrainerT]):
    """One stage of training.

    A pipeline calls :meth:`prepare`, then :meth:`load_state_dict` where the stage was begun or
    finished by an interrupted run, then :meth:`run` unless it is finished. During :meth:`run` the
    stage calls ``context.trainer.pipeline.checkpoint()`` wherever it can continue from.

    Args:
        name: unique in a pipeline; the name in ``result.json`` and in logs.
    """

    def __init__(self, name: str) -> None:
        self.name = name

    def prepare(self, context: Context[TrainerT]) -> None:
        """Build what :meth:`run` changes and :meth:`load_state_dict` restores."""

    def run(self, context: Context[TrainerT]) -> dict[str, Any]:
        """Do the work; returns the figures of the stage for ``result.json``."""
        raise NotImplementedError

    def state_dict(self) -> dict[str, Any]:
        """Everything that the stage needs to continue, or once finished, its results.

        Nested dictionaries and lists of tensors, arrays and JSON values.
        """
        raise NotImplementedError

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Inverse of :meth:`state_dict`."""
        raise NotImplementedError


class TrainingStage(Stage[TrainerT]):
    """RecBole's ``fit`` as a stage: epochs, validation, early stopping, the best epoch loaded.

    After another stage of this kind it begins anew, with the weights that this one left.

    Attributes:
        outcome: best validation score and result, once finished.
    """

    def __init__(self, name: str = "train") -> None:
        super().__init__(name)
        self.outcome: Outcome | None = None

    def prepare(self, context: Context[TrainerT]) -> None:
        """Start a new history of epochs, with nothing of an earlier training but its weights."""
        self.context = context
        context.trainer.history = []
        if context.trainer.pipeline.has_trained_before(self):
            forget_training(context.trainer)

    def run(self, context: Context[TrainerT]) -> dict[str, Any]:
        """Train; afterwards the model holds the weights of its best epoch, if ``saved``."""
        figures: dict[str, Any]
        trainer = context.trainer
        if trainer.config["train_neg_sample_args"].get("dynamic", False):
            # RecBole's `fit` does it as well, but not that of NCL.
            context.train_data.get_model(trainer.model)
        self.outcome, figures = trainer.fit_stage(context)
        return figures

    def state_dict(self) -> dict[str, Any]:
        """The trainer's state, or the outcome once finished."""
        if self.outcome is None:
            return dict(self.context.trainer.state_dict())
        score, result = self.outcome
        plain = None if result is None else {name: float(value) for name, value in result.items()}
        return {"outcome": [float(score), plain]}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue, or load the best epoch of a finished stage."""
        trainer = self.context.trainer
        if "outcome" not in state:
            trainer.load_state_dict(state)
            return
        # RecBole's `fit` would have done it; metrics of popularity need it.
        trainer.eval_collector.data_collect(self.context.train_data)
        trainer.load_best()
        score, result = state["outcome"]
        # A later stage may need them, and `fit` if it is no training.
        trainer.best_valid_score, trainer.best_valid_result = self.outcome = score, result


class Pipeline:
    """Runs stages in order, and saves and resumes them exactly at stage and epoch boundaries.

    The file is written before an epoch starts: at that moment the previous epoch's validation
    and early stopping are complete. An interrupted epoch is trained again from the same state,
    with the same draws. Where several processes train, each has a file (``shard_files.py``).

    Args:
        trainer: the trainer (a ``RunTrainerMixin``).
        path: the rolling checkpoint.

    Attributes:
        origin: with what the run began (data, settings, versions); kept in the file.
        start: start of the run as it would be without interruptions.
    """

    def __init__(self, trainer: Trains, path: Path) -> None:
        self.trainer, self.path = trainer, path
        self.origin: dict[str, Any] = {}
        self.start = time.perf_counter()
        self._stages: dict[str, Stage[Any]] = {}
        self._done: list[str] = []
        self._stage: str | None = None
        self._stage_start = self.start
        self._loaded: dict[str, Any] | None = None
        self._is_begun = False
        self._loader_generator: torch.Generator | None = None
        self._enabled = True
        self._saved_at, self._cost = 0.0, 0.0
        self._unsaved: tuple[dict[str, Tensor], Any] | None = None

    # --- running --------------------------------------------------------------------------

    def run(self, stages: Iterable[Stage[Any]], context: Context[Any]) -> Stage[Any] | None:
        """Run stages in order, from where an interrupted run stopped; returns the last one.

        Raises:
            UserError: two stages have the same name.
        """
        self.begin(context)
        stage = None
        for stage in distinct(stages):
            self.run_stage(stage, context)
        return stage

    def begin(self, context: Context[Any]) -> None:
        """Restore the random generators of an interrupted run."""
        if self._loaded is None or self._is_begun:
            # A second `fit` of the same trainer trains again, as RecBole's does.
            self._stages, self._done, self._loaded = {}, [], None
        self._is_begun = True
        self._enabled = context.saved
        self._loader_generator = context.train_data.generator
        if self._loaded is not None:
            with fitting(self.path):
                restore_global_rng(self._loaded["rng"])
                for name, generator in self._generators().items():
                    generator.set_state(self._loaded["generators"][name].cpu())

    def run_stage(self, stage: Stage[Any], context: Context[Any]) -> None:
        """Run one more stage, unless it is finished."""
        self._stage = self.trainer.stage = stage.name
        self._stages[stage.name] = stage
        self._stage_start = time.perf_counter()
        stage.prepare(context)
        spent = 0.0
        if self._loaded is not None and stage.name in self._loaded["stages"]:
            with fitting(self.path):
                stage.load_state_dict(self._loaded["stages"].pop(stage.name))
            if self._loaded["stage"] == stage.name:
                spent = float(self._loaded["seconds"])
                self._stage_start -= spent
        if stage.name in self._done:
            return
        with self.trainer.stage_log.measure(stage.name, spent) as entry:
            entry.update(stage.run(context))
        self.trainer.log.info("%s", self.trainer.stage_log.line(stage.name))
        self.trainer.log.debug(
            "%s: %s", stage.name, {k: v for k, v in entry.items() if k != "history"}
        )
        self._done.append(stage.name)
        self._stage, self._stage_start = None, time.perf_counter()
        self.save()

    def has_trained_before(self, stage: Stage[Any]) -> bool:
        """Whether another stage of the run, before this one, was a training."""
        others = (one for one in self._stages.values() if one is not stage)
        return any(isinstance(one, TrainingStage) for one in others)

    def spent(self) -> tuple[float, float]:
        """Seconds of the run and its peak memory in MiB, those of earlier processes included.

        What a process did after its last save was done again and does not count.
        """
        seconds = round(time.perf_counter() - self.start, 3)
        return seconds, self.trainer.stage_log.peak_memory_mb()

    # --- saving and loading ---------------------------------------------------------------

    @property
    def is_saved(self) -> bool:
        """Whether there is something to continue from."""
        return is_saved(self.path)

    def load(self) -> dict[str, Any]:
        """Read the file; :meth:`run` will continue from it.

        Returns:
            The ``origin`` with which the run began.

        Raises:
            UserError: the file is not readable.
        """
        shard = getattr(self.trainer.model, "shard", None)
        state = unpack(*read_state(self.path, self.trainer.device, shard))
        with fitting(self.path):
            self._done = list(state["done"])
            self.trainer.stage_log.entries = state["log"]
            self.trainer.stage_log.earlier_peak_mb = float(state["peak_memory_mb"])
            self.start -= state["run_seconds"]
            self._loaded, self._is_begun = state, False
            return dict(state["origin"])

    def checkpoint(self) -> None:
        """Save before an epoch; where that would take too long, only keep the state in memory."""
        since = time.perf_counter() - self._saved_at
        # One clock decides for all processes.
        if group.from_first(lambda: self._saved_at and since < self._cost / _SAVING_FRACTION):
            self._keep()
        else:
            self.save()

    def save(self) -> None:
        """Write the rolling checkpoint, whole or not at all."""
        if not self._enabled:
            return
        start = time.perf_counter()
        # By reference: nothing changes before it is written, here or after Ctrl-C.
        self._unsaved = pack(self._state())
        self.save_unsaved()
        self._saved_at = time.perf_counter()
        self._cost = self._saved_at - start

    def save_unsaved(self) -> None:
        """Write the state before the present epoch, unless it is in the file."""
        if self._unsaved is not None:
            if group.size() > 1:
                write_shards(self.path, *self._unsaved)
            else:
                write_checkpoint(self.path, *self._unsaved)
                remove_shards(self.path)
            self._unsaved = None

    def _keep(self) -> None:
        """Copy the state to main memory, where the next epoch does not change it."""
        if self._enabled:
            tensors, plain = pack(self._state())
            kept = {name: t.detach().to("cpu", copy=True) for name, t in tensors.items()}
            self._unsaved = kept, copy.deepcopy(plain)

    def _state(self) -> dict[str, Any]:
        """Everything that the run needs to continue, by reference."""
        run_seconds, peak = self.spent()
        return {
            "origin": self.origin,
            "run_seconds": run_seconds,
            "peak_memory_mb": peak,
            "stage": self._stage,
            "seconds": time.perf_counter() - self._stage_start,
            "done": self._done,
            "stages": {name: stage.state_dict() for name, stage in self._stages.items()},
            "log": self.trainer.stage_log.entries,
            "rng": global_rng(),
            "generators": {name: g.get_state() for name, g in self._generators().items()},
        }

    def _generators(self) -> dict[str, Any]:
        """Generators that live across stages; those of one stage start anew with it."""
        generators = {"loader": self._loader_generator}
        negatives = getattr(self.trainer.model, "negatives", None)
        if negatives is not None:
            generators["negatives"] = negatives.generator
        return generators
