"""Searches through the command line: objectives, locks, resumption, failures, files."""

from __future__ import annotations

import csv
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from forks import SUBPROCESS
from optuna.storages import fail_stale_trials
from support import result_of, run_command

from recbole_painvrl.cli.run import main as run_main
from recbole_painvrl.data.splits.base import LockedTests
from recbole_painvrl.experiments import launch
from recbole_painvrl.run.runner import Run
from recbole_painvrl.tuning import study as study_module
from recbole_painvrl.tuning import worker as worker_module
from recbole_painvrl.tuning.study import FOLDER, Search
from recbole_painvrl.tuning.trial import Watch

Tune = Callable[..., int]


def rows(tmp_path: Path, name: str = "trials") -> list[dict[str, str]]:
    with open(tmp_path / "search" / f"{name}.csv", encoding="utf-8") as stream:
        return list(csv.DictReader(stream))


def test_a_search_that_was_moved_names_its_folders(
    tune: Tune, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert tune("--trials=1") == 0
    capsys.readouterr()
    moved = (tmp_path / "search").rename(tmp_path / "moved")
    assert tune("--trials=1", f"--output={moved}") == 0
    out = capsys.readouterr().out
    assert "resuming: 1 of 1 trials have ended" in out
    assert f"--resume={moved / 'trial-0000'}" in out
    for name in ("trials.csv", "front.csv", "best.yaml"):
        text = (moved / name).read_text()
        assert str(moved / "trial-0000") in text and str(tmp_path / "search") not in text


def test_a_search_and_its_files(
    tune: Tune, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    tests: list[LockedTests] = []
    construct = Run.__init__

    def spy(self: Run, *args: Any) -> None:
        construct(self, *args)
        tests.append(self.tests)
        assert self.valid is not None and self.valid.history == [self.train]

    monkeypatch.setattr(Run, "__init__", spy)
    assert tune("--trials=3") == 0
    # Not one test set was unlocked.
    assert len(tests) == 3
    assert all(locked.names == ["test", "ood"] and not locked._open for locked in tests)
    out = capsys.readouterr().out
    assert "ndcg@10 on IID validation and ndcg@10 on OOD validation" in out
    assert "Pareto front:" in out
    assert {path.name for path in (tmp_path / "search").iterdir()} == {
        ".search", "best.yaml", "front.csv", "front.pdf", "front.png", "front.svg",
        "study.journal",
        "trial-0000", "trial-0001", "trial-0002", "trials.csv",
    }  # fmt: skip
    trials = rows(tmp_path)
    # The first trial has the defaults, the others do not repeat each other.
    assert (trials[0]["learning_rate"], trials[0]["n_negatives"]) == ("0.001", "512")
    assert len({row["learning_rate"] for row in trials}) == 3
    (chosen,) = (row for row in rows(tmp_path, "front") if row["chosen"])
    files = {path.name for path in Path(chosen["folder"]).iterdir()}
    assert "trial.json" in files and not files & {"result.json", "per_user.parquet"}
    best = yaml.safe_load((tmp_path / "search" / "best.yaml").read_text())
    assert best["select_on"] == "harmonic"
    assert best["learning_rate"] == float(chosen["learning_rate"])
    # The property file repeats the trial as a run, with the same validation figures.
    again = run_command(
        f"--config_files={tmp_path / 'search' / 'best.yaml'}", f"--output_dir={tmp_path}",
        "--show_progress=False", name="again",
    )  # fmt: skip
    assert again.result["metrics"]["valid"]["ndcg@10"] == float(chosen["valid ndcg@10"])
    shifted = again.result["stages"][-1]["best_valid"]["ood_ndcg@10"]
    assert float(chosen["ood_valid ndcg@10"]) == pytest.approx(shifted)
    # The trial itself gives the same test figures without another epoch.
    assert run_main([f"--resume={chosen['folder']}", "--show_progress=False"]) == 0
    resumed = result_of(Path(chosen["folder"]))
    assert resumed["metrics"] == again.result["metrics"]
    # The same command has nothing left to do; a larger number goes on.
    monkeypatch.setattr(worker_module, "run_trial", lambda *_: pytest.fail("a trial began"))
    assert tune("--trials=3") == 0
    assert "resuming: 3 of 3 trials have ended" in capsys.readouterr().out


def test_an_interrupted_trial_goes_on_in_its_folder(
    tune: Tune, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert tune("--trials=3", "--epochs=4", f"--output={tmp_path / 'whole'}") == 0
    original = Watch.__call__
    calls = []

    def stop(self: Watch, score: float, result: Any) -> None:
        calls.append(score)
        original(self, score, result)
        # In the middle of the second trial.
        if len(calls) == 6:
            raise KeyboardInterrupt

    monkeypatch.setattr(Watch, "__call__", stop)
    assert tune("--trials=3", "--epochs=4") == 1
    assert "re-running the command resumes" in capsys.readouterr().err
    assert len(rows(tmp_path)) == 1
    assert tune("--trials=3", "--epochs=4") == 0
    trials = rows(tmp_path)
    assert [Path(row["folder"]).name[-4:] for row in trials] == ["0000", "0001", "0003"]
    log = (tmp_path / "search" / "trial-0001" / "train.log").read_text()
    assert log.count("run folder:") == 2
    with open(tmp_path / "whole" / "trials.csv", encoding="utf-8") as stream:
        whole = list(csv.DictReader(stream))
    # The third trial has the values that it has without the interruption.
    for name in ("learning_rate", "n_negatives", "valid ndcg@10", "ood_valid ndcg@10"):
        assert [row[name] for row in trials] == [row[name] for row in whole]


def test_an_interrupted_trial_goes_on_in_another_working_directory(
    tune: Tune, tiny_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It failed: it looked for its data where they were, seen from the first directory."""

    def stop(self: Watch, score: float, result: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as stopping:
        stopping.setattr(Watch, "__call__", stop)
        stopping.chdir(tiny_data)
        assert tune("--trials=1", "--data_path=.") == 1
    monkeypatch.chdir(tmp_path)
    assert tune("--trials=1", f"--data_path={os.path.relpath(tiny_data)}") == 0
    (row,) = rows(tmp_path)
    assert row["state"] == "complete", row["reason"]
    assert (tmp_path / "search" / "trial-0000" / "train.log").read_text().count("run folder:") == 2


def test_a_choice_that_is_a_list_is_a_list_in_the_files(tune: Tune, tmp_path: Path) -> None:
    """The study stores it as text."""
    space = tmp_path / "lists.yaml"
    space.write_text("mlp_hidden_size: {choices: [[8], [16, 8]]}\n")
    assert tune("--trials=1", "--model=NeuMF", "--epochs=1", f"--space={space}") == 0
    best = yaml.safe_load((tmp_path / "search" / "best.yaml").read_text())
    assert best["mlp_hidden_size"] in ([8], [16, 8])


@pytest.mark.parametrize("storage", ["", "sqlite:///study.db"])
def test_the_trial_of_a_killed_worker_is_taken_over(
    storage: str,
    tune: Tune,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """By its lock; in a database by its heartbeat."""
    words = [f"--storage={storage}"] if storage else []
    first = {}

    def ask_and_die(plan: Any, say: Any, until: float) -> None:
        first.update(plan.defaults)
        trial = Search(plan).study.ask()
        if not storage:
            # Its run had no checkpoint yet.
            folder = plan.output / "trial-0000"
            trial.set_user_attr(FOLDER, str(folder))
            folder.mkdir()
            (folder / "config.yaml").write_text("{}")

    with monkeypatch.context() as dying:
        dying.setattr("recbole_painvrl.tuning.worker.work", ask_and_die)
        assert tune("--trials=1", *words) == 1
    if storage:
        stale = "optuna.storages.RDBStorage._get_stale_trial_ids"
        monkeypatch.setattr(stale, lambda storage, study: [1] if not done else [])
        done: list[int] = []
        monkeypatch.setattr(study_module, "fail_stale_trials", once(fail_stale_trials, done))
    assert tune("--trials=1", *words) == 0
    out = capsys.readouterr().out
    assert storage or "1 of killed workers are resumed" in out
    (row,) = rows(tmp_path)
    assert row["state"] == "complete", row["reason"]
    # It died before it asked for its values, and still has those of the first trial.
    assert {name: float(row[name]) for name in first} == first


@pytest.mark.filterwarnings("ignore:Heartbeat of storage")
def test_a_trial_in_a_database_may_be_of_another_machine(
    tune: Tune, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its heart still beats. What has a lock here that nobody holds was of a worker here."""
    plans: list[Any] = []
    monkeypatch.setattr(
        "recbole_painvrl.tuning.worker.work", lambda plan, say, until: plans.append(plan)
    )
    assert tune("--trials=1", f"--storage=sqlite:///{tmp_path / 'study.db'}") == 1
    search = Search(plans[0])
    number = search.study.ask().number
    assert search.take_over() == 0
    (tmp_path / "search" / f".trial-{number:04d}.lock").touch()
    assert search.take_over() == 1


def once(function: Any, done: list[int]) -> Any:
    def call(study: Any) -> None:
        function(study)
        done.append(1)

    return call


def test_failed_and_hopeless_trials_are_recorded(
    tune: Tune, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    number = iter(range(3))

    def validate(run: Run) -> dict[str, dict[str, float]]:
        here = next(number)
        if here == 1:
            raise RuntimeError("a planted\nfault")
        if here == 2:
            # Four peers, all better in both objectives, after four validations.
            watch = run.trainer.on_valid
            run.trainer.stage, run.trainer.train_loss_dict = "train", dict.fromkeys(range(4), 0.0)
            watch.search.peers = lambda own, rung: [[0.9, 0.9]] * 4
            watch(0.1, {"ndcg@10": 0.1, "ood_ndcg@10": 0.1})
        return {"valid": {"ndcg@10": 0.3}, "ood_valid": {"ndcg@10": 0.2}}

    monkeypatch.setattr(Run, "validate", validate)
    assert tune("--trials=3") == 0
    trials = rows(tmp_path)
    assert [row["state"] for row in trials] == ["complete", "failed", "pruned"]
    assert trials[1]["reason"] == "RuntimeError: a planted fault"
    assert trials[2]["reason"] == "hopeless after 4 validations"


def test_one_objective_without_an_ood_part(
    tune: Tune, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert tune("--trials=1", "--protocol=random", "--epochs=1") == 0
    out = capsys.readouterr().out
    assert "one objective, since this protocol has no OOD validation split" in out
    assert "ood_valid ndcg@10" not in rows(tmp_path)[0]


def test_the_front_and_the_choice(
    tune: Tune, tmp_path: Path, monkeypatch: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    """A front known by construction, by falling IID value; the harmonic mean chooses."""
    figures = iter([(0.1, 0.9), (0.5, 0.5), (0.4, 0.5), (0.9, 0.1), (0.9, 0.05)])

    rules = set()

    def validate(run: Run) -> dict[str, dict[str, float]]:
        rules.add(run.config["select_on"])
        iid, ood = next(figures)
        return {"valid": {"ndcg@10": iid}, "ood_valid": {"ndcg@10": ood}}

    monkeypatch.setattr(Run, "validate", validate)
    assert tune("--trials=5") == 0
    front = rows(tmp_path, "front")
    assert [row["trial"] for row in front] == ["3", "1", "0"]
    assert [row["chosen"] for row in front] == ["", "yes", ""]
    assert rules == {"harmonic"}, "epochs are chosen by the same rule"
    assert "(0.5000; the defaults, trial 0, have 0.1800)" in capsys.readouterr().out


def test_another_seed_draws_other_trials(
    tune: Tune, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    points = {"valid": {"ndcg@10": 0.3}, "ood_valid": {"ndcg@10": 0.2}}
    monkeypatch.setattr(Run, "validate", lambda run: points)
    drawn = []
    for seed in (1, 2):
        folder = tmp_path / str(seed)
        assert tune("--trials=2", f"--seed={seed}", f"--output={folder / 'search'}") == 0
        drawn.append([row["learning_rate"] for row in rows(folder)])
    # The defaults, then a draw.
    assert drawn[0][0] == drawn[1][0] and drawn[0][1] != drawn[1][1]


def test_no_trial_starts_when_the_time_is_over(tune: Tune, tmp_path: Path) -> None:
    assert tune("--trials=1", "--timeout=0.000001") == 1
    assert rows(tmp_path) == []


def test_two_workers(
    tune: Tune, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(launch, "subprocess", SUBPROCESS)
    assert tune("--trials=3", "--workers=2", "--epochs=1") == 0
    assert len({row["folder"] for row in rows(tmp_path)}) == 3
    assert [row["state"] for row in rows(tmp_path)] == ["complete"] * 3
    out = capsys.readouterr().out
    assert [out.count(f"\ntrial {number}: ndcg@10 on IID") for number in range(3)] == [1, 1, 1]


def test_an_interrupted_trial_with_text_values_goes_on(
    tune: Tune, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The dataset rewrites `val_interval`."""

    def stop(self: Watch, score: float, result: Any) -> None:
        assert torch.get_num_threads() == 2
        raise KeyboardInterrupt

    words = ("--trials=1", "--protocol=random", "--val_interval={}", "--n_threads=2")
    with monkeypatch.context() as stopping:
        stopping.setattr(Watch, "__call__", stop)
        assert tune(*words) == 1
    assert tune(*words) == 0


def test_a_journal_that_was_cut_is_mended(
    tune: Tune, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert tune("--trials=1") == 0
    journal = tmp_path / "search" / "study.journal"
    journal.write_bytes(journal.read_bytes()[:-20])
    for trials in (2, 3):
        assert tune(f"--trials={trials}") == 0, capsys.readouterr().err
    assert [row["state"] for row in rows(tmp_path)] == ["complete"] * 3
    journal.write_bytes(journal.read_bytes().replace(b"}\n{", b"{", 1))
    capsys.readouterr()
    assert tune("--trials=4") == 2
    line = capsys.readouterr().err
    assert "study.journal: line 1 is damaged" in line and line.count("\n") == 1


def test_fixed_settings_without_effect_are_named(
    tune: Tune, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A trial says it in its own log, which nobody reads."""
    monkeypatch.setattr("recbole_painvrl.tuning.worker.work", lambda plan, say, until: None)
    assert tune("--trials=1", "--loss_decimal_place=3") == 1
    assert "`loss_decimal_place` has no effect: train.log has" in capsys.readouterr().out
