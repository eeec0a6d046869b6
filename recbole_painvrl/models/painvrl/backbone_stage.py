"""The backbone: UltraGCN with all features, whose embeddings the mask stage keeps frozen."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from recbole_painvrl.data.loaders import own_rows
from recbole_painvrl.functional.invariance import FrozenTables
from recbole_painvrl.training.pipeline import Context, TrainingStage

if TYPE_CHECKING:
    from recbole_painvrl.models.painvrl.trainer import StagedTrainer


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
