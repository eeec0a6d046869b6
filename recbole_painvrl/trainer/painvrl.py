"""Algorithm 1: backbone, then T times (environments, mask), then the final model."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from recbole_painvrl.errors import UserError
from recbole_painvrl.functional.invariance import FrozenTables
from recbole_painvrl.identification.loop import Identification
from recbole_painvrl.sampling import NegativeSampler
from recbole_painvrl.seeds import generator
from recbole_painvrl.trainer.base import RunTrainer
from recbole_painvrl.trainer.environments import environment_figures, identify_environments
from recbole_painvrl.trainer.mask import MaskLearner, MaskSettings, Trajectory

# A mask below this everywhere has switched the content branch off.
_DEAD_MASK = 0.05


class PaInvRLTrainer(RunTrainer):
    """Runs the stages of PaInvRL; RecBole's ``fit`` trains the backbone and the final model.

    Attributes:
        mask: m of the last outer round, ``[d]``, after the mask stage.
        found: environments of the last outer round.
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
        self.trajectories: list[Trajectory] = []
        self.masks: list[Tensor] = []

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
        users, items = _interactions(train_data._dataset, self.device)
        if len(users) < self.settings.n_environments:
            raise UserError(
                f"`n_environments`: found {self.settings.n_environments}, but there are only "
                f"{len(users)} training interactions; set it lower"
            )
        self._fit_backbone(train_data, valid_data, saved, show_progress)
        tables = self._frozen_tables()
        d = tables.features.shape[1]
        mask = torch.full((d,), self.settings.mask_initial, device=self.device)
        for outer in range(self.settings.outer_rounds):
            labels = self._environments(
                outer, users, items, tables, mask, show_progress, train_data
            )
            if self.settings.mask_reset:
                mask = torch.full_like(mask, self.settings.mask_initial)
            mask = self._learn_mask(outer, users, items, labels, tables, mask, show_progress)
        self.mask = mask
        return self.fit_final(mask, "final", train_data, valid_data, show_progress, saved)

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
        self._start_stage(
            stage, self.config["epochs"], self.config["stopping_step"], None, checkpoint
        )
        return self.fit_stage(stage, train_data, valid_data, saved, show_progress)

    def _fit_backbone(
        self, train_data: Any, valid_data: Any, saved: bool, show_progress: bool
    ) -> None:
        s = self.settings
        self._start_stage(
            "backbone",
            s.backbone_epochs,
            s.backbone_stopping_step,
            s.backbone_projection_reg_weight,
            "backbone",
        )
        self.fit_stage("backbone", train_data, valid_data, saved, show_progress)

    def _start_stage(
        self,
        name: str,
        epochs: int,
        stopping_step: int,
        projection_reg_weight: float | None,
        checkpoint: str,
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
        groups = self.model.parameter_groups(projection_reg_weight)
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

    def _environments(
        self,
        outer: int,
        users: Tensor,
        items: Tensor,
        tables: FrozenTables,
        mask: Tensor,
        show_progress: bool,
        train_data: Any,
    ) -> Tensor:
        s = self.settings
        if s.known_environments:
            return _planted_environments(train_data._dataset, users, items)
        name = f"environments {outer + 1}"
        with (
            self.stage_log.measure(name) as entry,
            tqdm(
                total=s.environment_restarts * s.environment_rounds,
                desc=name,
                disable=not show_progress,
                ncols=100,
            ) as bar,
        ):

            def on_round(start: int, number: int, moved: float, sizes: list[int]) -> None:
                bar.update(1)
                bar.set_postfix_str(f"start {start + 1} moved {moved:.1%}", refresh=False)
                self.log.debug("%s start %d round %d: %s %s", name, start, number, moved, sizes)
                step = start * s.environment_rounds + number
                self.tensorboard.add_scalar(f"{name}/moved", moved, step)

            self.found = identify_environments(
                users,
                items,
                tables,
                mask,
                self.model.weights,
                s,
                generator(self.model.seed, name, "cpu"),
                on_round,
            )
            entry.update(environment_figures(self.found, items.cpu()))
        self.log.info("%s", self.stage_log.line(name))
        if s.n_environments > 1 and self.found.start_agreement > 0.9:
            self.log.warning(
                "%s: %.0f %% of the interactions stayed where the random start put them; "
                "no environments were identified",
                name,
                100 * self.found.start_agreement,
            )
        return self.found.labels.to(self.device)

    def _learn_mask(
        self,
        outer: int,
        users: Tensor,
        items: Tensor,
        labels: Tensor,
        tables: FrozenTables,
        mask: Tensor,
        show_progress: bool,
    ) -> Tensor:
        s = self.settings
        name = f"mask {outer + 1}"
        own = {field.name: getattr(s, field.name) for field in fields(MaskSettings)}
        learner = MaskLearner(
            users,
            items,
            labels,
            tables,
            self.model.weights,
            mask,
            MaskSettings(**own),
            NegativeSampler(
                self.model.n_items,
                s.mask_negatives,
                s.negative_sampling,
                generator(self.model.seed, f"{name} negatives", self.device),
            ),
            generator(self.model.seed, name, "cpu"),
        )
        with (
            self.stage_log.measure(name) as entry,
            tqdm(total=s.mask_epochs, desc=name, disable=not show_progress, ncols=100) as bar,
        ):
            for epoch in range(s.mask_epochs):
                means = learner.run_epoch()
                figures: dict[str, Any] = {
                    **means,
                    "mask": self.mask_statistics(learner.mask.detach()),
                }
                learner.trajectory.epochs.append(figures)
                bar.update(1)
                bar.set_postfix_str(f"w_ERM {means['w_erm']:.3f}", refresh=False)
                self._report_mask_epoch(name, epoch, figures)
            entry.update(epochs=s.mask_epochs, **means, **figures["mask"]["all"])
        self.log.info("%s", self.stage_log.line(name))
        self.trajectories.append(learner.trajectory)
        self.masks.append(learner.mask.detach().clone())
        return self.masks[-1]

    def mask_statistics(self, mask: Tensor) -> dict[str, dict[str, float]]:
        """Mean, std, min and max of the mask, per modality and over ``all``."""
        parts = {name: mask[columns] for name, columns in self.model.modality_slices.items()}
        return {
            name: {
                "mask_mean": float(part.mean()),
                "mask_std": float(part.std(unbiased=False)),
                "mask_min": float(part.min()),
                "mask_max": float(part.max()),
            }
            for name, part in {**parts, "all": mask}.items()
        }

    def _report_mask_epoch(self, name: str, epoch: int, figures: dict[str, Any]) -> None:
        self.log.debug("%s epoch %d: %s", name, epoch + 1, figures)
        for key, value in figures.items():
            if key != "mask":
                self.tensorboard.add_scalar(f"{name}/{key}", value, epoch)
        for modality, statistics in figures["mask"].items():
            for key, value in statistics.items():
                self.tensorboard.add_scalar(f"{name}/{modality}/{key}", value, epoch)
        if figures["w_erm"] in (0.0, 1.0) and self.settings.loss_weighting == "pareto":
            self.log.warning(
                "%s epoch %d: w_ERM was %.0f in every step; one of the two losses is switched "
                "off (see `gradient_normalization`)",
                name,
                epoch + 1,
                figures["w_erm"],
            )
        if figures["mask"]["all"]["mask_max"] < _DEAD_MASK:
            self.log.warning(
                "%s epoch %d: the largest mask entry is %.3g; the content is switched off "
                "(see `mask_decay` and `mask_center`)",
                name,
                epoch + 1,
                figures["mask"]["all"]["mask_max"],
            )


def _interactions(dataset: Any, device: torch.device) -> tuple[Tensor, Tensor]:
    table = dataset.inter_feat
    users, items = table[dataset.uid_field], table[dataset.iid_field]
    return users.long().to(device), items.long().to(device)


def _planted_environments(dataset: Any, users: Tensor, items: Tensor) -> Tensor:
    from recbole_painvrl.evaluation.planted import true_environments

    labels = true_environments(dataset, users, items)
    if labels is None:
        raise UserError(
            f"`known_environments`: dataset `{dataset.dataset_name}` has no planted environments; "
            "set it to False"
        )
    return labels.to(users.device)
