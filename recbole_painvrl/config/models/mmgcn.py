"""Settings of MMGCN."""

from __future__ import annotations

from pydantic import Field

from recbole_painvrl.config.base import Settings


class MMGCNSettings(Settings):
    """MMGCN, the paper's and the released behaviour."""

    embedding_size: int = Field(ge=1, description="Width of the ids and of every layer's output.")
    num_layers: int = Field(ge=1, description="Layers of propagation.")
    latent_size: int = Field(
        ge=1, description="Width to which the modalities of latent_modalities are projected."
    )
    latent_modalities: list[str] | None = Field(
        description="Modalities to project before the first layer; none for those wider than "
        "latent_size."
    )
    concat: bool = Field(
        description="Merge h and x^ by concatenation (as released), or add x^ to the projected h."
    )
    train_ids: bool = Field(
        description="Train ids and preferences (the paper), or leave them random (as released)."
    )
    reg_weight: float = Field(
        ge=0, description="Weight of the mean squares of ids (batch) and preferences (all)."
    )
