"""Mappings, choices and numbers of RecBole's settings: none is ignored silently."""

from __future__ import annotations

import inspect
from pathlib import Path
from typing import Any

import pytest
import recbole
import yaml
from hypothesis import given
from hypothesis import strategies as st
from recbole.data.dataset import Dataset
from recbole.model import general_recommender
from test_safe_config import config_of, refusal

from recbole_painvrl.config.loading import PlainLoader
from recbole_painvrl.config.mappings import DatasetSettings, EvaluationArguments
from recbole_painvrl.config.recbole_models import recbole_model_schema
from recbole_painvrl.errors import UserError

PROPERTIES = Path(recbole.__file__).parent / "properties" / "model"
MODELS = sorted(
    name
    for name, value in vars(general_recommender).items()
    if inspect.isclass(value) and (PROPERTIES / f"{name}.yaml").is_file()
)


def defaults_of(model: str) -> dict[str, Any]:
    text = (PROPERTIES / f"{model}.yaml").read_text(encoding="utf-8")
    return yaml.load(text, Loader=PlainLoader) or {}


@pytest.mark.parametrize(
    ("argument", "place", "close"),
    [
        ("--train_neg_sample_args={num: 5}", "`train_neg_sample_args`: found the key `num`", ""),
        ("--train_neg_sample_args={sample_nun: 5}", "the key `sample_nun`", "`sample_num`"),
        ("--train_neg_sample_args={sample_num: 0}", "`train_neg_sample_args: sample_num`", ""),
        ("--train_neg_sample_args={alpha: high}", "`train_neg_sample_args: alpha`", ""),
        ("--train_neg_sample_args={dynamic: True}", "`train_neg_sample_args`", ""),
        ("--train_neg_sample_args={candidate_num: 5}", "`train_neg_sample_args`", ""),
        ("--train_neg_sample_args={alpha: 0.5}", "`train_neg_sample_args`", ""),
        ("--train_neg_sample_args={sample_num: none}", "`train_neg_sample_args: sample_num`", ""),
        ("--transform=crop", "`transform`", ""),
        ("--metrics=[AUC]", "`metrics`: found ['AUC']", ""),
        ("--state=LOUD", "`state`", ""),
        ("--USER_ID_FIELD=item_id", "`ITEM_ID_FIELD`", ""),
        ("--eval_args={splitt: {RS: [8, 1, 1]}}", "the key `splitt`", "`split`"),
        ("--eval_args={split: {RZ: [8, 1, 1]}}", "`eval_args: split`: found the key `RZ`", ""),
        ("--eval_args={split: {RS: [1]}}", "`eval_args: split: RS`: found [1]", ""),
        ("--eval_args={split: {RS: [1, 1, 0]}}", "`eval_args: split: RS`", ""),
        ("--eval_args={split: {RS: [0.9, -0.1, 0.2]}}", "`eval_args: split: RS`", ""),
        ("--eval_args={split: {LS: valid_only}}", "`eval_args: split: LS`", ""),
        ("--eval_args={split: {RS: [8, 2], LS: test_only}}", "`eval_args: split`", ""),
        ("--eval_args={order: to}", "`eval_args: order`: found 'to'", "`TO`"),
        ("--eval_args={mode: uni}", "`eval_args: mode`: found 'uni'", ""),
        (
            "--eval_args={mode: {vaild: full}}",
            "`eval_args: mode`: found the key `vaild`",
            "`valid`",
        ),
        ("--clip_grad_norm={max: 1}", "`clip_grad_norm`: found the key `max`", ""),
        ("--clip_grad_norm={norm_type: 2}", "`clip_grad_norm`: lacks the key `max_norm`", ""),
        ("--load_col={intre: [user_id]}", "`load_col: intre`", "`inter`"),
        ("--load_col={inter: [user_id]}", "`item_id`", ""),
        ("--load_col={inter: user_id}", "`load_col: inter`: found 'user_id'", ""),
        ("--unused_col={items: [title]}", "`unused_col: items`", "`item`"),
        ("--val_interval={rating: '>=4'}", "`val_interval: rating`: found '>=4'", ""),
        ("--val_interval=[3,inf)", "`val_interval`: found '[3,inf)'", ""),
        ("--threshold=3", "`threshold`: found 3", ""),
        ("--threshold={rating: 3, other: 4}", "`threshold`", ""),
        ("--user_inter_num_interval=500", "`user_inter_num_interval`: found 500", ""),
        ("--item_inter_num_interval=[9,5]", "`item_inter_num_interval`", ""),
        ("--rm_dup_inter=frist", "`rm_dup_inter`: found 'frist'", "`first`"),
        ("--seq_len={genre: 0}", "`seq_len: genre`: found 0", ""),
        ("--discretization={x: {method: EQ}}", "`discretization: x: method`: found 'EQ'", ""),
        ("--modalities=[visual, visual]", "`modalities`", ""),
        ("--metrics=[NDCG, ndcg]", "`metrics`", ""),
        ("--valid_metric=NDCG", "`valid_metric`: found 'NDCG'", ""),
        ("--valid_metric_bigger=False", "`valid_metric_bigger`", ""),
        ("--MAX_ITEM_LIST_LENGTH=9", "`MAX_ITEM_LIST_LENGTH`", ""),
        ("--tail_ratio=0", "`tail_ratio`", ""),
    ],
)
def test_what_recbole_would_ignore_or_misread(argument: str, place: str, close: str) -> None:
    found = refusal(argument)
    assert place in found
    assert ("did you mean" in found) == bool(close)
    assert close in found


@pytest.mark.parametrize("metric", ["NDCG", "AveragePopularity"])
@pytest.mark.parametrize("bigger", [True, False])
def test_a_file_cannot_turn_a_metric_around(metric: str, bigger: bool, tmp_path: Path) -> None:
    file = tmp_path / "run.yaml"
    lines = f"metrics: [{metric}]", f"valid_metric: {metric}@10", f"valid_metric_bigger: {bigger}"
    file.write_text("\n".join(lines))
    given = f"--config_files={file}"
    if bigger == (metric == "NDCG"):
        assert config_of(given)["valid_metric_bigger"] is bigger
    else:
        assert f"`valid_metric_bigger`: found {bigger} (file {file})" in refusal(given)


@pytest.mark.parametrize(
    ("mode", "is_read"),
    [("labeled", True), ("{test: labeled}", True), ("{valid: full, test: labeled}", False)],
)
def test_value_metrics_need_labels_or_candidates_in_both_phases(mode: str, is_read: bool) -> None:
    argv = ["--metrics=[AUC]", "--valid_metric=AUC", f"--eval_args={{mode: {mode}}}"]
    if is_read:
        config_of(*argv)
    else:
        assert refusal(*argv).startswith("`metrics`: found ['AUC']")


@pytest.mark.parametrize(
    ("model", "argument"),
    [
        ("SGL", "--drop_ratio=1"),
        ("NeuMF", "--dropout_prob=1.5"),
        ("LightGCN", "--n_layers=2.5"),
        ("LightGCN", "--reg_weight=-1e-4"),
        ("ItemKNN", "--k=0"),
        ("GCMC", "--accum=mean"),
        ("DiffRec", "--mlp_act_func=gelu"),
        ("NGCF", "--hidden_size_list=[64, 0]"),
        ("NGCF", "--message_dropout=yes"),
        ("LINE", "--order=3"),
        ("CDAE", "--out_activation=tanh"),
        ("EASE", "--reg_weight=0"),
        ("RecVAE", "--beta=-1"),
        ("FISM", "--alpha=-3"),
        ("AsymKNN", "--q=0"),
        ("SimpleX", "--gamma=2"),
        ("DGCF", "--n_factors=3"),
        ("DiffRec", "--sampling_steps=10"),
        ("DiffRec", "--noise_min=0.9"),
        ("NeuMF", "--use_pretrain=True"),
        ("ConvNCF", "--train_method=after_pretrain"),
    ],
)
def test_choices_and_bounds_of_recboles_models(model: str, argument: str) -> None:
    name = argument[2:].partition("=")[0]
    assert refusal(argument, model=model).startswith(f"`{name}`: found ")


@pytest.mark.parametrize("model", MODELS)
def test_recboles_own_defaults_are_accepted(model: str) -> None:
    defaults = defaults_of(model)
    schema = recbole_model_schema(model, defaults)
    assert dict(schema.checked(defaults, {})) == defaults


@pytest.mark.parametrize("model", [model for model in MODELS if model != "RaCT"])
def test_every_choice_of_recboles_models_is_checked(model: str) -> None:
    """A setting whose default is text has its choices declared."""
    for name, default in defaults_of(model).items():
        if isinstance(default, str) and not name.endswith("_path"):
            values = {**defaults_of(model), name: "no such word"}
            with pytest.raises(UserError, match=name):
                recbole_model_schema(model, values).checked(values, {})


def test_text_that_yaml_reads_as_a_number() -> None:
    config = config_of("--inter_matrix_type=01", model="DMF")
    assert config["inter_matrix_type"] == "01"


ENDS = st.one_of(st.integers(-9, 9).map(str), st.sampled_from(["inf", "-inf", "1.5", "", "x"]))
INTERVALS = st.tuples(st.sampled_from("[(x"), ENDS, st.sampled_from(",;"), ENDS,
                      st.sampled_from(")]x")).map("".join)  # fmt: skip


@given(INTERVALS)
def test_an_accepted_interval_is_what_recbole_reads(text: str) -> None:
    """RecBole ignores an interval that it cannot read, and filters nothing."""
    try:
        DatasetSettings.checked({"user_inter_num_interval": text}, {})
    except UserError:
        return
    ((left, low, high, right),) = Dataset._parse_intervals_str(None, text)
    assert (left, right) == (text[0], text[-1])
    assert [low, high] == [float(end) for end in text[1:-1].split(",")]


def test_unions_of_intervals() -> None:
    DatasetSettings.checked({"item_inter_num_interval": "(0,1];[3,4)"}, {})


@pytest.mark.parametrize(
    "arguments",
    [
        {},
        {"split": {"RS": [8, 1, 1]}, "mode": "uni100"},
        {"split": {"RS": [0.8, 0.2]}, "group_by": None},
        {"split": {"LS": "test_only"}, "order": "TO", "mode": {"valid": "full", "test": "pop50"}},
        {"split": {"TS": [0.8, 0.1, 0.1]}, "group_by": "none", "mode": {"test": "labeled"}},
    ],
)
def test_arguments_that_recbole_reads(arguments: dict[str, Any]) -> None:
    EvaluationArguments.checked(arguments, {})


def test_separators_are_text() -> None:
    separators = {text: text for text in (" ", "|", ",", "::", ";", "\t", "~~")}
    # As shells pass a tab on.
    for text, separator in {**separators, r"\t": "\t"}.items():
        assert config_of(f"--field_separator={text}")["field_separator"] == separator


def test_a_separator_in_a_file(tmp_path: Path) -> None:
    file = tmp_path / "my settings.yaml"
    file.write_text("field_separator: '\\t'\nepochs: 7\n")
    other = tmp_path / "b.yaml"
    other.write_text("epochs: 9\n")
    for given_as, epochs in (
        (str(file), 7),
        (f"'{file}' {other}", 9),
        (f"['{other}', '{file}']", 7),
        (f"{other} '{file}'", 7),
    ):
        config = config_of(f"--config_files={given_as}")
        assert (config["field_separator"], config["epochs"]) == ("\t", epochs)
    assert "`config_files`" in refusal("--config_files=[1, 2]")
    assert "no such configuration file" in refusal(f"--config_files={file}x")
