"""Settings of InvRL."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field

from recbole_painvrl.config.models.staged import StagedSettings


class InvRLSettings(StagedSettings):
    """InvRL: ``L_ERM + alpha L_IRM + lambda / 2 |m - 1/2|^2`` on the plain gate."""

    weight_growth: float = Field(
        gt=0, description="Factor on irm_weight and mask_decay after every outer round."
    )
    environment_features: Literal["variant", "full"] = Field(
        description="What Gamma_e sees: Psi of the mask so far (paper) or all of f (InvRL's code)."
    )
    penalty_gate: Literal["noisy", "plain"] = Field(
        description="Gate in L_IRM: the noisy clipped one, or m as it is (InvRL's code)."
    )
    mask_clipping: Literal["every_step", "in_use"] = Field(
        description="Put m into [0, 1] after every step, or only where used (InvRL's code)."
    )
    item_id_reg_factor: float = Field(
        ge=0, description="Factor on embedding_reg_weight of the item ids in the final model."
    )

    # What PaInvRL leaves to a setting. Without attention its other settings mean nothing.
    loss_weighting: ClassVar = "fixed"
    gradient_normalization: ClassVar = "none"
    projection_objective: ClassVar = "weighted"
    attention: ClassVar = False
    outer_gate: ClassVar = False
    attention_hidden_size: ClassVar = 0
    attention_output: ClassVar = "identity"
