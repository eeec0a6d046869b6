"""The configuration of a run: precedence, sources, and one line per mistake."""

from __future__ import annotations

import copy
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml

from recbole_painvrl.config import RunSettings, SafeConfig, config_from_arguments
from recbole_painvrl.config.layers import Layer, internal_layers
from recbole_painvrl.config.lookup import model_names
from recbole_painvrl.config.validation import check_names
from recbole_painvrl.errors import UserError
from recbole_painvrl.models.painvrl.settings import PaInvRLSettings


def config_of(*argv: str, model: str = "BPR") -> SafeConfig:
    return config_from_arguments([f"--model={model}", "--dataset=planted", *argv])


def refusal(*argv: str, model: str = "BPR") -> str:
    with pytest.raises(UserError) as caught:
        config_of(*argv, model=model)
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize(
    ("argument", "message"),
    [
        (
            "--lerning_rate=1",
            "unknown setting `lerning_rate` (command line); did you mean `learning_rate`?",
        ),
        (
            "--config_file=a.yaml",
            "unknown setting `config_file` (command line); did you mean `config_files`?",
        ),
        ("--epochs=abc", "`epochs`: found 'abc' (command line), expected an integer >= 1"),
        ("--epochs=True", "`epochs`: found True (command line), expected an integer >= 1"),
        ("--seed=-1", "expected an integer >= 0 and <= 4294967295"),
        ("--learning_rate=0", "expected a number > 0"),
        ("--embedding_size=0", "`embedding_size`: found 0 (command line), expected"),
        ("--topk=[10, 0]", "expected a list (each an integer >= 1) or an integer >= 1"),
        ("--topk=[10,20", "`topk`: found '[10,20' (command line)"),
        ("--topk=[]", "`topk`: found [] (command line), expected at least one cut-off"),
        ("--metrics=[Recal]", "did you mean `Recall`?"),
        ("--metrics=[]", "expected at least one metric"),
        ("--metrics=[NDCG,AUC]", "expected ranking metrics only or value metrics only"),
        ("--valid_metric=NDGC@10", "did you mean `NDCG`?"),
        ("--valid_metric=MRR@10", "expected one of `metrics`, such as `--valid_metric=Recall@10`"),
        ("--topk=[20]", "expected a cut-off in `topk`, such as `--valid_metric=NDCG@20`"),
        ("--eval_args=full", "expected a mapping"),
        ("--train_neg_sample_args={distribution: x}", "`train_neg_sample_args: distribution`: "),
        ("--protocol=iidood", "popularity, time or ~ (none); did you mean `iid_ood`?"),
        ("--learner=adamm", "rmsprop; did you mean `adam`?"),
        ("--ood_fraction=1", "expected a number > 0 and < 1"),
        ("--modalities=text", "expected a list (each text) or ~ (none)"),
        ("--nproc=2", "expected 1: start several processes with `torchrun"),
        ("--preset=papre", "`preset`: found 'papre' (command line), expected "),
        ("--config_files=none.yaml", "none.yaml: no such configuration file"),
    ],
)
def test_mistakes_are_one_line(argument: str, message: str) -> None:
    assert message in refusal(argument)


def test_presets_that_exist_are_listed() -> None:
    expected = "`preset`: found 'paper_litral' (command line), expected one of "
    expected += "large, paper_literal; did you mean `paper_literal`?"
    assert refusal("--preset=paper_litral", model="PaInvRL") == expected
    assert "expected none: BPR has no presets" in refusal("--preset=x")
    assert "expected one of" in refusal("--preset=../../overall", model="PaInvRL")


@pytest.mark.parametrize(
    ("model", "message"),
    [
        ("lightgcn", "unknown model `lightgcn`; did you mean `LightGCN`?"),
        ("LihgtGCN", "did you mean `LightGCN`?"),
        ("PaInvLR", "did you mean `PaInvRL`?"),
        ("Qqqqqq", "use one of ADMMSLIM, "),
        ("SASRec", "SASRec is a sequential recommender of RecBole"),
        ("KGAT", "KGAT is a knowledge-based recommender of RecBole"),
        ("FM", "FM is a context-aware recommender of RecBole"),
        ("XGBoost", "XGBoost is a decision tree of RecBole"),
    ],
)
def test_models_that_cannot_run(model: str, message: str) -> None:
    found = refusal(model=model)
    assert found.startswith("`model`: ")
    assert message in found


def test_model_and_dataset_are_needed() -> None:
    with pytest.raises(UserError, match=r"^`model`: found None, expected a name such as"):
        config_from_arguments(["--dataset=planted"])
    with pytest.raises(UserError, match=r"^`dataset`: found None, expected a name such as"):
        config_from_arguments(["--model=BPR"])


@pytest.mark.parametrize("model", [m for m in model_names() if m not in ("NCL", "RaCT")])
def test_every_general_recommender_is_accepted(model: str) -> None:
    config = config_of(model=model)
    assert config["model"] == model
    assert config["metrics"] == ["Recall", "NDCG", "Precision"]
    assert config["eval_batch_size"] == 4_000_000
    assert set(config.sources) == set(config.final_config_dict)
    yaml.safe_dump(config.effective())


def test_precedence_and_sources(tmp_path: Path) -> None:
    first, second = tmp_path / "first.yaml", tmp_path / "second.yaml"
    first.write_text("preset: paper_literal\nseed: 1\nepochs: 7\nkappa: 0.5\n")
    second.write_text("epochs: 8\nstopping_step: 3\n")
    config = config_from_arguments(
        [
            "--model=PaInvRL",
            "--dataset=ml-trailers",
            f"--config_files={first} {second}",
            "--stopping_step=4",
        ]
    )
    expected: dict[str, tuple[Any, str]] = {
        "worker": (0, "RecBole overall"),
        "metric_decimal_place": (6, "plugin overall"),
        "train_neg_sample_args": (config["train_neg_sample_args"], "model"),
        "mask_decay": (1.0, "preset paper_literal"),
        "threshold": (None, "RecBole dataset"),
        "load_col": ({"inter": ["user_id", "item_id", "timestamp"]}, "dataset"),
        "seed": (1, f"file {first}"),
        "kappa": (0.5, f"file {first}"),
        "epochs": (8, f"file {second}"),
        "stopping_step": (4, "command line"),
        "model": ("PaInvRL", "command line"),
        "device": (config["device"], "derived by RecBole"),
    }
    for name, (value, source) in expected.items():
        assert (config[name], config.sources[name]) == (value, source)
    assert PaInvRLSettings.from_config(config).n_environments == 10
    assert RunSettings.from_config(config).preset == "paper_literal"
    assert config.effective()["epochs"] == {"value": 8, "from": f"file {second}"}
    assert "device" not in config.effective()
    # RecBole's file of a dataset is more than its sample file.
    other = config_from_arguments(["--model=BPR", "--dataset=ml-100k"])
    assert other["load_col"] == {"inter": ["user_id", "item_id", "rating", "timestamp"]}


def test_keys_that_a_stronger_mapping_leaves_out_are_named(tmp_path: Path) -> None:
    """As in RecBole it replaces the whole mapping, so that the split of the file is not used."""
    first, second = tmp_path / "a.yaml", tmp_path / "b.yaml"
    first.write_text("eval_args: {split: {LS: valid_and_test}, mode: full}\nthreshold: {rating: 3}")
    second.write_text("eval_args: {order: TO}\nthreshold: ~\nval_interval: {rating: '[3,inf)'}\n")
    found = config_of(f"--config_files={first} {second}", "--eval_args={mode: uni20}")
    assert found["eval_args"]["split"] == {"RS": [0.8, 0.1, 0.1]}
    (line,) = found.dropped
    assert line.startswith("`eval_args` (command line)") and "`mode`" not in line
    assert f"`split` of file {first}" in line and f"`order` of file {second}" in line
    whole = "--eval_args={split: {RS: [8, 1, 1]}, mode: full, order: RO}"
    assert config_of(f"--config_files={first} {second}", whole).dropped == ()
    assert config_of("--eval_args={mode: uni20}").dropped == (), "only the defaults are replaced"


@pytest.mark.parametrize("name", ["config_files", "resume"])
def test_a_file_cannot_hold_what_only_the_command_line_reads(tmp_path: Path, name: str) -> None:
    file = tmp_path / "mine.yaml"
    file.write_text(f"{name}: runs/first\n")
    assert refusal(f"--config_files={file}") == (
        f"`{name}`: found 'runs/first' (file {file}), which has no effect there; give `--{name}` "
        "on the command line of the run"
    )
    file.write_text(f"{name}: ~\n")
    config_of(f"--config_files={file}")


@pytest.mark.parametrize("source", ["model", "preset small"])
@pytest.mark.parametrize("name", ["model", "dataset", "config_files", "preset", "resume"])
def test_the_defaults_of_a_model_do_not_hold_what_only_a_user_sets(source: str, name: str) -> None:
    """A preset named there was recorded as that of the run, and not read."""
    internal = internal_layers("UltraGCN", "planted")
    check_names("UltraGCN", internal, [])
    with pytest.raises(UserError, match=rf"`{name}` \({source} file of UltraGCN\): has no effect"):
        check_names("UltraGCN", [*internal, Layer(source, {name: "x"})], [])


def test_a_mistake_in_a_file_names_the_file(tmp_path: Path) -> None:
    file = tmp_path / "run.yaml"
    file.write_text("epochs: many\n")
    assert refusal(f"--config_files={file}") == (
        f"`epochs`: found 'many' (file {file}), expected an integer >= 1"
    )
    file.write_text("epoch: 3\n")
    assert refusal(f"--config_files={file}") == (
        f"unknown setting `epoch` (file {file}); did you mean `epochs`?"
    )


def test_settings_of_built_in_models_have_types_and_bounds() -> None:
    found = refusal("--n_layers=two", model="LightGCN")
    assert found == "`n_layers`: found 'two' (command line), expected an integer >= 0"
    assert "expected a list (each an integer >= 1)" in refusal(
        "--hidden_size_list=64", model="NGCF"
    )
    assert config_of("--n_layers=3", model="LightGCN")["n_layers"] == 3
    assert "unknown setting `n_layers`" in refusal("--n_layers=3", model="BPR")


def test_neither_eval_nor_the_process_command_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = tmp_path / "made"
    attack = f"__import__('os').system('touch {target}')"
    monkeypatch.setattr(sys, "argv", ["test", f"--epochs={attack}", "--seed=99"])
    config = config_of(f"--run_name={attack}")
    assert (config["run_name"], config["seed"], config["epochs"]) == (attack, 2020, 300)
    assert "`epochs`: found " in refusal(f"--epochs={attack}")
    assert "`topk`: found " in refusal(f"--topk={attack}")
    with pytest.raises(UserError):
        SafeConfig("BPR", "planted", overrides={"eval_args": attack})
    assert not target.exists()


def test_overrides_are_left_alone_and_may_be_named() -> None:
    overrides = {"train_neg_sample_args": {"distribution": "uniform"}}
    config = SafeConfig("BPR", "planted", overrides=overrides, overrides_from="benchmark")
    assert overrides == {"train_neg_sample_args": {"distribution": "uniform"}}
    assert config.sources["train_neg_sample_args"] == "benchmark"
    config["protocol"] = "files"
    assert config.sources["protocol"] == "set by the run"
    assert copy.deepcopy(config).sources == config.sources


def test_yaml_and_recbole_lists_stay_as_they_are() -> None:
    from recbole.utils import argument_list

    before = list(argument_list.dataset_arguments)
    config_of("--dataset_save_path=x", model="LightGCN")
    assert argument_list.dataset_arguments == before


def test_use_gpu_false_stays_on_the_cpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "3")
    assert config_of("--use_gpu=False")["device"] == torch.device("cpu")
    assert config_of()["gpu_id"] == "3"
    assert config_of("--gpu_id=1")["gpu_id"] == "1"


def test_a_process_takes_the_gpu_of_its_number_on_its_machine(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    numbers = {"WORLD_SIZE": "4", "RANK": "3", "LOCAL_WORLD_SIZE": "2", "LOCAL_RANK": "1"}
    for name, value in {**numbers, "CUDA_VISIBLE_DEVICES": "2,3"}.items():
        monkeypatch.setenv(name, value)
    assert config_of()["device"] == torch.device("cuda", 1)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES")
    assert config_of()["device"] == torch.device("cuda", 1)
    config = config_of("--use_gpu=False")
    # RecBole wraps a model in its own parallel training if `single_spec` is not set.
    assert (config["device"], config["single_spec"]) == (torch.device("cpu"), True)
