"""The plugin's settings of every run; those of single models are in ``models/``."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from recbole_painvrl.config.base import Settings


class RunSettings(Settings):
    """Settings of every run; the defaults are those of overall.yaml."""

    output_dir: str = Field(default="runs", description="Folder that receives the run folders.")
    run_name: str | None = Field(
        default=None, description="Name of the run folder; none for <model>-<dataset>-<time>."
    )
    protocol: Literal["random", "files", "iid_ood", "popularity", "time"] | None = Field(
        default=None,
        description="Split of the data; none for the manifest's protocol, or random without one.",
    )
    split_seed: int = Field(
        default=0,
        ge=0,
        description="Seed of the split and of sampled candidates. The protocol random (RecBole's "
        "own split) is split by `seed` instead.",
    )
    split_environment_model: Literal["full", "content"] = Field(
        default="full",
        description="Environment model that identifies the two environments of protocol iid_ood.",
    )
    split_epochs: int = Field(
        default=20,
        ge=1,
        description="Epochs per round of a full environment model of protocol iid_ood, or of the "
        "UltraGCN whose user vectors the content models use; also those of `shift_ultragcn`.",
    )
    split_rounds: int = Field(
        default=10, ge=1, description="Maximum number of rounds of protocol iid_ood."
    )
    split_variant: Literal["adapted", "strict"] = Field(
        default="adapted",
        description="Protocol iid_ood with validation splits (adapted), or as in 4.2.2 of the "
        "paper: kappa 0.01, 9:1, no validation split (strict).",
    )
    shift_ultragcn: Literal["auto"] | bool = Field(
        default="auto",
        description="Train an ID-only UltraGCN with fixed settings once per data and split, to "
        "tell how much harder the OOD test is for it; auto: with up to 60,000 training "
        "interactions. Protocol iid_ood always does.",
    )
    ood_fraction: float = Field(
        default=0.2,
        gt=0,
        lt=1,
        description="Fraction of the interactions in the OOD split (popularity, time).",
    )
    validation_share: float = Field(
        default=0.1,
        ge=0,
        lt=1,
        description="Fraction of the training file held out for validation if protocol files has "
        "no validation file; 0 trains for `epochs` epochs and tests the last one.",
    )
    select_on: Literal["iid", "ood", "harmonic"] = Field(
        default="iid",
        description="Validation set that selects the epoch, or the harmonic mean of both.",
    )
    missing_modality: Literal["zero", "mean", "error"] = Field(
        default="zero",
        description="How items without a row in a feature file are filled. The models from "
        "FREEDOM to MGAT of docs/models.md, and RP3beta, treat such an item as lacking the "
        "modality, whatever fills the row.",
    )
    unknown_items: Literal["error", "ignore"] = Field(
        default="error",
        description="What to do with feature rows of unknown items.",
    )
    modalities: list[str] | None = Field(
        default=None,
        description="Modalities to use; none for all, [] for an ID-only model.",
    )
    feature_mask: str | None = Field(
        default=None,
        description="Run of PaInvRL or InvRL whose mask, in the form that its final model uses, "
        "multiplies the features of this model, or an .npz file with a mask per modality.",
    )
    preset: str | None = Field(
        default=None, description="Named set of values that override the model's defaults."
    )
    n_threads: int | None = Field(
        default=None,
        ge=1,
        description="CPU threads; none for 1 on small data and PyTorch's default on larger data.",
    )
    fast_loader: bool = Field(
        default=True,
        description="Draw the uniform negatives of pairwise models in large batches: several times "
        "faster than RecBole's loader (False), the same distribution, another random sequence.",
    )
    profile: bool = Field(
        default=False,
        description="Measure where the time of the run goes (a table, and profile.json); on a GPU "
        "every step then synchronizes.",
    )
    ndcg_hits: bool = Field(
        default=False,
        description="Also report the NDCG of InvRL's code, normalized by the number of hits.",
    )
    memory_check: bool = Field(
        default=True,
        description="Refuse a run whose estimated memory exceeds the free memory.",
    )
    resume: str | None = Field(default=None, description="Run folder to resume.")


# Settings that decide which interactions and features a dataset consists of.
DATA_SETTINGS = (
    "protocol",
    "split_seed",
    "split_environment_model",
    "split_epochs",
    "split_rounds",
    "split_variant",
    "ood_fraction",
    "validation_share",
    "missing_modality",
    "unknown_items",
    "modalities",
)
