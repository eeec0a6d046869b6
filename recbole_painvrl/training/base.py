"""What every trainer that our runner starts does differently from RecBole's, as a mixin."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from logging import getLogger
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from recbole.data.dataloader import FullSortEvalDataLoader
from recbole.data.dataloader.abstract_dataloader import AbstractDataLoader as Loader
from recbole.model.abstract_recommender import GeneralRecommender
from recbole.trainer import Trainer
from recbole.utils import get_local_time

from recbole_painvrl._compat.recbole import tensorboard_in
from recbole_painvrl.config.base import ConfigLike
from recbole_painvrl.data.loaders import evaluation_loader
from recbole_painvrl.data.splits.base import OOD_VALID, without_ood_validation
from recbole_painvrl.evaluation.collector import FastCollector
from recbole_painvrl.evaluation.per_user import PerUserEvaluator
from recbole_painvrl.evaluation.selection import selection_score
from recbole_painvrl.parallel import group
from recbole_painvrl.parallel.launch import refuse_several
from recbole_painvrl.parallel.shards import user_tables
from recbole_painvrl.seeds import separate_draws
from recbole_painvrl.training.bar import EpochBar
from recbole_painvrl.training.checkpoint import (
    OTHER,
    UserRows,
    load_model,
    pack,
    write_checkpoint,
)
from recbole_painvrl.training.guard import Guard
from recbole_painvrl.training.pipeline import Artefacts, Context, Pipeline, Stage, TrainingStage
from recbole_painvrl.training.row_gradients import use_row_gradients
from recbole_painvrl.training.sharded import (
    ShardedSteps,
    change_user_rows,
    whole_tables,
)
from recbole_painvrl.training.stage_list import outcome_of
from recbole_painvrl.training.stage_log import StageLog
from recbole_painvrl.training.state import ModelAttributes, further_optimizers
from recbole_painvrl.training.wandb_summary import WandbSummary

# Attributes of the trainer in which RecBole's `fit` keeps its progress.
_COUNTERS = (
    *("start_epoch", "cur_step", "best_valid_score", "best_valid_result", "train_loss_dict"),
    "history",
)

if TYPE_CHECKING:
    from recbole.trainer import Trainer as _Trainer
else:
    # Mixed in before any of RecBole's trainer classes.
    _Trainer = object


class RunTrainerMixin(_Trainer):
    """Mixed in before a RecBole trainer: safe checkpoints, fused Adam, stages, per-user metrics.

    * checkpoints are single safetensors files, atomic, never pickled;
    * Adam is fused (same update rule, several times faster on large tables);
    * one progress bar per stage, its epochs in the log file;
    * every evaluation keeps the metrics per user (``evaluator.per_user``);
    * ``select_on`` may choose the epoch by the OOD validation split, too;
    * run by RecBole's own ``run_recbole``, ``evaluate`` adds the OOD test as ``ood_...`` keys.
    """

    optimizer: torch.optim.Optimizer

    def __init__(self, config: ConfigLike, model: GeneralRecommender) -> None:
        default = f"{config['model']}-{config['dataset']}-{get_local_time()}"
        folder = config["run_folder"] or str(Path(config["checkpoint_dir"]) / default)
        self.folder = Path(folder)
        self.guard = Guard(self)
        self.sharded: ShardedSteps | None = None
        with tensorboard_in(self.folder / "tensorboard" if group.is_first() else None):
            super().__init__(config, model)
        # RecBole's trainer of models without training sets its one epoch after `eval_step`.
        self.eval_step: int = min(self.eval_step, self.epochs)
        self.summary = WandbSummary(self.wandblogger)
        self.log = getLogger("recbole_painvrl")
        self.evaluator = PerUserEvaluator(config)
        self.eval_collector = FastCollector(config)
        self.stage_log = StageLog()
        self.stage = "train"
        self.history: list[dict[str, Any]] = []
        self.saved_model_file = str(self.folder / "checkpoint" / "best.safetensors")
        self.pipeline = Pipeline(self, self.folder / "checkpoint" / "last.safetensors")
        self._attributes = ModelAttributes(model)
        self._next_epoch = 0
        # Trainer of the model that a run evaluates after `fit`; another one with `final_model`.
        self.evaluated: RunTrainerMixin = self
        self._bar: EpochBar | None = None
        self._ood_valid_loader: Loader | None = None
        # Called after every validation with its score and result; may end the training by raising.
        self.on_valid: Callable[[float, Any], None] | None = None

    def _build_optimizer(self, **kwargs: Any) -> torch.optim.Optimizer:
        """RecBole's optimisers; Adam is fused and a model may bring its own weight decay."""
        own = getattr(self.model, "parameter_groups", None)
        if "params" not in kwargs and own is not None:
            kwargs["params"] = own()
        optimizer: torch.optim.Optimizer = super()._build_optimizer(**kwargs)
        if type(optimizer) is torch.optim.Adam:
            for part in optimizer.param_groups:
                part["fused"] = True
        # Before `use_row_gradients`, so that it checks the rows of a batch and not whole tables.
        self.guard.watch(optimizer)
        use_row_gradients(self.config, self.model, optimizer)
        if group.size() > 1:
            self.sharded = ShardedSteps(self, optimizer)
        return optimizer

    # --- stages ---------------------------------------------------------------------------

    def stages(self) -> Iterable[Stage[Any]]:
        """The stages, made as they are run; the last one gives what :meth:`fit` returns."""
        return [TrainingStage()]

    def artefacts(self) -> Artefacts:
        """What the stages leave in the run folder, after :meth:`fit`; may run further stages."""
        return Artefacts()

    def fit(
        self,
        train_data: Loader,
        valid_data: Loader | None = None,
        verbose: bool = True,
        saved: bool = True,
        show_progress: bool = False,
        callback_fn: Callable[[int, float], None] | None = None,
    ) -> tuple[float, Any]:
        """Run all stages; returns best validation score and result of the last one."""
        if group.size() == 1:
            refuse_several("this training")
        self.context = Context(self, train_data, valid_data, saved, show_progress, callback_fn)
        return outcome_of(self.pipeline.run(self.stages(), self.context), self, saved)

    def fit_stage(self, context: Context[Any]) -> tuple[tuple[float, Any], dict[str, Any]]:
        """RecBole's ``fit`` with one progress bar; returns its outcome and the stage's figures."""
        self._bar = EpochBar(self.stage, self.start_epoch, self.epochs, context.show_progress)
        try:
            # verbose=False: the epochs go to our log file, not between the progress bars.
            score, result = super().fit(
                context.train_data,
                context.valid_data,
                False,
                context.saved,
                context.show_progress,
                context.callback,
            )
        finally:
            self._bar.close()
            self._bar = None
        losses = list(self.train_loss_dict.values())
        figures = {
            "epochs": len(losses),
            "best_epoch": self.load_best() + 1 if context.saved else None,
            "loss": losses[-1] if losses else None,
            "best_valid": {name: float(value) for name, value in (result or {}).items()},
            "history": self.history,
        }
        return (score, result), figures

    def state_dict(self) -> dict[str, Any]:
        """What the present stage needs to continue before the next epoch, by reference."""
        further = further_optimizers(self)
        same = [name for name, one in further.items() if one is self.optimizer]
        state = {
            "model": self.model.state_dict(),
            "other_parameter": self.model.other_parameter(),
            "attributes": self._attributes.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "further_optimizers": {name: one.state_dict() for name, one in further.items()},
            "optimizer_is": same[0] if same else None,
            "counters": {name: getattr(self, name) for name in _COUNTERS}
            | {"start_epoch": self._next_epoch},
        }
        if user_tables(self.model):
            state = change_user_rows(state, self.model, self.optimizer, UserRows)
        return state

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Inverse of :meth:`state_dict`."""
        if user_tables(self.model):
            # Also of a run that one process began.
            rows = self.model.shard.rows
            state = change_user_rows(state, self.model, self.optimizer, rows)
        self.model.load_state_dict(state["model"])
        self.model.load_other_parameter(state["other_parameter"])
        self._attributes.load_state_dict(state["attributes"])
        for name, optimizer in further_optimizers(self).items():
            optimizer.load_state_dict(state["further_optimizers"][name])
            if state["optimizer_is"] == name:
                self.optimizer = optimizer
        self.optimizer.load_state_dict(state["optimizer"])
        for name in _COUNTERS:
            setattr(self, name, state["counters"][name])

    def _train_epoch(
        self, train_data: Loader, epoch_idx: int, loss_func: Any = None, show_progress: bool = False
    ) -> Any:
        self._next_epoch = epoch_idx
        self.pipeline.checkpoint()
        self.guard.begin_epoch(epoch_idx)
        self._start_epoch(epoch_idx)
        loss_function = loss_func or self.model.calculate_loss
        if self.sharded is not None:
            loss_function = self.sharded.weighted(loss_function, train_data)
        watched = self.guard.watched(loss_function)
        if self._bar is not None:
            watched = self._bar.shown(watched, epoch_idx, len(train_data))
        loss = super()._train_epoch(train_data, epoch_idx, watched, False)
        if self.sharded is not None:
            loss = self.sharded.epoch_loss()
            self.sharded.check_replicas()
        self.guard.check_weights()
        total = sum(loss) if isinstance(loss, tuple) else loss
        self.log.debug("%s epoch %d: loss %.6g", self.stage, epoch_idx + 1, total)
        self.history.append({"epoch": epoch_idx + 1, "loss": float(total)})
        if self._bar is not None:
            self._bar.end_epoch(epoch_idx, total)
        return loss

    def _start_epoch(self, epoch: int) -> None:
        """Tell a model that wants to know, and set the learning rate of its schedule."""
        model: Any = self.model
        if hasattr(model, "start_epoch"):
            model.start_epoch(epoch)
        if hasattr(model, "learning_rate_factor"):
            for part in self.optimizer.param_groups:
                part["lr"] = self.learning_rate * model.learning_rate_factor(epoch)

    def _check_nan(self, loss: torch.Tensor) -> None:
        """Stop at a loss that is NaN or infinite, before it reaches the weights."""
        if self.sharded is not None:
            self.sharded.check()
        self.guard.check_loss(loss)

    def _add_train_loss_to_tensorboard(
        self, epoch_idx: int, losses: Any, tag: str = "Loss/Train"
    ) -> None:
        super()._add_train_loss_to_tensorboard(epoch_idx, losses, f"{self.stage}/loss")

    def _add_hparam_to_tensorboard(self, best_valid_result: Any) -> None:
        """Nothing: the effective configuration is in config.yaml, once per run, not per stage."""

    # --- selection ------------------------------------------------------------------------

    def _valid_epoch(self, valid_data: Loader, show_progress: bool = False) -> tuple[float, Any]:
        score, result = super()._valid_epoch(valid_data, False)
        if self.config["select_on"] in ("ood", "harmonic"):
            shifted = self.ood_valid(valid_data)
            result.update({f"ood_{name}": value for name, value in shifted.items()})
            values = (score, shifted[self.valid_metric])
            score = selection_score(values, self.config["select_on"])
        self.log.debug("%s valid: %s", self.stage, dict(result))
        if self.history:
            self.history[-1]["valid"] = {name: float(value) for name, value in result.items()}
        if self.on_valid is not None:
            self.on_valid(score, result)
        return score, result

    def ood_valid(self, valid_data: Loader) -> dict[str, float]:
        """Metrics of the OOD validation split beside ``valid_data``, with the present weights.

        Raises:
            UserError: the protocol has no such split.
        """
        if self._ood_valid_loader is None:
            dataset = valid_data._dataset
            further = getattr(dataset, "further", {})
            if OOD_VALID not in further:
                raise without_ood_validation(self.config["select_on"], dataset.protocol)
            self._ood_valid_loader = evaluation_loader(
                self.config, [dataset.history[0]], further[OOD_VALID], "valid"
            )
        return self.evaluate(self._ood_valid_loader, load_best_model=False)

    # --- evaluation -----------------------------------------------------------------------

    def evaluate(
        self,
        eval_data: Loader,
        load_best_model: bool = True,
        model_file: str | None = None,
        show_progress: bool = False,
    ) -> dict[str, float]:
        """RecBole's evaluation; also of the OOD test where RecBole's own loader carries one.

        Random numbers that a model draws for its scores are those of the evaluation: the same
        weights have the same figures, and evaluating leaves the training as it is.
        """
        if load_best_model:
            self.load_best(None if model_file is None else Path(model_file))
        if isinstance(eval_data, FullSortEvalDataLoader):
            self.item_tensor = None
        with separate_draws(self.config["seed"], "evaluation", self.device):
            result = self._evaluate(eval_data, show_progress)
        self.summary.write(result)
        return result

    def _evaluate(self, eval_data: Loader, show_progress: bool) -> dict[str, float]:
        result: dict[str, float] = super().evaluate(eval_data, False, None, show_progress)
        dataset: Any = getattr(eval_data, "_dataset", None)
        if getattr(dataset, "evaluate_further", False):
            for name, part in getattr(dataset, "further", {}).items():
                loader = evaluation_loader(self.config, dataset.history, part, "test")
                shifted = super().evaluate(loader, False, None, show_progress)
                result.update({f"{name}_{metric}": value for metric, value in shifted.items()})
        return result

    # --- checkpoints ----------------------------------------------------------------------

    def _save_checkpoint(self, epoch: int, verbose: bool = True, **kwargs: Any) -> None:
        path = Path(kwargs.pop("saved_model_file", self.saved_model_file))
        other, other_state = pack(self.model.other_parameter())
        tensors = whole_tables(self.model)
        tensors.update({OTHER + name: tensor for name, tensor in other.items()})
        state = {
            "model": self.config["model"],
            "stage": self.stage,
            "epoch": epoch,
            "other_parameter": other_state,
        }
        if group.is_first():
            write_checkpoint(path, tensors, state)
        group.wait()

    def load_best(self, path: Path | None = None) -> int:
        """Load the weights of the best epoch; returns its number, from 0."""
        state = load_model(path or Path(self.saved_model_file), self.model, self.device)
        return int(state["epoch"])


def run_trainer_class(trainer_class: type) -> type:
    """Any RecBole trainer class with :class:`RunTrainerMixin` in front."""
    if issubclass(trainer_class, RunTrainerMixin):
        return trainer_class
    return type(f"Run{trainer_class.__name__}", (RunTrainerMixin, trainer_class), {})


class RunTrainer(RunTrainerMixin, Trainer):
    """RecBole's plain trainer with the mixin."""
