"""Settings of PaInvRL."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field

from recbole_painvrl.config.models.staged import StagedSettings
from recbole_painvrl.functional.attention import AttentionOutput
from recbole_painvrl.functional.pareto import GradientNormalization


class PaInvRLSettings(StagedSettings):
    """PaInvRL: the two losses weighted by their gradients, and attention over Phi and Psi."""

    projection_objective: Literal["weighted", "erm"] = Field(
        description="What W and the attention descend: the weighted losses or L_ERM."
    )
    gradient_normalization: GradientNormalization = Field(
        description="Divisor of both mask gradients before Eq. 17; none is the paper."
    )
    loss_weighting: Literal["pareto", "fixed", "erm", "irm"] = Field(
        description="Eq. 17, L_ERM + irm_weight L_IRM, or one loss alone."
    )
    outer_gate: bool = Field(description="Keep the outer gate of Eq. 12.")
    attention: bool = Field(description="Weigh Phi and Psi per pair (Eq. 13, 14).")
    attention_hidden_size: int = Field(ge=1, description="Hidden width of the two MLPs.")
    attention_output: AttentionOutput = Field(description="Output function of the two MLPs.")

    # What InvRL leaves to a setting.
    environment_features: ClassVar = "variant"
    penalty_gate: ClassVar = "noisy"
    mask_clipping: ClassVar = "every_step"
    weight_growth: ClassVar = 1.0
