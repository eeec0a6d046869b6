"""PaInvRL's Algorithm 1 and InvRL: backbone, T times (environments, mask), final model."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from recbole.data.dataloader.abstract_dataloader import AbstractDataLoader as Loader
from torch import Tensor

from recbole_painvrl.config.base import ConfigLike
from recbole_painvrl.data.loaders import own_rows
from recbole_painvrl.errors import UserError
from recbole_painvrl.functional.invariance import FrozenTables
from recbole_painvrl.models.painvrl.artefacts import collect, other_weights
from recbole_painvrl.models.painvrl.environment_stage import EnvironmentStage
from recbole_painvrl.models.painvrl.final_stage import CandidateStage, ChosenStage, FinalStage
from recbole_painvrl.models.painvrl.form_stage import FormStage
from recbole_painvrl.models.painvrl.mask_stage import MaskStage
from recbole_painvrl.models.painvrl.other_final import OtherFinalStage
from recbole_painvrl.training.base import RunTrainer, RunTrainerMixin
from recbole_painvrl.training.pipeline import Artefacts, Context, Stage, TrainingStage

if TYPE_CHECKING:
    from recbole_painvrl.models.invrl import InvRL
    from recbole_painvrl.models.painvrl.model import PaInvRL


class BackboneStage(TrainingStage["StagedTrainer"]):
    """UltraGCN with all features, whose vectors every later stage keeps frozen.

    Attributes:
        users: user of every training interaction of this process, as a row of its tables, ``[n]``.
        items: item of every such interaction, ``[n]``.
        all_items: item of every training interaction of all processes, on the CPU.
        own: which of all interactions this process has; None in a single process.
        weights: of the best epoch, once finished.

    Deviations:
        The paper does not say where p^t, p^f and t of the mask stage come from; as in InvRL's
        code they are those of an UltraGCN with all features, trained first.
    """

    def __init__(self) -> None:
        super().__init__("backbone")
        self.weights: dict[str, Tensor] = {}
        self._tables: FrozenTables | None = None

    def prepare(self, context: Context[StagedTrainer]) -> None:
        """Reset model and trainer, with the backbone's own L2 and patience."""
        super().prepare(context)
        trainer, s = context.trainer, context.trainer.settings
        # Needed for a second `fit`, before which the model still is the final model of the first.
        trainer.model.reset("initial values")
        trainer.model.set_mask(torch.ones_like(trainer.model.mask))
        data = context.train_data._dataset
        users, items = (data.inter_feat[name].long() for name in (data.uid_field, data.iid_field))
        self.own, self.all_items = own_rows(data), items
        if self.own is not None:
            users, items = users[self.own.rows], items[self.own.rows]
        self.users = trainer.model.shard.local(users).to(trainer.device)
        self.items = items.to(trainer.device)
        trainer.reset_training(
            s.backbone_epochs,
            s.backbone_stopping_step,
            self.name,
            s.backbone_embedding_reg_weight,
            s.backbone_projection_reg_weight,
        )

    def run(self, context: Context[StagedTrainer]) -> dict[str, Any]:
        """Train, and keep the best epoch's tables before the final model overwrites them."""
        figures = super().run(context)
        self._freeze()
        return figures

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue, or load the finished backbone."""
        super().load_state_dict(state)
        if self.outcome is not None:
            self._freeze()

    @property
    def tables(self) -> FrozenTables:
        """The frozen vectors and the graph."""
        assert self._tables is not None
        return self._tables

    def _freeze(self) -> None:
        model = self.context.trainer.model
        self.weights = {name: one.detach().clone() for name, one in model.state_dict().items()}
        self._tables = FrozenTables(
            self.weights["user_id_embedding.weight"],
            self.weights["user_content_embedding.weight"],
            self.weights["item_id_embedding.weight"],
            model.features,
            model.graph,
        )


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
        """Forget the previous stage: RecBole's ``fit`` keeps its counters on the trainer."""
        self.epochs, self.stopping_step = epochs, stopping_step
        self.eval_step = min(self.config["eval_step"], epochs)
        self.start_epoch, self.cur_step = 0, 0
        self.best_valid_score = -np.inf if self.valid_metric_bigger else np.inf
        self.best_valid_result = None
        self.train_loss_dict: dict[int, float] = {}
        self.saved_model_file = str(self.folder / "checkpoint" / f"{checkpoint}.safetensors")
        groups = self.model.parameter_groups(embedding_reg_weight, projection_reg_weight)
        self.optimizer: torch.optim.Optimizer = self._build_optimizer(params=groups)
