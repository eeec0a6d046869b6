"""Settings of VBPR."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from recbole_painvrl.config.base import Settings


class VBPRSettings(Settings):
    """VBPR, MMRec's form and the original."""

    embedding_size: int = Field(ge=1, description="Width of the id vectors p_u and t_i.")
    content_embedding_size: int = Field(
        ge=1, description="Width of the users' content vectors and of the projected features."
    )
    form: Literal["original", "mmrec"] = Field(
        description="With item bias and content bias beta' (the paper), or with a bias on the "
        "projection alone (MMRec)."
    )
    feature_scale: float = Field(
        gt=0, description="The features, whose rows have length 1, are multiplied by this."
    )
    regularizer: Literal["squared", "norm"] = Field(
        description="Half the squared norms of a batch's parameters (the paper), or the unsquared "
        "norms of its vectors, content included (MMRec)."
    )
    reg_weight: float = Field(ge=0, description="Weight of the regulariser of the batch.")
    projection_reg_weight: float = Field(
        ge=0, description="Weight of half the squared norm of E and beta', every step."
    )
