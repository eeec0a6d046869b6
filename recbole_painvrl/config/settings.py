"""The plugin's settings of every run, whatever the model; of one model: ``models/``."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from recbole_painvrl.config.base import Settings


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
        default=0,
        ge=0,
        description="Seed of the split and of sampled candidates, apart from the run's seed; the "
        "protocol random, which is RecBole's, splits by `seed`.",
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
    split_rounds: int = Field(
        default=10, ge=1, description="Maximum number of rounds of the iid_ood protocol."
    )
    ood_fraction: float = Field(
        default=0.2,
        gt=0,
        lt=1,
        description="Share of the interactions in the OOD part (popularity, time).",
    )
    validation_share: float = Field(
        default=0.1,
        ge=0,
        lt=1,
        description="Share of the training file held out for validation where protocol files has "
        "no validation file; 0 trains for `epochs` epochs and tests the last.",
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
    fast_loader: bool = Field(
        default=True,
        description="Draw uniform negatives of pairwise models many at a time; the same law as "
        "RecBole's loader (False) but another stream, and several times faster.",
    )
    profile: bool = Field(
        default=False,
        description="Show where the time of the run went, also in profile.json; on a GPU this "
        "waits for it at every step.",
    )
    ndcg_hits: bool = Field(
        default=False,
        description="Also report the NDCG of InvRL's code, normalised by the hits found.",
    )
    memory_check: bool = Field(
        default=True,
        description="Whether to refuse a run that needs more memory than is free, by estimate.",
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
    "validation_share",
    "missing_modality",
    "unknown_items",
    "modalities",
)
