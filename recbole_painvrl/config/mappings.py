"""RecBole's settings that are mappings: the keys and values that it really reads.

RecBole takes whatever a mapping holds and ignores what it does not know. It also reads intervals
such as ``>=4`` as no filter at all.
"""

from __future__ import annotations

import re
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, model_validator

from recbole_painvrl.config.base import Expects, Settings

Positive = Annotated[int, Field(ge=1)]
Name = Annotated[str, Field(min_length=1)]
Names = list[Name]

_ONE_INTERVAL = re.compile(r"[\[(]([^,;\[\]()]+),([^,;\[\]()]+)[\])]")
_MODE = re.compile(r"full|labeled|(?:uni|pop)[1-9][0-9]*")


def _check_interval(text: str) -> str:
    for one in text.split(";"):
        match = _ONE_INTERVAL.fullmatch(one.replace(" ", ""))
        low, high = (float(end) for end in match.groups()) if match else (1.0, 0.0)
        # In this form NaN is refused, too.
        if not low <= high:
            raise ValueError
    return text


def _check_mode(text: str) -> str:
    if not _MODE.fullmatch(text):
        raise ValueError
    return text


def _check_ratios(ratios: list[float]) -> list[float]:
    if not 2 <= len(ratios) <= 3 or ratios[0] <= 0 or ratios[-1] <= 0:
        raise ValueError
    return ratios


def _check_level(text: str) -> str:
    if text.lower() not in ("debug", "info", "warning", "error", "critical"):
        raise ValueError
    return text


LogLevel = Annotated[
    str, AfterValidator(_check_level), Expects("one of debug, info, warning, error, critical")
]
Interval = Annotated[
    str, AfterValidator(_check_interval), Expects("an interval in quotes such as '[3,inf)'")
]
Mode = Annotated[
    str,
    AfterValidator(_check_mode),
    Expects("one of full, labeled, uniN, popN (N candidates per positive, such as uni100)"),
]
Ratios = Annotated[
    list[Annotated[float, Field(ge=0)]],
    AfterValidator(_check_ratios),
    Expects(
        "the fractions of training, validation and test such as [0.8, 0.1, 0.1], or of training "
        "and test such as [0.8, 0.2], training and test above 0"
    ),
]


class NegativeSampling(Settings):
    """``train_neg_sample_args``: RecBole's negatives."""

    distribution: Literal["uniform", "popularity"] | None = "uniform"
    sample_num: Positive = 1
    alpha: float = 1.0
    dynamic: bool = False
    candidate_num: int = Field(default=0, ge=0)

    @model_validator(mode="after")
    def _no_idle_key(self) -> NegativeSampling:
        idle = self.distribution != "popularity" and self.alpha != 1.0
        if self.dynamic != (self.candidate_num > 0) or idle:
            raise ValueError
        return self


Negatives = Annotated[
    NegativeSampling,
    Expects(
        "a mapping with distribution, sample_num, alpha (only with popularity), and dynamic and "
        "candidate_num (>= 1) only together"
    ),
]


class SplitArguments(Settings):
    """``split`` of ``eval_args``: one of RecBole's three ways to split."""

    RS: Ratios | None = None
    LS: Literal["valid_and_test", "test_only"] | None = None
    TS: Ratios | None = None

    @model_validator(mode="after")
    def _one(self) -> SplitArguments:
        if sum(value is not None for value in (self.RS, self.LS, self.TS)) != 1:
            raise ValueError
        return self


Split = Annotated[
    SplitArguments,
    Expects("one of RS, LS and TS, such as {RS: [0.8, 0.1, 0.1]} or {LS: valid_and_test}"),
]


class PhaseModes(Settings):
    """``mode`` of ``eval_args`` for validation and test."""

    valid: Mode | None = None
    test: Mode | None = None


class EvaluationArguments(Settings):
    """``eval_args``: how the protocol ``random`` splits, and what every evaluation ranks."""

    split: Split = SplitArguments(RS=[0.8, 0.1, 0.1])
    order: Literal["RO", "TO"] = "RO"
    group_by: Literal["user", "none"] | None = "user"
    mode: Mode | PhaseModes = "full"


class Clipping(Settings):
    """``clip_grad_norm``: arguments of ``torch.nn.utils.clip_grad_norm_``."""

    max_norm: float = Field(gt=0)
    norm_type: float = Field(default=2.0, gt=0)
    error_if_nonfinite: bool = False
    foreach: bool | None = None


class Discretization(Settings):
    """``discretization`` of one column."""

    method: Literal["ED", "LD"]
    bucket: Positive | None = None


class DatasetSettings(Settings):
    """RecBole's settings of the dataset that general recommenders read."""

    field_separator: Name = Field(default="\t", description="Separator of columns.")
    seq_separator: Name = Field(default=" ", description="Separator inside a sequence.")
    encoding: Name = Field(default="utf-8", description="Encoding of the atomic files.")
    USER_ID_FIELD: Name = Field(default="user_id", description="Column of users.")
    ITEM_ID_FIELD: Name = Field(default="item_id", description="Column of items.")
    RATING_FIELD: Name = Field(default="rating", description="Column of ratings.")
    TIME_FIELD: Name = Field(default="timestamp", description="Column of times.")
    LABEL_FIELD: Name = Field(default="label", description="Column of labels.")
    NEG_PREFIX: Name = Field(default="neg_", description="Prefix of the columns of negatives.")
    seq_len: dict[Name, Positive] | None = Field(default=None, description="Longest sequences.")
    threshold: dict[Name, float] | None = Field(
        default=None, description="Lowest value of a column that counts as label 1."
    )
    numerical_features: Names = Field(default=[], description="Float columns to embed.")
    load_col: dict[Name, Names | Literal["*"]] | None = Field(
        default=None, description="Columns to load, by kind of file; none for all."
    )
    unload_col: dict[Name, Names] | None = Field(default=None, description="Columns not to load.")
    unused_col: dict[Name, Names] | None = Field(
        default=None, description="Columns to load but not to hand to the model."
    )
    additional_feat_suffix: Names | Name | None = Field(
        default=None, description="Further atomic files to load."
    )
    rm_dup_inter: Literal["first", "last"] | None = Field(
        default=None, description="Which of repeated pairs to keep, in order of time."
    )
    val_interval: dict[Name, Interval | list[str | int | float]] | None = Field(
        default=None, description="Values to keep: an interval (float), a list (token)."
    )
    filter_inter_by_user_or_item: bool = Field(
        default=True, description="Whether to drop rows whose user or item has no row of its own."
    )
    user_inter_num_interval: Interval | None = Field(
        default=None, description="Interactions that a user must have."
    )
    item_inter_num_interval: Interval | None = Field(
        default=None, description="Interactions that an item must have."
    )
    alias_of_user_id: Names | None = Field(default=None, description="Columns of user ids.")
    alias_of_item_id: Names | None = Field(default=None, description="Columns of item ids.")
    preload_weight: dict[Name, Name] | None = Field(
        default=None, description="Column of vectors by column of ids."
    )
    normalize_field: Names | None = Field(default=None, description="Columns to normalize.")
    normalize_all: bool | None = Field(default=None, description="Whether to normalize floats.")
    discretization: dict[Name, Discretization] | None = Field(
        default=None, description="Float columns to discretize."
    )
    benchmark_filename: Names | None = Field(
        default=None, description="Files of a fixed split: training, validation, test."
    )
    tail_ratio: float | None = Field(
        default=None, gt=0, description="TailPercentage: fraction of the items, or a count above 1."
    )


# RecBole's settings of sequential and knowledge-based models and of several processes, which no
# run here reads.
WITHOUT_EFFECT = frozenset(
    {
        *("ITEM_LIST_LENGTH_FIELD", "LIST_SUFFIX", "MAX_ITEM_LIST_LENGTH", "POSITION_FIELD"),
        *("HEAD_ENTITY_ID_FIELD", "TAIL_ENTITY_ID_FIELD", "RELATION_ID_FIELD", "ENTITY_ID_FIELD"),
        *("alias_of_entity_id", "alias_of_relation_id", "kg_reverse_r"),
        *("entity_kg_num_interval", "relation_kg_num_interval"),
    }
)
