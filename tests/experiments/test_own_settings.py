"""Settings of all runs and of single models that have no effect, in a grid and in a search."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from support import run_main

from recbole_painvrl.__main__ import main
from recbole_painvrl.cli.tune import _given
from recbole_painvrl.errors import UserError
from recbole_painvrl.experiments.options import GridOptions


@pytest.mark.parametrize(
    ("name", "option"),
    [("seed", "--seeds"), ("model", "--models"), ("dataset", "--dataset"),
     ("output_dir", "--output"), ("run_name", "--output"), ("config_files", "--model-config"),
     ("resume", "the same command")],
)  # fmt: skip
def test_a_model_gets_no_setting_of_its_own_that_the_grid_sets(name: str, option: str) -> None:
    """The grid's value would win, or every run would fail with the setting given twice."""
    options = GridOptions("tiny", "1", Path("out"), own=[f"BPR.{name}=7"])
    with pytest.raises(UserError, match=rf"--set BPR\.{name}`: .* use {option}"):
        options.plan({"BPR": "BPR"})


def test_a_setting_of_one_model_is_given_once() -> None:
    options = GridOptions("tiny", "1", Path("out"), own=["BPR.epochs=1", "BPR.epochs=2"])
    with pytest.raises(UserError, match=r"BPR\.epochs occurs twice"):
        options.plan({"BPR": "BPR"})


def test_a_replaced_mapping_is_named_once_by_every_command(
    tiny_data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The split of the file is not used, which nothing else says."""
    file = tmp_path / "split.yaml"
    file.write_text("protocol: random\neval_args: {split: {LS: valid_and_test}}\n")
    words = [f"--config_files={file}", "--eval_args={mode: uni20}"]
    line = f"`eval_args` (command line) replaces the whole mapping: `split` of file {file}"
    run = run_main(tiny_data, tmp_path, "BPR", *words, name="x")
    assert run.code == 0 and run.err.count(line) == 1
    assert line in (run.folder / "train.log").read_text()

    options = GridOptions(
        "tiny",
        "2",
        tmp_path,
        config_files=str(file),
        settings=[f"--data_path={tiny_data}", words[1]],
    )
    plan = options.plan({"BPR": "BPR", "Pop": "Pop"})
    for model in ("BPR", "Pop"):
        plan.row(model, model)
    assert capsys.readouterr().err.count(line) == 1

    assert _given(["--model=BPR", "--dataset=tiny", *words])["eval_args"] == {"mode": "uni20"}
    assert capsys.readouterr().err.count(line) == 1


def test_settings_of_files_that_the_grid_sets_are_named(
    tiny_data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A seed in a file is not that of the runs; the `best.yaml` of a search names its own model."""
    common, own = tmp_path / "common.yaml", tmp_path / "best.yaml"
    common.write_text("seed: 7\noutput_dir: there\n")
    own.write_text("model: BPR\ndataset: tiny\nlearning_rate: 0.01\nseed: 0\n")
    options = GridOptions(
        "tiny",
        "2",
        tmp_path,
        config_files=str(common),
        own_files=[f"BPR={own}"],
        settings=[f"--data_path={tiny_data}"],
    )
    plan = options.plan({"BPR": "BPR", "Pop": "Pop"})
    rows = [plan.row(model, model) for model in ("BPR", "Pop")]
    assert [run.seed for row in rows for run in row.runs] == [0, 1, 0, 1]
    lines = sorted(capsys.readouterr().err.splitlines())
    assert lines == [
        f"`output_dir: there` (file {common}) has no effect: a grid sets this itself; use --output",
        f"`seed: 0` (file {own}) has no effect: a grid sets this itself; use --seeds",
        f"`seed: 7` (file {common}) has no effect: a grid sets this itself; use --seeds",
    ]

    wrong = replace(options, seeds="0,", config_files="", own_files=[f"Pop={own}"])
    plan = wrong.plan({"BPR": "BPR", "Pop": "Pop"})
    plan.row("Pop", "Pop")
    assert capsys.readouterr().err.splitlines() == [
        f"`model: BPR` (file {own}) has no effect: a grid sets this itself; use --models"
    ]


@pytest.mark.parametrize("command", ["benchmark", "ablate"])
def test_settings_without_effect_are_named_once(
    command: str, tiny_data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """They were named in the logs of the runs alone; rows are named unless it is all of them."""
    options = {
        "benchmark": ("--models=BPR,Pop,UltraGCN", "--set=UltraGCN.require_pow=True"),
        "ablate": ("--what=losses,recall_curve", "--set=UltraGCN.require_pow=True"),
    }
    words = ("--dataset=tiny", f"--data_path={tiny_data}", "--seeds=2", f"--output={tmp_path}")
    assert main([command, *words, *options[command], "--wandb_project=x", "--dry-run"]) == 0
    lines = [line for line in capsys.readouterr().err.splitlines() if "has no effect" in line]
    assert len(lines) == 2
    of_all, of_one = sorted(lines, key=lambda line: "require_pow" in line)
    assert of_all.startswith("`wandb_project` has no effect") and "BPR" not in of_all
    assert of_one.startswith("`require_pow` has no effect") and of_one.endswith(" (UltraGCN)")
