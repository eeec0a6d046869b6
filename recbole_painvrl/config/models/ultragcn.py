"""Settings of UltraGCN: alone, as backbone and as final model."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import Field, model_validator

from recbole_painvrl.config.base import Settings
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
        ge=1, description="Negatives per positive, or the size of the pool that a batch shares."
    )
    negative_sampling: Literal["shared", "per_positive"] = Field(
        description="Draw negatives for each positive, or one pool for the whole batch."
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
        description="What the L2 weights of backbone and final model count for: every step, as "
        "published, or every interaction of a row. The weights then are other numbers: `preset: "
        "large` has 3e-2 for tables and 6e-4 for W, which do what 1e-2 and 0.3 per step do on "
        "`planted`."
    )
    n_neighbours: int = Field(ge=1, description="K, neighbours of an item in L_I (Eq. 7).")
    item_graph: ItemGraphForm = Field(
        description="Item-item weights of the paper (Eq. 8) or of UltraGCN's released code."
    )

    @model_validator(mode="after")
    def _positives_need_own_draws(self) -> Self:
        if self.exclude_positives and self.negative_sampling == "shared":
            raise ValueError(
                "`exclude_positives`: found True with `negative_sampling: shared`, whose pool "
                "cannot suit every user; set `negative_sampling: per_positive`"
            )
        return self


class UltraGCNSettings(BackboneSettings):
    """UltraGCN with its release's weights."""

    w1: float = Field(ge=0, description="Constant weight of a positive.")
    w2: float = Field(ge=0, description="Weight of beta_ui (Eq. 6) for a positive.")
    w3: float = Field(ge=0, description="Constant weight of a negative.")
    w4: float = Field(ge=0, description="Weight of beta_uj (Eq. 6) for a negative.")
    negative_weight: float = Field(
        ge=0, description="Weight of the mean over the negatives of a positive."
    )
    item_item_weight: float = Field(ge=0, description="Weight of the item-item loss L_I (Eq. 7).")

    def loss_weights(self) -> UltraGCNWeights:
        """The scalars of the loss."""
        return UltraGCNWeights(
            self.w1, self.w2, self.w3, self.w4, self.negative_weight, self.item_item_weight
        )
