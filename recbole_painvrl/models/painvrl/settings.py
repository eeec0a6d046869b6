"""Settings of PaInvRL, and those it shares with InvRL."""

from __future__ import annotations

from typing import Any, ClassVar, Literal, Self

from pydantic import Field, model_validator

from recbole_painvrl.config.base import Idle
from recbole_painvrl.environments.content import EnvironmentLearner
from recbole_painvrl.functional.attention import AttentionOutput
from recbole_painvrl.functional.invariance import VarianceForm
from recbole_painvrl.functional.pareto import GradientNormalization
from recbole_painvrl.functional.ultragcn import UltraGCNWeights
from recbole_painvrl.models.backbone import BackboneSettings
from recbole_painvrl.models.ultragcn import USER_TABLES
from recbole_painvrl.parallel.shards import Sharding

# Of both models. Not with full environment models: these learn user tables of their own.
STAGED_SHARDING = Sharding(
    USER_TABLES,
    "sum",
    {"negative_sampling": "shared", "environment_model": "content", "final_model": "UltraGCN"},
)


class StagedSettings(BackboneSettings):
    """Backbone, environments, mask and final model; PaInvRL and InvRL add their own settings."""

    eta: float = Field(ge=0, description="Weight of L_U (Eq. 3).")
    kappa: float = Field(ge=0, description="Weight of L_I (Eq. 3).")

    outer_rounds: int = Field(ge=1, description="T, alternations of environments and mask.")
    backbone_epochs: int = Field(ge=1, description="Maximum number of epochs of the backbone.")
    backbone_stopping_step: int = Field(
        ge=0,
        description="Evaluations in a row without improvement that the backbone may have; it stops "
        "at the next one, as RecBole does with `stopping_step`.",
    )
    backbone_embedding_reg_weight: float = Field(
        ge=0, description="Weight of the squared norm of the backbone's embedding tables."
    )
    backbone_projection_reg_weight: float = Field(
        ge=0, description="Weight of the squared norm of W in the backbone."
    )

    n_environments: int = Field(ge=1, description="|E|, number of environments.")
    environment_model: Literal["content", "full"] = Field(
        description="Gamma_e: W_e with frozen p^f (content), or all of UltraGCN (full, the paper)."
    )
    environment_epochs: int = Field(ge=1, description="Epochs of the environment models per round.")
    environment_learning_rate: float = Field(
        gt=0, description="Learning rate of the environment models."
    )
    environment_batch_size: int = Field(
        ge=1, description="Positives per step of the environment models."
    )
    environment_rounds: int = Field(
        ge=1, description="Maximum number of rounds of one initialization."
    )
    environment_tolerance: float = Field(
        ge=0, le=1, description="Stop when at most this fraction of the interactions moved."
    )
    environment_restarts: int = Field(
        ge=1, description="Random initializations, of which the most likely result is kept."
    )
    environment_negatives: int = Field(
        ge=1, description="Shared negatives per step of the environment models."
    )
    environment_learner: EnvironmentLearner = Field(
        description="Optimiser of Gamma_e; mixed: Adagrad for tables, Adam for W (InvRL's code)."
    )
    environment_projection_reg_weight: float = Field(
        ge=0, description="Weight of the squared norm of W in Gamma_e (full only)."
    )

    mask_epochs: int = Field(
        ge=1, description="Epochs of the mask stage, counted on the largest environment."
    )
    mask_batch_size: int = Field(ge=1, description="Positives per environment and joint step.")
    mask_negatives: int = Field(
        ge=1,
        description="Negatives per positive, or per environment and joint step if they are shared.",
    )
    mask_step_size: float = Field(gt=0, description="s, step size of the mask (Eq. 19).")
    mask_decay: float = Field(
        ge=0, description="lambda, decay of the mask towards mask_center (Eq. 11, 19)."
    )
    mask_center: float = Field(
        ge=0, le=1, description="Value the mask decays to: 0 (PaInvRL's paper) or 0.5 (InvRL)."
    )
    mask_noise: float = Field(
        ge=0, description="sigma, standard deviation of the gate's noise (Eq. 10)."
    )
    mask_initial: float = Field(ge=0, le=1, description="Initial value of the mask.")
    mask_optimizer: Literal["sgd", "adam"] = Field(
        description="Gradient step of Eq. 19 (sgd), or Adam on the same gradient (adam)."
    )
    mask_reset: bool = Field(description="Reset the mask to mask_initial before every outer round.")
    projection_learning_rate: float = Field(
        gt=0, description="Adam's learning rate for W and the attention in the mask stage."
    )
    mask_projection_reg_weight: float = Field(
        ge=0, description="Weight of the squared norm of W in the mask stage."
    )
    irm_weight: float = Field(
        ge=0, description="alpha, weight of L_IRM where the losses have fixed weights."
    )
    variance: VarianceForm = Field(
        description="Var of Eq. 11: a mean over environments (paper) or a sum (InvRL's code)."
    )

    mask_form: Literal["soft", "binary", "auto", "validation"] = Field(
        description="Mask of the final model (docs/mask-form.md): the learnt values (soft, the "
        "paper); 0 or 1 below or above a cut (binary); binary if spurious columns are found, "
        "unless features do clear harm in distribution, otherwise all, soft or none by "
        "validation (auto); or the best of the four on validation (validation)."
    )

    final_model: str = Field(
        description="Model that is trained on the masked features in the final stage: UltraGCN "
        "with the settings of the run (the paper), or another model with features and its own."
    )
    final_settings: dict[str, Any] | None = Field(
        description="Settings of another `final_model`, such as {reg_weight: 0.1}; without them it "
        "has its own defaults and those settings of the command line that it knows."
    )

    known_environments: bool = Field(
        description="Ablation: use the planted environments instead of identifying them."
    )
    oracle: bool = Field(
        description="On planted data, also train a final model with the true mask."
    )
    compare_backbone: bool = Field(
        description="Also train the final model with all features, to tell what the mask changes "
        "(only with final_model UltraGCN)."
    )

    @model_validator(mode="after")
    def _compares_its_own_model(self) -> Self:
        if self.compare_backbone and self.final_model != "UltraGCN":
            raise ValueError(
                f"`compare_backbone`: found True with `final_model: {self.final_model}`; leave it "
                f"out, and compare with `benchmark --models={self.final_model} --feature-mask=RUN`"
            )
        return self

    idle: ClassVar[tuple[Idle, ...]] = (
        Idle(("environment_projection_reg_weight",), {"environment_model": ("content",)}),
        Idle(("mask_reset",), {"outer_rounds": (1,)}),
        Idle(("mask_center",), {"mask_decay": (0,)}),
        Idle(("n_neighbours", "item_graph"), {"kappa": (0,)}),
        Idle(
            (
                *("n_environments", "environment_model", "environment_epochs"),
                *("environment_learning_rate", "environment_batch_size", "environment_rounds"),
                *("environment_tolerance", "environment_restarts", "environment_negatives"),
                *("environment_learner", "environment_projection_reg_weight"),
            ),
            {"known_environments": (True,)},
        ),
    )

    def loss_weights(self) -> UltraGCNWeights:
        """The scalars of Eq. 3."""
        return UltraGCNWeights.from_paper(self.eta, self.kappa)


class PaInvRLSettings(StagedSettings):
    """PaInvRL: the two losses weighted by their gradients, and attention over Phi and Psi."""

    projection_objective: Literal["weighted", "erm"] = Field(
        description="Loss that trains W and the attention: the weighted losses, or L_ERM (erm)."
    )
    gradient_normalization: GradientNormalization = Field(
        description="How both mask gradients are normalized before Eq. 17 (the paper: none); "
        "without effect on `loss_weighting: fixed`, whose weights are of the losses themselves."
    )
    loss_weighting: Literal["pareto", "fixed", "erm", "irm"] = Field(
        description="Eq. 17 (pareto), L_ERM + irm_weight L_IRM (fixed), or one loss alone."
    )
    outer_gate: bool = Field(description="Apply the outer gate of Eq. 12.")
    attention: bool = Field(description="Weigh Phi and Psi per pair (Eq. 13, 14).")
    attention_hidden_size: int = Field(ge=1, description="Hidden width of the two MLPs.")
    attention_output: AttentionOutput = Field(description="Output function of the two MLPs.")

    idle: ClassVar[tuple[Idle, ...]] = (
        *StagedSettings.idle,
        Idle(("irm_weight",), {"loss_weighting": ("pareto", "erm", "irm")}),
        Idle(("gradient_normalization",), {"loss_weighting": ("fixed",)}),
        Idle(("attention_hidden_size", "attention_output", "outer_gate"), {"attention": (False,)}),
    )
    # Settings of InvRL that are constants here.
    environment_features: ClassVar = "variant"
    penalty_gate: ClassVar = "noisy"
    mask_clipping: ClassVar = "every_step"
    weight_growth: ClassVar = 1.0
