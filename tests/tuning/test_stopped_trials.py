"""Trials that are stopped at moments outside their runs: none is lost, none is made twice."""

from __future__ import annotations

import csv
import threading
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from optuna import Study
from optuna.trial import TrialState

from recbole_painvrl.errors import WriteError
from recbole_painvrl.locks import file_lock, holder
from recbole_painvrl.tuning import results
from recbole_painvrl.tuning import study as study_module
from recbole_painvrl.tuning import trial as trial_module
from recbole_painvrl.tuning import worker as worker_module
from recbole_painvrl.tuning.space import Interval
from recbole_painvrl.tuning.study import FOLDER, Search

Tune = Callable[..., int]


def _rows(tmp_path: Path) -> list[dict[str, str]]:
    with open(tmp_path / "search" / "trials.csv", encoding="utf-8") as stream:
        return list(csv.DictReader(stream))


@pytest.mark.parametrize("place", ["choosing its values", "writing its result"])
@pytest.mark.parametrize("error", [KeyboardInterrupt, WriteError("disk full")])
def test_a_trial_that_is_stopped_outside_its_run_goes_on(
    place: str,
    error: BaseException | type[BaseException],
    tune: Tune,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Neither is a failure of the trial, of which the search would have one fewer."""

    def stop(*_: Any) -> None:
        raise error

    with monkeypatch.context() as stopping:
        if place == "choosing its values":
            stopping.setattr(Interval, "suggest", stop)
        else:
            stopping.setattr(trial_module, "write_json", stop)
        assert tune("--trials=1") == 1
    assert _rows(tmp_path) == []
    assert tune("--trials=1") == 0
    (row,) = _rows(tmp_path)
    assert (row["state"], row["learning_rate"]) == ("complete", "0.001"), row["reason"]


def test_results_are_read_and_written_in_turn(
    tune: Tune, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A command that ended later could replace the files of all trials by its own, with fewer."""
    lock, held = tmp_path / "search" / ".results.lock", []

    def look(function: Callable[[Any], Any]) -> Callable[[Any], Any]:
        return lambda found: held.append(holder(lock)) or function(found)

    for name in ("outcome", "write_results"):
        monkeypatch.setattr(results, name, look(getattr(results, name)))
    monkeypatch.setattr("recbole_painvrl.tuning.worker.work", lambda *_: None)
    assert tune("--trials=1") == 1
    assert len(held) == 2 and all(held) and not lock.exists()


def test_a_line_that_was_cut_during_the_search_does_not_damage_the_journal(
    tune: Tune, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of a full disk, or a killed worker: the next line of any worker was joined to it."""

    def cut(plan: Any, say: Any, until: float) -> None:
        search, other = Search(plan), Search(plan)
        with open(plan.storage, "ab") as stream:
            stream.write(b'{"op_code":5,"worker')
        search.study.set_user_attr("a", 1)
        assert other.study.user_attrs["a"] == 1

    monkeypatch.setattr("recbole_painvrl.tuning.worker.work", cut)
    for _ in range(2):
        assert tune("--trials=1") == 1


def test_a_trial_is_queued_again_once(tune: Tune, monkeypatch: pytest.MonkeyPatch) -> None:
    """A process may be killed when it has queued its trial and not yet ended it."""
    states = []

    def ask_and_die(plan: Any, say: Any, until: float) -> None:
        search = Search(plan)
        search.queue_again(search.study.ask().number)

    def look(plan: Any, say: Any, until: float) -> None:
        states.extend(trial.state.name for trial in Search(plan).study.trials)

    monkeypatch.setattr("recbole_painvrl.tuning.worker.work", ask_and_die)
    assert tune("--trials=1") == 1
    monkeypatch.setattr("recbole_painvrl.tuning.worker.work", look)
    assert tune("--trials=1") == 1
    assert states == ["FAIL", "WAITING"]


def test_a_trial_that_ends_while_another_worker_looks_is_not_dead(
    tune: Tune, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It ended between the look at its state and the look at its lock, and was run again."""

    def end_and_look(plan: Any, say: Any, until: float) -> None:
        search = Search(plan)
        trial = search.study.ask()
        for name, domain in search.plan.space.items():
            domain.suggest(trial, name)
        trial.set_user_attr(FOLDER, str(search.folder(trial)))

        def end(lock: Path) -> str:
            search.study.tell(trial, [0.5, 0.5])
            return ""

        with monkeypatch.context() as ending:
            ending.setattr(study_module, "holder", end)
            assert Search(plan).take_over() == 0

    monkeypatch.setattr("recbole_painvrl.tuning.worker.work", end_and_look)
    assert tune("--trials=1") == 0
    (row,) = _rows(tmp_path)
    assert (row["state"], float(row["valid ndcg@10"])) == ("complete", 0.5)


def test_a_trial_is_run_in_which_another_process_is_stopped(
    tune: Tune, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """It was the last one; the other processes had ended, and the search ended without it."""
    work = worker_module.work

    def work_beside_another(plan: Any, say: Any, until: float) -> None:
        def stop() -> None:
            time.sleep(0.3)
            other.queue_again(trial.number)
            other.study.tell(trial, state=TrialState.FAIL)
            lock.close()

        other, lock = Search(plan), ExitStack()
        trial = other.study.ask()
        lock.enter_context(file_lock(other._lock(trial.number)))
        process = threading.Thread(target=stop)
        process.start()
        work(plan, say, until)
        process.join()

    monkeypatch.setattr(worker_module, "work", work_beside_another)
    assert tune("--trials=1") == 0
    (row,) = _rows(tmp_path)
    assert (row["state"], row["learning_rate"]) == ("complete", "0.001")
    assert capsys.readouterr().out.count("waiting for trials of other processes") == 1


def test_the_defaults_are_tried_after_a_kill_amid_the_start(
    tune: Tune, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Killed between two writes of a new study, the search went on without the defaults."""
    original = Study.set_user_attr

    def killed(attribute: str, before: bool) -> Callable[..., None]:
        def write(own: Study, name: str, value: Any) -> None:
            if name != attribute:
                return original(own, name, value)
            if not before:
                original(own, name, value)
            raise KeyboardInterrupt

        return write

    for place in (("id", False), ("identity", True), ("identity", False)):
        with monkeypatch.context() as patch:
            patch.setattr(Study, "set_user_attr", killed(*place))
            assert tune("--trials=2") == 1
    assert tune("--trials=2") == 0
    rows = _rows(tmp_path)
    assert [row["learning_rate"] for row in rows].count("0.001") == 1
    assert len(rows) == 2


def test_the_lock_of_a_journal_can_be_seen_to_be_abandoned(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A lock that was a link led nowhere, and was waited for without end."""
    locks: list[Any] = []
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(study_module, "_check_lines", lambda journal, lock: locks.append(lock))
    study_module._open_storage("runs/search/study.journal")
    locks[0].acquire()

    (tmp_path / "runs").rename(tmp_path / "moved")
    study_module._open_storage("moved/search/study.journal")
    assert Path("moved/search/study.journal.lock").is_file(), "another process may hold it"
    locks[1].grace_period = 0.1
    assert locks[1].acquire()
