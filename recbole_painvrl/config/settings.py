"""The plugin's settings: of every run (:class:`RunSettings`) and of each of its models."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import Field, model_validator

from recbole_painvrl.config.base import Settings
from recbole_painvrl.functional.attention import AttentionOutput
from recbole_painvrl.functional.graph import ItemGraphForm
from recbole_painvrl.functional.invariance import VarianceForm
from recbole_painvrl.functional.pareto import GradientNormalization
from recbole_painvrl.functional.ultragcn import UltraGCNWeights
from recbole_painvrl.sampling import NegativeSampling


class RunSettings(Settings):
    """Settings of every run, whatever the model; the defaults are those of overall.yaml."""

    output_dir: str = Field(default="runs", description="Folder that receives the run folders.")
    run_name: str | None = Field(
        default=None, description="Name of the run folder; none for <model>-<dataset>-<time>."
    )
    protocol: Literal["random", "files", "iid_ood", "popularity", "time"] | None = Field(
        default=None,
        description="How the data are split; none for what the manifest says, else random.",
    )
    split_seed: int = Field(
        default=0, ge=0, description="Seed of the split, apart from the run's seed."
    )
    split_environment_model: Literal["full", "content"] = Field(
        default="full",
        description="Environment model that finds the two parts of the iid_ood protocol.",
    )
    split_epochs: int = Field(
        default=20,
        ge=1,
        description="Epochs of an environment model of the iid_ood protocol per round.",
    )
    split_rounds: int = Field(default=10, ge=1, description="Most rounds of the iid_ood protocol.")
    ood_fraction: float = Field(
        default=0.2,
        gt=0,
        lt=1,
        description="Share of the interactions in the OOD part (popularity, time).",
    )
    select_on: Literal["iid", "ood", "harmonic"] = Field(
        default="iid",
        description="Validation set that chooses the epoch, or the harmonic mean of both.",
    )
    missing_modality: Literal["zero", "mean", "error"] = Field(
        default="zero", description="What an item without a row in a feature file gets."
    )
    unknown_items: Literal["error", "ignore"] = Field(
        default="error", description="What to do with feature rows of items that the dataset lacks."
    )
    modalities: list[str] | None = Field(
        default=None, description="Modalities to use; none for all of the dataset, [] for ids only."
    )
    preset: str | None = Field(
        default=None, description="Named set of values laid over the model's defaults."
    )
    n_threads: int | None = Field(
        default=None,
        ge=1,
        description="CPU threads; none for 1 on small data, else PyTorch's choice.",
    )
    ndcg_hits: bool = Field(
        default=False,
        description="Also report the NDCG of InvRL's code, normalised by the hits found.",
    )
    resume: str | None = Field(default=None, description="Run folder to continue.")


# Settings that decide which interactions and features a dataset consists of.
DATA_SETTINGS = (
    "protocol",
    "split_seed",
    "split_environment_model",
    "split_epochs",
    "split_rounds",
    "ood_fraction",
    "missing_modality",
    "unknown_items",
    "modalities",
)


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
    negative_sampling: NegativeSampling = Field(
        description="Draw negatives for each positive, or one pool for the whole batch."
    )
    exclude_positives: bool = Field(
        description="Draw a negative again if the user has it in training (per_positive only)."
    )
    embedding_reg_weight: float = Field(
        ge=0, description="Weight of the squared norm of the embedding tables, every step."
    )
    projection_reg_weight: float = Field(
        ge=0, description="Weight of the squared norm of the projection W, every step."
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


class PaInvRLSettings(BackboneSettings):
    """PaInvRL: backbone, environments (section 3.3), mask (3.4) and final model (3.5)."""

    eta: float = Field(ge=0, description="Weight of L_U (Eq. 3).")
    kappa: float = Field(ge=0, description="Weight of L_I (Eq. 3).")

    outer_rounds: int = Field(ge=1, description="T, alternations of environments and mask.")
    backbone_epochs: int = Field(ge=1, description="Most epochs of the backbone.")
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
    environment_rounds: int = Field(ge=1, description="Most rounds of one start.")
    environment_tolerance: float = Field(
        ge=0, le=1, description="Stop when at most this share of the interactions moved."
    )
    environment_restarts: int = Field(
        ge=1, description="Random starts, of which the likeliest is kept."
    )
    environment_negatives: int = Field(ge=1, description="Size of a step's pool of negatives.")
    environment_learner: Literal["adam", "adagrad"] = Field(description="Optimiser of Gamma_e.")

    mask_epochs: int = Field(ge=1, description="Epochs of the mask, by the largest environment.")
    mask_batch_size: int = Field(ge=1, description="Positives per environment and joint step.")
    mask_negatives: int = Field(
        ge=1, description="Negatives per positive, or the size of the shared pool."
    )
    mask_step_size: float = Field(gt=0, description="s, step of the mask (Eq. 19).")
    mask_decay: float = Field(ge=0, description="lambda, pull of the mask (Eq. 11, 19).")
    mask_center: float = Field(
        ge=0, le=1, description="Where lambda pulls to: 0 (paper), 0.5 (InvRL)."
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
    projection_objective: Literal["weighted", "erm"] = Field(
        description="What W and the attention descend: the weighted losses or L_ERM."
    )
    gradient_normalization: GradientNormalization = Field(
        description="Divisor of both mask gradients before Eq. 17; none is the paper."
    )
    loss_weighting: Literal["pareto", "fixed", "erm", "irm"] = Field(
        description="Eq. 17, L_ERM + irm_weight L_IRM, or one loss alone."
    )
    irm_weight: float = Field(ge=0, description="alpha, weight of L_IRM if fixed.")
    variance: VarianceForm = Field(
        description="Var of Eq. 11: a mean over environments (paper) or a sum (InvRL's code)."
    )
    outer_gate: bool = Field(description="Keep the outer gate of Eq. 12.")
    attention: bool = Field(description="Weigh Phi and Psi per pair (Eq. 13, 14).")
    attention_hidden_size: int = Field(ge=1, description="Hidden width of the two MLPs.")
    attention_output: AttentionOutput = Field(description="Output function of the two MLPs.")

    known_environments: bool = Field(
        description="Ablation: use the planted environments in place of those found."
    )
    oracle: bool = Field(
        description="Where the data are planted, also train a final model with the true mask."
    )

    def loss_weights(self) -> UltraGCNWeights:
        """The scalars of Eq. 3."""
        return UltraGCNWeights.from_paper(self.eta, self.kappa)


SCHEMAS: dict[str, type[UltraGCNSettings | PaInvRLSettings]] = {
    "PaInvRL": PaInvRLSettings,
    "UltraGCN": UltraGCNSettings,
}

# Models that learn about the features and have nothing to learn without any.
NEEDS_MODALITIES = frozenset({"PaInvRL"})
