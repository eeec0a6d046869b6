"""RecBole's settings that are mappings, with the keys and values that it reads.

RecBole ignores unknown keys, and reads intervals such as ``>=4`` as no filter.
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


def _check_interval(text: str) -> str:
    for one in text.split(";"):
        match = _ONE_INTERVAL.fullmatch(one.replace(" ", ""))
        low, high = (float(end) for end in match.groups()) if match else (1.0, 0.0)
        # NaN is refused, too.
        if not low <= high:
            raise ValueError
    return text


def _check_ratios(ratios: list[float]) -> list[float]:
    if not 2 <= len(ratios) <= 3 or ratios[0] <= 0 or ratios[-1] <= 0:
        raise ValueError
    return ratios


LogLevel = Annotated[
    str,
    Field(pattern="(?i)^(debug|info|warning|error|critical)$"),
    Expects("one of debug, info, warning, error, critical"),
]
Interval = Annotated[
    str, AfterValidator(_check_interval), Expects("an interval in quotes such as '[3,inf)'")
]
Mode = Annotated[
    str,
    Field(pattern=r"^(full|labeled|(uni|pop)[1-9][0-9]*)$"),
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
    """RecBole's settings of the dataset; its documentation describes them."""

    field_separator: Name = "\t"
    seq_separator: Name = " "
    encoding: Name = "utf-8"
    USER_ID_FIELD: Name = "user_id"
    ITEM_ID_FIELD: Name = "item_id"
    RATING_FIELD: Name = "rating"
    TIME_FIELD: Name = "timestamp"
    LABEL_FIELD: Name = "label"
    NEG_PREFIX: Name = "neg_"
    seq_len: dict[Name, Positive] | None = None
    threshold: dict[Name, float] | None = None
    numerical_features: Names = Field(default=[])
    load_col: dict[Name, Names | Literal["*"]] | None = None
    unload_col: dict[Name, Names] | None = None
    unused_col: dict[Name, Names] | None = None
    additional_feat_suffix: Names | Name | None = None
    rm_dup_inter: Literal["first", "last"] | None = None
    val_interval: dict[Name, Interval | list[str | int]] | None = None
    filter_inter_by_user_or_item: bool = True
    user_inter_num_interval: Interval | None = None
    item_inter_num_interval: Interval | None = None
    alias_of_user_id: Names | None = None
    alias_of_item_id: Names | None = None
    preload_weight: dict[Name, Name] | None = None
    normalize_field: Names | None = None
    normalize_all: bool | None = None
    discretization: dict[Name, Discretization] | None = None
    benchmark_filename: Names | None = None
    tail_ratio: float | None = Field(default=None, gt=0)


# RecBole's settings of sequential and knowledge-based models, which are not read here.
WITHOUT_EFFECT = frozenset(
    {
        *("ITEM_LIST_LENGTH_FIELD", "LIST_SUFFIX", "MAX_ITEM_LIST_LENGTH", "POSITION_FIELD"),
        *("HEAD_ENTITY_ID_FIELD", "TAIL_ENTITY_ID_FIELD", "RELATION_ID_FIELD", "ENTITY_ID_FIELD"),
        *("alias_of_entity_id", "alias_of_relation_id", "kg_reverse_r"),
        *("entity_kg_num_interval", "relation_kg_num_interval"),
    }
)
