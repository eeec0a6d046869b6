"""PaInvRL's Algorithm 1 and InvRL: backbone, T times (environments, mask), final model."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import torch
from recbole.data.dataloader.abstract_dataloader import AbstractDataLoader as Loader
from torch import Tensor

from recbole_painvrl.config.base import ConfigLike
from recbole_painvrl.errors import UserError
from recbole_painvrl.models.painvrl.artefacts import collect
from recbole_painvrl.models.painvrl.backbone_stage import BackboneStage
from recbole_painvrl.models.painvrl.environment_stage import EnvironmentStage
from recbole_painvrl.models.painvrl.final_stage import (
    CandidateStage,
    ChosenStage,
    FinalStage,
    other_weights,
)
from recbole_painvrl.models.painvrl.form_stage import FormStage
from recbole_painvrl.models.painvrl.mask_stage import MaskStage
from recbole_painvrl.models.painvrl.other_final import OtherFinalStage
from recbole_painvrl.training.base import RunTrainer, RunTrainerMixin
from recbole_painvrl.training.pipeline import Artefacts, Stage
from recbole_painvrl.training.state import forget_training

if TYPE_CHECKING:
    from recbole_painvrl.models.invrl import InvRL
    from recbole_painvrl.models.painvrl.model import PaInvRL


class StagedTrainer(RunTrainer):
    """Runs the stages of PaInvRL and of InvRL, which differ by their settings alone.

    Attributes:
        backbone: the first stage.
        environment_stages: one per outer round; none with ``known_environments``.
        mask_stages: one per outer round.
        form_stage: decides in which form the last mask is used.
        candidates: final models among which validation chose, by name of the mask.
        make_final: makes trainer and loader of a final model other than UltraGCN from the training
            split and a mask; set by a run.
    """

    model: PaInvRL | InvRL

    def __init__(self, config: ConfigLike, model: PaInvRL | InvRL) -> None:
        super().__init__(config, model)
        self.settings = model.settings
        self.environment_stages: list[EnvironmentStage] = []
        self.mask_stages: list[MaskStage] = []
        self.form_stage: FormStage | None = None
        self.candidates: dict[str, CandidateStage] = {}
        self.make_final: Callable[[Any, Tensor], tuple[RunTrainerMixin, Loader]] | None = None

    def stages(self) -> Iterator[Stage[Any]]:
        """Backbone, T times (environments, mask), its form, final model (Algorithm 1)."""
        final_model = self.settings.final_model
        if final_model != "UltraGCN" and self.make_final is None:
            raise UserError(
                f"`final_model: {final_model}`: RecBole's own run_recbole cannot train it; use "
                "`python run_recbole.py` of this project"
            )
        backbone = self.backbone = BackboneStage()
        yield backbone
        self.environment_stages, self.mask_stages = [], []
        mask = None
        for outer in range(1, self.settings.outer_rounds + 1):
            environments = None
            if not self.settings.known_environments:
                environments = EnvironmentStage(outer, backbone, mask)
                self.environment_stages.append(environments)
                yield environments
            mask = MaskStage(outer, backbone, environments, mask)
            self.mask_stages.append(mask)
            yield mask
        assert mask is not None
        form = self.form_stage = FormStage(mask)
        yield form
        if final_model != "UltraGCN":
            yield OtherFinalStage(form.mask)
            return
        if len(form.candidates) < 2:
            yield FinalStage("final", form.mask, backbone=backbone)
            return
        self.candidates = {name: CandidateStage(name, one) for name, one in form.candidates.items()}
        yield from self.candidates.values()
        yield ChosenStage(form, self.candidates, backbone)

    def artefacts(self) -> Artefacts:
        """Masks and environments, weights of the backbone and, where asked for, of other masks."""
        found = collect(self, self.context)
        assert self.form_stage is not None
        if self.evaluated is self:
            found.backbone = self.backbone.weights
        if self.form_stage.figures["used"] == "ones":
            return found
        if "ones" in self.candidates:
            found.unmasked = self.candidates["ones"].weights
        elif self.settings.compare_backbone:
            ones = torch.ones_like(self.model.mask)
            stage = "final with all features"
            found.unmasked = other_weights(self, self.context, stage, ones, "all_features")
        return found

    def reset_training(
        self,
        epochs: int,
        stopping_step: int,
        checkpoint: str,
        embedding_reg_weight: float | None = None,
        projection_reg_weight: float | None = None,
    ) -> None:
        """Forget the previous stage, and train with another patience, file and optimizer."""
        forget_training(self)
        self.epochs, self.stopping_step = epochs, stopping_step
        self.eval_step = min(self.config["eval_step"], epochs)
        self.saved_model_file = str(self.folder / "checkpoint" / f"{checkpoint}.safetensors")
        groups = self.model.parameter_groups(embedding_reg_weight, projection_reg_weight)
        self.optimizer: torch.optim.Optimizer = self._build_optimizer(params=groups)
