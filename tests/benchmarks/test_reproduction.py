"""The reproduction script: what it runs, and what it says about a figure."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from benchmarks import common, reproduction
from benchmarks.reproduction import EXPERIMENTS, Experiment, Outcome
from recbole_painvrl.config import config_from_arguments

EXPERIMENT = Experiment(
    name="content", dataset="d", settings="--model=VBPR --epochs=9", metrics=("recall@10",),
    published={"recall@10": (0.2, 0.3)}, tolerance=0.01,
    grid={"a": (1, 2), "b": (3,)}, refit=True, compare=("ids",),
)  # fmt: skip


def outcome(*values: float, refitted: float | None = None) -> Outcome:
    """Runs of seeds 0, 1, ..."""
    runs: list[dict[str, Any]] = [
        {
            "seed": seed,
            "metrics": {"test": {"recall@10": value}},
            "split": {"sizes": {"test": 90}, "cold_dropped": {"test": 10}},
        }
        for seed, value in enumerate(values)
    ]
    again = runs if refitted is None else outcome(*len(values) * [refitted]).runs
    return Outcome(runs=again, choices=runs, epochs=[4])


def test_names_are_unique_and_comparisons_exist() -> None:
    names = [experiment.name for experiment in EXPERIMENTS]
    assert len(set(names)) == len(names)
    assert {name for e in EXPERIMENTS for name in e.compare} <= set(names)
    assert all(set(e.published) <= set(e.metrics) for e in EXPERIMENTS)


@pytest.mark.parametrize(
    ("mean", "words"),
    [(0.195, "agrees"), (0.25, "agrees"), (0.18, "below by 0.0200"), (0.32, "above by 0.0200")],
)
def test_verdict(mean: float, words: str) -> None:
    outcomes = {"content": outcome(mean), "ids": outcome(0.25)}
    found = reproduction.verdict(EXPERIMENT, "recall@10", mean, outcomes)
    assert found == f"{words}; {mean - 0.25:+.4f} against ids"


def test_compared_runs_have_the_same_training_data_and_seeds() -> None:
    ids = outcome(0.1, 0.3, refitted=0.5)
    changes = ({}, {"refit": False}, {"refit": False, "seeds": (1,)})
    found = [
        reproduction.verdict(EXPERIMENT.model_copy(update=one), "recall@10", 0.25, {"ids": ids})
        for one in changes
    ]
    assert found == [
        "agrees; -0.2500 against ids",
        "agrees; +0.0500 against ids without refit",
        "agrees; -0.0500 against ids without refit",
    ]


def test_dropped_pairs_count_as_misses_if_the_published_metrics_count_them() -> None:
    (run,) = outcome(0.5).runs
    assert reproduction.figure(EXPERIMENT, run, "recall@10") == 0.5
    every = EXPERIMENT.model_copy(update={"all_pairs": True})
    assert reproduction.figure(every, run, "recall@10") == pytest.approx(0.45)


def test_runs_choose_by_validation_and_are_reused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The grid is decided by validation, the refit uses the chosen epoch, nothing runs twice."""
    started: list[list[str]] = []

    def run(command: list[str], quiet: bool) -> SimpleNamespace:
        words = dict(word.lstrip("-").split("=", 1) for word in command[2:])
        started.append(command[2:])
        score = {"1": 0.3, "2": 0.5}[words["a"]]
        result = {
            "valid_metric": "Recall@10",
            "stages": [{"best_epoch": 5 * int(words["a"]), "best_valid": {"recall@10": score}}],
            "train_batch_size": 10,
            "split": {"sizes": {"train": 90, "valid": 10}},
            "metrics": {"test": {"recall@10": 1 - score}},
        }
        folder = Path(words["output_dir"]) / words["run_name"]
        folder.mkdir(parents=True)
        (folder / "result.json").write_text(json.dumps(result))
        return SimpleNamespace(code=0)

    monkeypatch.setattr(common, "run_process", run)
    for _ in range(2):
        found = reproduction.run(EXPERIMENT, tmp_path / "data", tmp_path / "out", seeds=2)
    assert found.chosen == ("--a=2", "--b=3")
    assert [score for _, score in found.tried] == [0.3, 0.5]
    # Two of the grid, the second seed's choice, two refits: the first seed's is the grid's.
    assert len(started) == 5
    assert found.epochs == [10, 10]
    refits = [words for words in started if "--validation_share=0" in words]
    assert len(refits) == 2
    # 10 epochs of 9 batches are 9 epochs of 10; the setting of the experiment is replaced.
    assert all("--epochs=9" in words and "--a=2" in words for words in refits)


def test_a_folder_with_other_settings_is_refused(tmp_path: Path) -> None:
    settings = ["--model=VBPR", "--dataset=tiny"]
    stored = config_from_arguments([*settings, "--reg_weight=0.5"]).effective()
    (tmp_path / "config.yaml").write_text(json.dumps(stored))
    common.check_settings(tmp_path, [*settings, "--reg_weight=5e-1"])
    with pytest.raises(SystemExit, match=r"reg_weight=0.5, now it is 0.1; delete the folder"):
        common.check_settings(tmp_path, [*settings, "--reg_weight=0.1"])
    with pytest.raises(SystemExit, match=r"reg_weight=0.5, now it is "):
        common.check_settings(tmp_path, settings)


def test_a_folder_with_other_defaults_is_refused(tmp_path: Path) -> None:
    """The seeds of a row all have the same settings, also those that nobody set."""
    settings = ["--model=VBPR", "--dataset=tiny", "--epochs=2"]
    stored = config_from_arguments([*settings, f"--output_dir={tmp_path}"]).effective()
    (tmp_path / "config.yaml").write_text(json.dumps(stored))
    common.check_settings(tmp_path, settings)
    stored["learning_rate"]["value"] = 0.5
    (tmp_path / "config.yaml").write_text(json.dumps(stored))
    with pytest.raises(SystemExit, match=r"learning_rate=0.5, now it is 0.01; delete"):
        common.check_settings(tmp_path, settings)
