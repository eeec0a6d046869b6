"""PaInvRL's Algorithm 1 and InvRL: backbone, T times (environments, mask), final model."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from recbole_painvrl.environments.loop import Identification
from recbole_painvrl.evaluation.planted import known_environments
from recbole_painvrl.functional.invariance import FrozenTables
from recbole_painvrl.training.base import RunTrainer
from recbole_painvrl.training.environments import run_environment_stage
from recbole_painvrl.training.mask import Trajectory
from recbole_painvrl.training.mask_stage import run_mask_stage

# A learnt mask costs a few percent in distribution at most; below this it is something else.
_MUCH_WORSE = 0.9


class StagedTrainer(RunTrainer):
    """Runs the stages of PaInvRL and of InvRL, which differ by their settings alone.

    RecBole's ``fit`` trains the backbone and the final model.

    Attributes:
        mask: m of the last outer round, ``[d]``, after the mask stage.
        found: environments of the last outer round.
        partitions: environments of every outer round.
        masks: m after every outer round.
        trajectories: one per outer round.

    Deviations:
        The paper does not say where p^t, p^f and t of the mask stage come from; as in InvRL's
        code they are those of an UltraGCN with all features, trained first (``backbone``).
    """

    def __init__(self, config: Any, model: Any) -> None:
        super().__init__(config, model)
        self.settings = model.settings
        self.mask: Tensor | None = None
        self.found: Identification | None = None
        self.partitions: list[Identification] = []
        self.masks: list[Tensor] = []
        self.trajectories: list[Trajectory] = []

    def fit(
        self,
        train_data: Any,
        valid_data: Any = None,
        verbose: bool = True,
        saved: bool = True,
        show_progress: bool = False,
        callback_fn: Any = None,
    ) -> tuple[float, Any]:
        """Run all stages; returns what RecBole's ``fit`` of the final stage returns."""
        self.progress.begin(train_data, enabled=saved)
        users, items = self._interactions(train_data._dataset)
        self._fit_backbone(train_data, valid_data, saved, show_progress)
        tables = self._frozen_tables()
        width = tables.features.shape[1]
        mask = torch.full((width,), self.settings.mask_initial, device=self.device)
        for outer in range(1, self.settings.outer_rounds + 1):
            labels = self._environments(
                outer, users, items, tables, mask, train_data, show_progress
            )
            if self.settings.mask_reset:
                mask = torch.full_like(mask, self.settings.mask_initial)
            mask, trajectory = run_mask_stage(
                self, outer, users, items, labels, tables, mask, show_progress
            )
            self.masks.append(mask)
            self.trajectories.append(trajectory)
        self.mask = mask
        outcome = self.fit_final(mask, "final", train_data, valid_data, show_progress, saved)
        if valid_data is not None and self.valid_metric_bigger:
            self._compare_with_backbone(outcome[0])
        return outcome

    def _compare_with_backbone(self, score: float) -> None:
        """Warn where a final model that has converged validates much worse than the backbone."""
        before, s = self.progress.outcome("backbone")[0], self.settings
        converged = self.stage_log.entries[-1]["epochs"] < self.config["epochs"]
        if converged and score < _MUCH_WORSE * before:
            scaled = ", or see `--preset=large`, whose L2 does not depend on the size of the data"
            self.log.warning(
                "the final model validates at %.4g, the backbone at %.4g (%s): its L2 may be too "
                "strong for these data (`embedding_reg_weight: %g`, backbone: %g); lower it%s",
                score,
                before,
                self.valid_metric,
                s.embedding_reg_weight,
                s.backbone_embedding_reg_weight,
                scaled if s.reg_per == "step" else "",
            )

    def fit_final(
        self,
        mask: Tensor,
        stage: str,
        train_data: Any,
        valid_data: Any,
        show_progress: bool,
        saved: bool = True,
        checkpoint: str = "best",
    ) -> tuple[float, Any]:
        """Train a fresh model on ``Phi = m (.) f`` (Eq. 26) and leave it loaded."""
        self.model.reset("final initial values")
        self.model.set_mask(mask)
        epochs, patience = self.config["epochs"], self.config["stopping_step"]
        self._start_stage(stage, epochs, patience, checkpoint)
        return self.fit_stage(stage, train_data, valid_data, saved, show_progress)

    def _fit_backbone(
        self, train_data: Any, valid_data: Any, saved: bool, show_progress: bool
    ) -> None:
        """UltraGCN with all features: the frozen vectors of every later stage."""
        s = self.settings
        self._start_stage(
            "backbone",
            s.backbone_epochs,
            s.backbone_stopping_step,
            "backbone",
            s.backbone_embedding_reg_weight,
            s.backbone_projection_reg_weight,
        )
        self.fit_stage("backbone", train_data, valid_data, saved, show_progress)

    def _start_stage(
        self,
        name: str,
        epochs: int,
        stopping_step: int,
        checkpoint: str,
        embedding_reg_weight: float | None = None,
        projection_reg_weight: float | None = None,
    ) -> None:
        """Forget the previous stage: RecBole's ``fit`` keeps its counters on the trainer."""
        self.stage = name
        self.epochs, self.stopping_step = epochs, stopping_step
        self.eval_step = min(self.config["eval_step"], epochs)
        self.start_epoch, self.cur_step = 0, 0
        self.best_valid_score = -np.inf if self.valid_metric_bigger else np.inf
        self.best_valid_result = None
        self.train_loss_dict: dict[int, float] = {}
        self.saved_model_file = str(self.folder / "checkpoint" / f"{checkpoint}.safetensors")
        groups = self.model.parameter_groups(embedding_reg_weight, projection_reg_weight)
        self.optimizer = self._build_optimizer(params=groups)

    def _frozen_tables(self) -> FrozenTables:
        model = self.model
        return FrozenTables(
            model.user_id_embedding.weight.detach().clone(),
            model.user_content_embedding.weight.detach().clone(),
            model.item_id_embedding.weight.detach().clone(),
            model.features,
            model.graph,
        )

    def _interactions(self, dataset: Any) -> tuple[Tensor, Tensor]:
        table = dataset.inter_feat
        users, items = table[dataset.uid_field].long(), table[dataset.iid_field].long()
        return users.to(self.device), items.to(self.device)

    def _environments(
        self,
        outer: int,
        users: Tensor,
        items: Tensor,
        tables: FrozenTables,
        mask: Tensor,
        train_data: Any,
        show_progress: bool,
    ) -> Tensor:
        if not self.settings.known_environments:
            name = f"environments {outer}"
            self.found = run_environment_stage(
                self, name, users, items, tables, mask, show_progress
            )
            self.partitions.append(self.found)
            return self.found.labels.to(self.device)
        return known_environments(train_data._dataset).to(self.device)
