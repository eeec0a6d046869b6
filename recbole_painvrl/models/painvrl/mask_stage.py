"""The mask stage of a run: progress bar, figures and warnings."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from tqdm import tqdm

from recbole_painvrl.data.negatives import NegativeSampler
from recbole_painvrl.evaluation.planted import known_environments
from recbole_painvrl.models.painvrl.mask_learner import MaskLearner, Trajectory
from recbole_painvrl.parallel import group
from recbole_painvrl.seeds import MASK_PURPOSES, generator
from recbole_painvrl.training.guard import check_state, stopped_at
from recbole_painvrl.training.pipeline import Context, Stage

if TYPE_CHECKING:
    from recbole_painvrl.models.painvrl.backbone_stage import BackboneStage
    from recbole_painvrl.models.painvrl.environment_stage import EnvironmentStage
    from recbole_painvrl.models.painvrl.trainer import StagedTrainer

# A mask below this everywhere has switched the content branch off.
_DEAD_MASK = 0.05
_TO_LOWER = "`projection_learning_rate` or `mask_step_size`"


class MaskStage(Stage["StagedTrainer"]):
    """Learns the mask of one outer round: bar, figures, warnings.

    Args:
        outer: number of the outer round, from 1.
        backbone: gives the interactions and the frozen tables.
        environments: the environments; None for the planted ones.
        before: the mask stage of the round before, or None in the first round.

    Attributes:
        learner: what learns the mask, once prepared.
    """

    def __init__(
        self,
        outer: int,
        backbone: BackboneStage,
        environments: EnvironmentStage | None,
        before: MaskStage | None,
    ) -> None:
        super().__init__(f"mask {outer}")
        self._outer, self._backbone = outer, backbone
        self._environments, self._before = environments, before

    @property
    def mask(self) -> Tensor:
        """The mask m in [0, 1], ``[d]``."""
        return self.learner.result()

    @property
    def trajectory(self) -> Trajectory:
        """Figures of every joint step and every epoch."""
        return self.learner.trajectory

    def prepare(self, context: Context[StagedTrainer]) -> None:
        """Build the learner."""
        trainer, s = context.trainer, context.trainer.settings
        if self._environments is None:
            data = context.train_data._dataset
            (labels,) = group.tensors_from_first(lambda: [known_environments(data)])
        else:
            assert self._environments.found is not None
            labels = self._environments.found.labels
        if self._before is None or s.mask_reset:
            mask = torch.full_like(self._backbone.tables.features[0], s.mask_initial)
        else:
            mask = self._before.mask
        self.learner = self._learner(trainer, labels, mask)

    def run(self, context: Context[StagedTrainer]) -> dict[str, Any]:
        """Learn the mask, a checkpoint after every epoch."""
        trainer, learner = context.trainer, self.learner
        slices, n_epochs = trainer.model.modality_slices, learner.settings.mask_epochs
        first = len(learner.trajectory.epochs)
        with tqdm(
            total=n_epochs,
            initial=first,
            desc=self.name,
            disable=not context.show_progress,
            dynamic_ncols=True,
        ) as bar:
            for epoch in range(first, n_epochs):
                place = f"stage {self.name}, epoch {epoch + 1}"
                with stopped_at(place.__str__, slices, _TO_LOWER):
                    means = learner.run_epoch()
                    check_state({"the mask": learner.mask, "W": learner.projection})
                    group.assert_same({"the mask": learner.mask, "W": learner.projection})
                statistics = mask_statistics(learner.result(), slices)
                learner.trajectory.epochs.append({**means, "mask": statistics})
                _report(trainer, self.name, epoch, means, statistics)
                bar.update(1)
                raw = means["effective_w_erm"]
                bar.set_postfix_str(f"w_ERM {means['w_erm']:.3f}, raw {raw:.2g}", refresh=False)
                trainer.pipeline.checkpoint()
        return _figures(learner)

    def state_dict(self) -> dict[str, Any]:
        """The learner's state."""
        return self.learner.state_dict()

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Inverse of :meth:`state_dict`."""
        self.learner.load_state_dict(state)

    def _learner(self, trainer: StagedTrainer, labels: Tensor, mask: Tensor) -> MaskLearner:
        s, model, backbone = trainer.settings, trainer.model, self._backbone
        negatives = NegativeSampler(
            model.n_items,
            s.mask_negatives,
            s.negative_sampling,
            generator(model.seed, f"{self.name} negatives", trainer.device),
        )
        growth = s.weight_growth ** (self._outer - 1)
        grown = {"irm_weight": growth * s.irm_weight, "mask_decay": growth * s.mask_decay}
        initial, order, noise = (
            generator(model.seed, f"{self.name} {purpose}", "cpu") for purpose in MASK_PURPOSES
        )
        return MaskLearner(
            users=backbone.users,
            items=backbone.items,
            environments=labels if backbone.own is not None else labels.to(trainer.device),
            tables=backbone.tables,
            weights=model.weights,
            mask=mask,
            settings=s.model_copy(update=grown),
            negatives=negatives,
            generator=initial,
            order=order,
            noise=noise,
            own=backbone.own,
        )


def mask_statistics(mask: Tensor, slices: dict[str, slice]) -> dict[str, dict[str, float]]:
    """Mean, std, min and max of the mask ``[d]``, per modality and over ``all``."""
    parts = {name: mask[columns] for name, columns in slices.items()}
    return {
        name: {
            "mask_mean": float(values.mean()),
            "mask_std": float(values.std(unbiased=False)),
            "mask_min": float(values.min()),
            "mask_max": float(values.max()),
        }
        for name, values in {**parts, "all": mask}.items()
    }


def _figures(learner: MaskLearner) -> dict[str, Any]:
    """What the stage reports: weights that may grow from round to round, and the last epoch."""
    s, last = learner.settings, learner.trajectory.epochs[-1]
    figures: dict[str, Any] = {"epochs": s.mask_epochs}
    if s.loss_weighting == "fixed":
        figures |= {"irm_weight": s.irm_weight, "mask_decay": s.mask_decay}
    means = {key: value for key, value in last.items() if key != "mask"}
    history = [
        {"epoch": number, **epoch} for number, epoch in enumerate(learner.trajectory.epochs, 1)
    ]
    return {**figures, **means, **last["mask"]["all"], "history": history}


def _report(
    trainer: StagedTrainer,
    name: str,
    epoch: int,
    means: dict[str, float],
    statistics: dict[str, dict[str, float]],
) -> None:
    """TensorBoard, log file, and warnings where a loss or the content is switched off."""
    trainer.log.debug("%s epoch %d: %s %s", name, epoch + 1, means, statistics)
    for key, value in means.items():
        trainer.tensorboard.add_scalar(f"{name}/{key}", value, epoch)
    for modality, figures in statistics.items():
        for key, value in figures.items():
            trainer.tensorboard.add_scalar(f"{name}/{modality}/{key}", value, epoch)
    if means["norm_irm"] == 0.0:
        trainer.log.warning(
            "%s epoch %d: L_IRM has no gradient (one environment?); only L_ERM moves the mask",
            name,
            epoch + 1,
        )
    elif means["w_erm"] in (0.0, 1.0) and trainer.settings.loss_weighting == "pareto":
        trainer.log.warning(
            "%s epoch %d: w_ERM was %.0f in every step; one of the two losses is switched off "
            "(see `gradient_normalization`)",
            name,
            epoch + 1,
            means["w_erm"],
        )
    if statistics["all"]["mask_max"] < _DEAD_MASK:
        trainer.log.warning(
            "%s epoch %d: the largest mask entry is %.3g; the content is switched off "
            "(see `mask_decay` and `mask_center`)",
            name,
            epoch + 1,
            statistics["all"]["mask_max"],
        )
