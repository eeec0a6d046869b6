"""Settings of MMSSL."""

from __future__ import annotations

from typing import ClassVar, Self

from pydantic import Field, model_validator

from recbole_painvrl.config.base import Idle, Settings
from recbole_painvrl.functional.modality_attention import ModalityAttention
from recbole_painvrl.functional.propagation import GraphNorm


class MMSSLSettings(Settings):
    """MMSSL, the paper's and the released behaviour."""

    embedding_size: int = Field(ge=1, description="Width of all vectors.")
    n_layers: int = Field(ge=1, description="Layers of the GCN over the interactions.")
    n_heads: int = Field(ge=1, description="Heads of the attention over modalities.")
    attention: ModalityAttention = Field(
        description="Attention over the modalities (the paper), or the identity (as released)."
    )
    modality_dropout: float = Field(ge=0, lt=1, description="Dropout of the projected features.")
    id_residual_weight: float = Field(
        ge=0, description="Weight of the learnt graphs' vectors when added to the id embeddings."
    )
    modality_residual_weight: float = Field(
        ge=0, description="Weight of the modalities' vectors when added to the GCN's output."
    )
    graph_norm: GraphNorm = Field(
        description="Scaling of the interaction graph and the learnt graphs (released: row_sqrt)."
    )
    last_layer_softmax: bool = Field(
        description="Apply a softmax to the GCN's last layer (as released)."
    )

    embedding_reg_weight: float = Field(
        ge=0, description="Weight of half the squared norms of the batch's vectors."
    )
    feature_reg_weight: float = Field(
        ge=0, description="Weight of half the squared norms of the projected features, per item."
    )
    contrastive_weight: float = Field(ge=0, description="Weight of the contrastive loss.")
    contrastive_temperature: float = Field(gt=0, description="Temperature of the contrastive loss.")
    adversarial_weight: float = Field(
        ge=0, description="Weight of the adversarial loss; 0 trains without a discriminator."
    )

    graph_update_every: int = Field(
        ge=0,
        description="T, steps between refreshes of the learnt graphs; 0 for the released "
        "behaviour, in which the graphs are empty from the third step on.",
    )
    graph_share: float = Field(
        gt=0,
        lt=1,
        description="Nearest items of a user as a fraction of all items; at least one.",
    )
    graph_carry_over: bool = Field(
        description="Keep the rows of users not drawn since the last refresh of the learnt graphs."
    )

    discriminator_columns: int | None = Field(
        ge=1,
        description="Maximum number of items in the discriminator, drawn once; none for all.",
    )
    discriminator_slope: float = Field(
        ge=0, le=1, description="Negative slope of LeakyReLU; 1 (as released) makes it linear."
    )
    discriminator_learning_rate: float = Field(
        gt=0, description="Learning rate of the discriminator's Adam."
    )
    discriminator_beta1: float = Field(ge=0, lt=1, description="beta1 of the discriminator's Adam.")
    discriminator_beta2: float = Field(ge=0, lt=1, description="beta2 of the discriminator's Adam.")
    discriminator_dropout1: float = Field(
        ge=0, lt=1, description="Dropout of its first hidden layer."
    )
    discriminator_dropout2: float = Field(
        ge=0, lt=1, description="Dropout of its second hidden layer."
    )
    gradient_penalty_weight: float = Field(ge=0, description="Weight of the gradient penalty.")
    gumbel_noise: float = Field(ge=0, description="Scale of the Gumbel noise on the real rows.")
    real_similarity_weight: float = Field(
        ge=0, description="Weight of the final vectors' similarities in the real rows."
    )

    idle: ClassVar[tuple[Idle, ...]] = (
        Idle(
            (
                *("discriminator_columns", "discriminator_slope", "discriminator_learning_rate"),
                *("discriminator_beta1", "discriminator_beta2"),
                *("discriminator_dropout1", "discriminator_dropout2"),
                *("gradient_penalty_weight", "gumbel_noise", "real_similarity_weight"),
            ),
            {"adversarial_weight": (0,)},
        ),
    )

    @model_validator(mode="after")
    def _heads_share_the_width(self) -> Self:
        if self.embedding_size % self.n_heads:
            raise ValueError(
                f"`n_heads`: found {self.n_heads}, expected a divisor of `embedding_size` "
                f"({self.embedding_size})"
            )
        return self
