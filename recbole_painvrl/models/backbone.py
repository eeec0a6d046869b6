"""Settings of UltraGCN as a model, as the backbone and as the final model of PaInvRL and InvRL."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import Field, model_validator

from recbole_painvrl.config.base import Settings
from recbole_painvrl.data.negatives import NegativeSampling
from recbole_painvrl.functional.graph import ItemGraphForm
from recbole_painvrl.functional.ultragcn import UltraGCNWeights


class BackboneSettings(Settings):
    """What UltraGCN needs wherever it is used: alone, as backbone and as final model."""

    embedding_size: int = Field(ge=1, description="Width of the id vectors p^t and t.")
    content_embedding_size: int = Field(
        ge=1, description="Width of p^f and of the projected features W f."
    )
    init_std: float = Field(gt=0, description="Standard deviation of all initial weights.")
    n_negatives: int = Field(
        ge=1, description="Negatives per positive, or per batch if they are shared."
    )
    negative_sampling: NegativeSampling = Field(
        description="Draw negatives for each positive, or share one set within a batch."
    )
    exclude_positives: bool = Field(
        description="Draw a negative again if the user has it in training (per_positive only; "
        "backbone and final model)."
    )
    embedding_reg_weight: float = Field(
        ge=0, description="Weight of the squared norm of the embedding tables."
    )
    projection_reg_weight: float = Field(
        ge=0, description="Weight of the squared norm of the projection W."
    )
    reg_per: Literal["step", "interaction"] = Field(
        description="How often the L2 weights of backbone and final model apply: once per step, as "
        "published, or once per interaction of a row, where the smaller last batch of an epoch "
        "counts as a full one. The two need different values: 3e-2 for "
        "tables and 6e-4 for W per interaction (`preset: large`) act like 1e-2 and 0.3 per step "
        "on `planted`."
    )
    n_neighbours: int = Field(ge=1, description="K, neighbours of an item in L_I (Eq. 7).")
    item_graph: ItemGraphForm = Field(
        description="Item-item weights of the paper (Eq. 8) or of UltraGCN's released code."
    )

    def loss_weights(self) -> UltraGCNWeights:
        """The scalars of the loss."""
        raise NotImplementedError

    @model_validator(mode="after")
    def _positives_need_own_draws(self) -> Self:
        if self.exclude_positives and self.negative_sampling == "shared":
            raise ValueError(
                "`exclude_positives`: found True with `negative_sampling: shared`, whose pool "
                "cannot suit every user; set `negative_sampling: per_positive`"
            )
        return self
