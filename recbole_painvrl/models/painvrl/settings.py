"""Settings of PaInvRL, and those it shares with InvRL."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field

from recbole_painvrl.environments.content import EnvironmentLearner
from recbole_painvrl.functional.attention import AttentionOutput
from recbole_painvrl.functional.invariance import VarianceForm
from recbole_painvrl.functional.pareto import GradientNormalization
from recbole_painvrl.functional.ultragcn import UltraGCNWeights
from recbole_painvrl.models.ultragcn import BackboneSettings


class StagedSettings(BackboneSettings):
    """Backbone, environments, mask and final model; what a model adds is in its own file."""

    eta: float = Field(ge=0, description="Weight of L_U (Eq. 3).")
    kappa: float = Field(ge=0, description="Weight of L_I (Eq. 3).")

    outer_rounds: int = Field(ge=1, description="T, alternations of environments and mask.")
    backbone_epochs: int = Field(ge=1, description="Maximum number of epochs of the backbone.")
    backbone_stopping_step: int = Field(
        ge=0, description="Evaluations without gain after which the backbone stops."
    )
    backbone_embedding_reg_weight: float = Field(
        ge=0, description="Weight of the squared norm of the backbone's embedding tables."
    )
    backbone_projection_reg_weight: float = Field(
        ge=0, description="Weight of the squared norm of W in the backbone."
    )

    n_environments: int = Field(ge=1, description="|E|, number of environments.")
    environment_model: Literal["content", "full"] = Field(
        description="Gamma_e on content with frozen users, or all of UltraGCN (the paper)."
    )
    environment_epochs: int = Field(ge=1, description="Epochs of the environment models per round.")
    environment_learning_rate: float = Field(gt=0, description="Their learning rate.")
    environment_batch_size: int = Field(ge=1, description="Positives per step.")
    environment_rounds: int = Field(
        ge=1, description="Maximum number of rounds of one initialization."
    )
    environment_tolerance: float = Field(
        ge=0, le=1, description="Stop when at most this share of the interactions moved."
    )
    environment_restarts: int = Field(
        ge=1, description="Random starts, of which the likeliest is kept."
    )
    environment_negatives: int = Field(ge=1, description="Size of a step's pool of negatives.")
    environment_learner: EnvironmentLearner = Field(
        description="Optimiser of Gamma_e; mixed: Adagrad for tables, Adam for W (InvRL's code)."
    )
    environment_projection_reg_weight: float = Field(
        ge=0, description="Weight of the squared norm of W in Gamma_e (full only)."
    )

    mask_epochs: int = Field(ge=1, description="Epochs of the mask, by the largest environment.")
    mask_batch_size: int = Field(ge=1, description="Positives per environment and joint step.")
    mask_negatives: int = Field(
        ge=1, description="Negatives per positive, or the size of the shared pool."
    )
    mask_step_size: float = Field(gt=0, description="s, step of the mask (Eq. 19).")
    mask_decay: float = Field(ge=0, description="lambda, pull of the mask (Eq. 11, 19).")
    mask_center: float = Field(
        ge=0, le=1, description="Where lambda pulls to: 0 (PaInvRL's paper), 0.5 (InvRL)."
    )
    mask_noise: float = Field(ge=0, description="sigma, noise of the gate (Eq. 10).")
    mask_initial: float = Field(ge=0, le=1, description="Initial value of the mask.")
    mask_optimizer: Literal["sgd", "adam"] = Field(
        description="Eq. 19 (sgd), or Adam on its direction."
    )
    mask_reset: bool = Field(description="Start every outer round from mask_initial.")
    projection_learning_rate: float = Field(
        gt=0, description="Adam's learning rate for W and the attention in the mask stage."
    )
    mask_projection_reg_weight: float = Field(
        ge=0, description="Weight of the squared norm of W in the mask stage."
    )
    irm_weight: float = Field(ge=0, description="alpha, weight of L_IRM in a plain sum.")
    variance: VarianceForm = Field(
        description="Var of Eq. 11: a mean over environments (paper) or a sum (InvRL's code)."
    )

    known_environments: bool = Field(
        description="Ablation: use the planted environments in place of those found."
    )
    oracle: bool = Field(
        description="Where the data are planted, also train a final model with the true mask."
    )

    def loss_weights(self) -> UltraGCNWeights:
        """The scalars of Eq. 3."""
        return UltraGCNWeights.from_paper(self.eta, self.kappa)


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
