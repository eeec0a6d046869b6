"""A final model other than UltraGCN (``final_model``), trained on the masked features."""

from __future__ import annotations

import copy
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from torch import Tensor

from recbole_painvrl.data.loaders import liked, training_loader
from recbole_painvrl.models.painvrl.final_config import final_config
from recbole_painvrl.training.pipeline import Context, Outcome, Stage
from recbole_painvrl.training.state import global_rng, restore_global_rng

if TYPE_CHECKING:
    from recbole_painvrl.models.painvrl.trainer import StagedTrainer
    from recbole_painvrl.training.base import RunTrainerMixin


class OtherFinalStage(Stage["StagedTrainer"]):
    """Another model with its own settings, trainer and batches, on the features times a mask.

    Args:
        mask: m, ``[d]``.

    Attributes:
        trainer: its trainer, once prepared.
        outcome: best validation score and result, once finished.
    """

    def __init__(self, mask: Tensor) -> None:
        super().__init__("final")
        self._mask = mask
        self.outcome: Outcome | None = None

    def prepare(self, context: Context[StagedTrainer]) -> None:
        """Build model, trainer and loader as a run of that model does."""
        from recbole_painvrl.run.build import build_model, build_trainer

        outer = context.trainer
        config = final_config(outer.config, outer.folder)
        assert config is not None
        train: Any = copy.copy(context.train_data._dataset)
        train.features = replace(train.features, mask=self._mask.cpu())
        model = build_model(config, train)
        self.trainer: RunTrainerMixin = build_trainer(config, model)
        self.trainer.pipeline, self.trainer.on_valid = outer.pipeline, outer.on_valid
        self.trainer.stage, outer.evaluated = self.name, self.trainer
        loader = training_loader(config, liked(config, train))
        inner: Any = replace(context, trainer=self.trainer, train_data=loader)
        self._context: Context[Any] = inner
        (self._inner,) = self.trainer.stages()
        self._inner.prepare(self._context)

    def run(self, context: Context[StagedTrainer]) -> dict[str, Any]:
        """Train; afterwards the model holds the weights of its best epoch, if ``saved``."""
        figures = self._inner.run(self._context)
        self._take()
        return {"model": self.trainer.config["model"], **figures}

    def state_dict(self) -> dict[str, Any]:
        """The state of its training, with the generators that are its own."""
        generators = {name: one.get_state() for name, one in self._generators().items()}
        return {"inner": self._inner.state_dict(), "rng": global_rng(), "generators": generators}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Inverse of :meth:`state_dict`."""
        self._inner.load_state_dict(state["inner"])
        self._take()
        restore_global_rng(state["rng"])
        for name, one in self._generators().items():
            one.set_state(state["generators"][name].cpu())

    def _take(self) -> None:
        inner: Any = self._inner
        self.outcome = inner.outcome

    def _generators(self) -> dict[str, Any]:
        negatives = getattr(self.trainer.model, "negatives", None)
        own = {} if negatives is None else {"negatives": negatives.generator}
        return {"loader": self._context.train_data.generator, **own}
