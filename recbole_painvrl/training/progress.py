"""Where a run stands: which stages are done, and how to go on inside the one that is not."""

from __future__ import annotations

import copy
import time
from pathlib import Path
from typing import Any

from torch import Tensor

from recbole_painvrl.training.checkpoint import (
    decode_other,
    encode_other,
    fitting,
    read_checkpoint,
    write_checkpoint,
)
from recbole_painvrl.training.state import (
    ModelAttributes,
    further_optimizers,
    global_rng,
    optimizer_state,
    part,
    restore_global_rng,
    restore_optimizer,
)

# Share of the training time that saving may take; below it every epoch is saved.
_SAVING_SHARE = 0.05
_COUNTERS = (
    "start_epoch",
    "cur_step",
    "best_valid_score",
    "best_valid_result",
    "train_loss_dict",
    "history",
)


class Progress:
    """Saves and restores a trainer at stage and epoch boundaries, exactly.

    The file is written before an epoch starts: at that moment the previous epoch's validation
    and early stopping are complete. An interrupted epoch is trained again from the same state,
    with the same draws.

    Args:
        trainer: the trainer (a ``RunTrainerMixin``).
        path: the rolling checkpoint.
    """

    def __init__(self, trainer: Any, path: Path) -> None:
        self.trainer, self.path = trainer, path
        # With what the run began (data, settings, versions); kept in the file.
        self.origin: dict[str, Any] = {}
        self.done: dict[str, Any] = {}
        self.tensors: dict[str, Tensor] = {}
        self.values: dict[str, Any] = {}
        self._pending: tuple[dict[str, Tensor], dict[str, Any]] | None = None
        self._loader_generator: Any = None
        self._enabled = True
        # Start of the run as it would be without interruptions.
        self.start = time.perf_counter()
        self._attributes = ModelAttributes(trainer.model)
        self._stage_start = time.perf_counter()
        self._saved_at, self._cost = 0.0, 0.0
        self._unsaved: tuple[dict[str, Tensor], dict[str, Any]] | None = None

    def load(self) -> dict[str, Any]:
        """Read the file; :meth:`begin` and :meth:`continue_stage` will take up from it.

        Returns:
            The ``origin`` with which the run began.

        Raises:
            UserError: the file is not readable.
        """
        tensors, state = read_checkpoint(self.path, self.trainer.device)
        with fitting(self.path):
            self.done, self.values = state["done"], state["values"]
            self.tensors = part(tensors, "values/")
            self.trainer.stage_log.entries = state["stages"]
            self._pending = tensors, state
            self.start -= state["run_seconds"]
            self.trainer.stage_log.earlier_peak_mb = float(state["peak_memory_mb"])
            return dict(state["origin"])

    def spent(self) -> tuple[float, float]:
        """Seconds of the run and its peak memory in MiB, those of earlier processes included.

        What a process did after its last save was done again and does not count.
        """
        seconds = round(time.perf_counter() - self.start, 3)
        return seconds, self.trainer.stage_log.peak_memory_mb()

    def begin(self, train_data: Any, enabled: bool = True) -> None:
        """Call before the first stage: takes up every source of random numbers.

        Args:
            train_data: the training loader, whose generator draws the order of the batches.
            enabled: whether to write the rolling checkpoint.
        """
        self._enabled = enabled
        self._loader_generator = train_data.generator
        if self._pending is None:
            return
        tensors, state = self._pending
        with fitting(self.path):
            restore_global_rng(tensors, state["rng"])
            for name, generator in self._generators().items():
                generator.set_state(tensors[f"generator/{name}"].cpu())

    def is_done(self, stage: str) -> bool:
        """Whether the stage was finished before the interruption."""
        return stage in self.done

    def outcome(self, stage: str) -> tuple[float, Any]:
        """Best validation score and result of a finished stage."""
        score, result = self.done[stage]
        return score, result

    def continue_stage(self, stage: str) -> float:
        """Restore the trainer if this is the interrupted stage; returns the seconds spent in it."""
        self._stage_start = time.perf_counter()
        if self._pending is None or self._pending[1]["stage"] != stage:
            return 0.0
        tensors, state = self._pending
        self._pending = None
        trainer = self.trainer
        with fitting(self.path):
            trainer.model.load_state_dict(part(tensors, "model/"))
            other = decode_other(part(tensors, "other/"), state["other_parameter"])
            trainer.model.load_other_parameter(other)
            self._attributes.restore(part(tensors, "attribute/"), state["attributes"])
            for name, optimizer in further_optimizers(trainer).items():
                own = part(tensors, f"further/{name}/")
                restore_optimizer(optimizer, own, state["further_optimizers"][name])
                if state["optimizer_is"] == name:
                    trainer.optimizer = optimizer
            restore_optimizer(trainer.optimizer, tensors, state["optimizer"])
            for name in _COUNTERS:
                setattr(trainer, name, state["counters"][name])
            losses = state["counters"]["train_loss_dict"]
            trainer.train_loss_dict = {int(epoch): loss for epoch, loss in losses.items()}
            self._stage_start -= state["seconds"]
            return float(state["seconds"])

    def begin_own_stage(self, stage: str) -> float:
        """Start a stage that restores itself from ``values``; returns the seconds spent in it."""
        self._stage_start = time.perf_counter()
        self.trainer.stage = stage
        if self._pending is None or self._pending[1]["stage"] != stage:
            return 0.0
        spent = float(self._pending[1]["seconds"])
        self._pending = None
        self._stage_start -= spent
        return spent

    def put(self, stage: str, tensors: dict[str, Tensor], values: Any) -> None:
        """What a stage of its own keeps; it is written with the next save."""
        self.tensors.update({f"{stage}/{name}": tensor for name, tensor in tensors.items()})
        self.values[stage] = values

    def finish_stage(self, stage: str, score: float = 0.0, result: Any = None) -> None:
        """Note that a stage is complete; nothing of it is computed again."""
        plain = None if result is None else {name: float(value) for name, value in result.items()}
        self.done[stage] = [float(score), plain]
        self._stage_start = time.perf_counter()
        self.save(None, 0)

    def save_epoch(self, epoch: int) -> None:
        """Save before an epoch; only keep the state where saving would take more than its share."""
        now = time.perf_counter()
        if self._saved_at and now - self._saved_at < self._cost / _SAVING_SHARE:
            self._keep(epoch)
            return
        self.save(self.trainer.stage, epoch)

    def _keep(self, epoch: int) -> None:
        """Copy the state to where the next epoch does not change it, in the machine's memory."""
        if self._enabled:
            tensors, state = self._state(self.trainer.stage, epoch)
            kept = {name: t.detach().to("cpu", copy=True) for name, t in tensors.items()}
            self._unsaved = kept, copy.deepcopy(state)

    def save_unsaved(self) -> None:
        """Write the state before the present epoch, unless it is in the file."""
        if self._unsaved is not None:
            write_checkpoint(self.path, *self._unsaved)
            self._unsaved = None

    def save(self, stage: str | None, epoch: int) -> None:
        """Write the rolling checkpoint, whole or not at all."""
        if not self._enabled:
            return
        start = time.perf_counter()
        # By reference: nothing moves on before it is written, here or after Ctrl-C.
        self._unsaved = self._state(stage, epoch)
        self.save_unsaved()
        self._saved_at = time.perf_counter()
        self._cost = self._saved_at - start

    def _state(self, stage: str | None, epoch: int) -> tuple[dict[str, Tensor], dict[str, Any]]:
        """Everything that the run needs to go on before this epoch, by reference."""
        trainer = self.trainer
        rng_tensors, rng = global_rng()
        optimizer_tensors, optimizer = optimizer_state(trainer.optimizer)
        other_tensors, other = encode_other(trainer.model.other_parameter())
        attributes, numbers = self._attributes.changed()
        further = further_optimizers(trainer)
        states = {name: optimizer_state(one) for name, one in further.items()}
        alias = [name for name, one in further.items() if one is trainer.optimizer]
        counters = {name: getattr(trainer, name) for name in _COUNTERS}
        counters["start_epoch"] = epoch
        tensors = {
            **rng_tensors,
            **optimizer_tensors,
            **{f"model/{name}": tensor for name, tensor in trainer.model.state_dict().items()},
            **{f"attribute/{name}": tensor for name, tensor in attributes.items()},
            **{
                f"further/{name}/{key}": tensor
                for name, (own, _) in states.items()
                for key, tensor in own.items()
            },
            **{f"other/{name}": tensor for name, tensor in other_tensors.items()},
            **{f"values/{name}": tensor for name, tensor in self.tensors.items()},
            **{f"generator/{name}": g.get_state() for name, g in self._generators().items()},
        }
        run_seconds, peak = self.spent()
        state = {
            "origin": self.origin,
            "run_seconds": run_seconds,
            "peak_memory_mb": peak,
            "stage": stage,
            "seconds": time.perf_counter() - self._stage_start,
            "done": self.done,
            "values": self.values,
            "stages": trainer.stage_log.entries,
            "rng": rng,
            "optimizer": optimizer,
            "optimizer_is": alias[0] if alias else None,
            "further_optimizers": {name: plain for name, (_, plain) in states.items()},
            "attributes": numbers,
            "other_parameter": other,
            "counters": counters,
        }
        return tensors, state

    def _generators(self) -> dict[str, Any]:
        """Generators that live across stages; those of one stage start anew with it."""
        generators = {"loader": self._loader_generator}
        negatives = getattr(self.trainer.model, "negatives", None)
        if negatives is not None:
            generators["negatives"] = negatives.generator
        return generators
