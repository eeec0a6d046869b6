"""The final model on the masked features, and the choice among several masks by validation."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from torch import Tensor

from recbole_painvrl.data.splits.base import OOD_VALID, VALID
from recbole_painvrl.training.pipeline import Context, Outcome, Stage, TrainingStage

if TYPE_CHECKING:
    from recbole_painvrl.models.painvrl.backbone_stage import BackboneStage
    from recbole_painvrl.models.painvrl.form_stage import FormStage
    from recbole_painvrl.models.painvrl.trainer import StagedTrainer

# A learnt mask costs a few percent in distribution at most; a larger loss is due to the L2.
_MUCH_WORSE = 0.9
# Keys of an entry in ``stages`` that describe the stage and not the model that it trained.
_OF_THE_STAGE = ("name", "seconds", "peak_memory_mb")


class FinalStage(TrainingStage["StagedTrainer"]):
    """A fresh model trained on ``Phi = m (.) f`` (Eq. 26).

    Args:
        name: name of the stage.
        mask: m, ``[d]``.
        checkpoint: name of the file of the best epoch.
        backbone: the backbone, to compare with; None for no comparison.
    """

    def __init__(
        self,
        name: str,
        mask: Tensor,
        checkpoint: str = "best",
        backbone: BackboneStage | None = None,
    ) -> None:
        super().__init__(name)
        self._mask, self._checkpoint, self._backbone = mask, checkpoint, backbone

    def prepare(self, context: Context[StagedTrainer]) -> None:
        """New initial values, the mask on the features, a new optimizer."""
        super().prepare(context)
        trainer = context.trainer
        trainer.model.reset("final initial values")
        trainer.model.set_mask(self._mask)
        config = trainer.config
        trainer.reset_training(config["epochs"], config["stopping_step"], self._checkpoint)

    def run(self, context: Context[StagedTrainer]) -> dict[str, Any]:
        """Train, and warn where it validates much worse than the backbone."""
        figures = super().run(context)
        if self._backbone is not None and self.outcome is not None:
            compare(context, self.outcome[0], figures["epochs"], self._backbone)
        return figures


class CandidateStage(FinalStage):
    """A final model among which validation chooses.

    Args:
        name: name of the mask.
        mask: m, ``[d]``.

    Attributes:
        points: its validation metrics, IID and OOD where there is such a part, once finished.
        weights: its best epoch, once finished.
    """

    def __init__(self, name: str, mask: Tensor) -> None:
        super().__init__(f"final {name}", mask, f"final-{name}")
        self.points: dict[str, dict[str, float]] = {}
        self.weights: dict[str, Tensor] = {}

    def run(self, context: Context[StagedTrainer]) -> dict[str, Any]:
        """Train, and keep weights and validation metrics."""
        figures = super().run(context)
        assert context.valid_data is not None
        self.points = {VALID: figures["best_valid"]}
        if OOD_VALID in getattr(context.valid_data._dataset, "further", {}):
            shifted = context.trainer.ood_valid(context.valid_data)
            self.points[OOD_VALID] = {name: float(value) for name, value in shifted.items()}
        self._keep()
        return figures

    def state_dict(self) -> dict[str, Any]:
        """The trainer's state, or outcome and metrics once finished."""
        points = {"points": self.points} if self.points else {}
        return {**super().state_dict(), **points}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue, or load the best epoch of a finished stage."""
        super().load_state_dict(state)
        if "points" in state:
            self.points = state["points"]
            self._keep()

    def _keep(self) -> None:
        model = self.context.trainer.model
        self.weights = {name: tensor.clone() for name, tensor in model.state_dict().items()}


class ChosenStage(Stage["StagedTrainer"]):
    """Takes the candidate that :meth:`FormStage.best` names by validation; trains nothing.

    Args:
        form: chooses by the validation scores (``select_on``).
        candidates: the finished candidates by name of the mask.
        backbone: the backbone, to compare with.

    Attributes:
        outcome: best validation score and result of the candidate taken.
    """

    def __init__(
        self, form: FormStage, candidates: Mapping[str, CandidateStage], backbone: BackboneStage
    ) -> None:
        super().__init__("final")
        self._form, self._candidates, self._backbone = form, candidates, backbone
        self.outcome: Outcome | None = None

    def prepare(self, context: Context[StagedTrainer]) -> None:
        """Reset the trainer, so that from here on best weights are written as those of the run."""
        self._context = context
        trainer = context.trainer
        trainer.reset_training(trainer.config["epochs"], trainer.config["stopping_step"], "best")

    def run(self, context: Context[StagedTrainer]) -> dict[str, Any]:
        """Choose; returns the figures of the training that was chosen."""
        trainer, sign = context.trainer, 1 if context.trainer.valid_metric_bigger else -1
        scores = {name: one.outcome[0] for name, one in self._candidates.items() if one.outcome}
        higher_is_better = {name: sign * score for name, score in scores.items()}
        self._take(self._form.best(higher_is_better, trainer.config["select_on"]))
        used = self._form.figures["used"]
        entries = reversed(trainer.stage_log.entries)
        entry = next(e for e in entries if e["name"] == f"final {used}")
        figures = {key: value for key, value in entry.items() if key not in _OF_THE_STAGE}
        if context.saved:
            trainer._save_checkpoint(figures["best_epoch"] - 1)
        compare(context, scores[used], figures["epochs"], self._backbone)
        return {"mask": used, **figures}

    def state_dict(self) -> dict[str, Any]:
        """Which one was taken."""
        return {} if self.outcome is None else {"used": self._form.figures["used"]}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take the same one again."""
        if state:
            self._take(state["used"])

    def _take(self, name: str) -> None:
        chosen, trainer = self._candidates[name], self._context.trainer
        self._form.choose(name)
        points = {one: candidate.points for one, candidate in self._candidates.items()}
        self._form.figures["candidates"] = points
        trainer.model.load_state_dict(chosen.weights)
        self.outcome = chosen.outcome
        assert self.outcome is not None
        trainer.best_valid_score, trainer.best_valid_result = self.outcome


def other_weights(
    trainer: StagedTrainer,
    context: Context[StagedTrainer],
    name: str,
    mask: Tensor,
    checkpoint: str,
) -> dict[str, Tensor]:
    """Train the final model once more with another mask; then restore the model.

    Args:
        trainer: after its last stage.
        context: of its stages.
        name: of the further stage.
        mask: ``[d]``.
        checkpoint: name of its file.
    """
    model = trainer.model
    learnt = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    stage = FinalStage(name, mask.to(trainer.device), checkpoint=checkpoint)
    trainer.pipeline.run_stage(stage, context)
    weights = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    model.load_state_dict(learnt)
    return weights


def compare(
    context: Context[StagedTrainer], score: float, epochs: int, backbone: BackboneStage
) -> None:
    """Warn where a converged final model validates much worse than the backbone.

    Args:
        context: of the run.
        score: validation score of the final model.
        epochs: for which it was trained.
        backbone: the backbone.
    """
    trainer, s = context.trainer, context.trainer.settings
    assert backbone.outcome is not None
    before = backbone.outcome[0]
    comparable = context.valid_data is not None and trainer.valid_metric_bigger
    if not comparable or epochs == trainer.config["epochs"] or score >= _MUCH_WORSE * before:
        return
    scaled = ", or see `--preset=large`, whose L2 does not depend on the size of the data"
    trainer.log.warning(
        "the final model validates at %.4g, the backbone at %.4g (%s): its L2 may be too "
        "strong for these data (`embedding_reg_weight: %g`, backbone: %g); lower it%s",
        score,
        before,
        trainer.valid_metric,
        s.embedding_reg_weight,
        s.backbone_embedding_reg_weight,
        scaled if s.reg_per == "step" else "",
    )
