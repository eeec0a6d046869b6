"""Two processes that write, killed ones, and file systems without locks."""

from __future__ import annotations

import errno
import fcntl
import multiprocessing
import os
import signal
import socket
import threading
import time
from pathlib import Path
from typing import Any

import pytest
from filelock import FileLock
from support import run_main

from recbole_painvrl import locks
from recbole_painvrl.cli.run import main
from recbole_painvrl.data.folder import read_manifest, write_dataset
from recbole_painvrl.data.planted import PlantedDesign, generate_planted
from recbole_painvrl.errors import UserError, WriteError
from recbole_painvrl.locks import (
    LOCK,
    HeldError,
    file_lock,
    holder,
    in_turn,
    remove_abandoned,
    run_lock,
)

FORK = multiprocessing.get_context("fork")
SMALL = PlantedDesign(
    n_users=30, n_items=30, min_interactions=5, max_interactions=6, modalities={"v": 4}
)


def test_the_holder_is_named_and_the_file_is_removed(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    with file_lock(path):
        assert holder(path) == f"{os.getpid()} on {socket.gethostname()}"
        with pytest.raises(HeldError, match=f"^{os.getpid()} on "), file_lock(path):
            pass
        assert path.exists()
    assert not path.exists() and holder(path) == ""


def test_looking_for_a_holder_is_no_holding(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As `doctor` or another command may do at the moment at which a run begins."""
    monkeypatch.setattr(locks, "_MOMENT", 30.0)
    look = FileLock(tmp_path / LOCK, thread_local=False)
    look.acquire()
    timer = threading.Timer(0.03, look.release)
    timer.start()
    with run_lock(tmp_path):
        timer.join()


def test_looking_for_a_holder_makes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A folder removed at that moment came back, and the run that makes it again failed."""
    monkeypatch.setattr(Path, "is_file", lambda path: True)
    assert holder(tmp_path / "gone" / LOCK) == ""
    assert not list(tmp_path.iterdir())


def test_a_removed_run_is_not_made_by_its_lock(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="was removed"), run_lock(tmp_path / "gone"):
        pass
    assert not list(tmp_path.iterdir())


def _hold_and_die(path: Path) -> None:
    with file_lock(path):
        os.kill(os.getpid(), signal.SIGKILL)


def test_the_lock_of_a_killed_process_is_taken_over(tmp_path: Path) -> None:
    process = FORK.Process(target=_hold_and_die, args=(tmp_path / LOCK,))
    process.start()
    process.join(60)
    assert (tmp_path / LOCK).read_text().startswith(f"{process.pid}\n")
    assert holder(tmp_path / LOCK) == ""
    with run_lock(tmp_path):
        assert (tmp_path / LOCK).read_text().startswith(f"{os.getpid()}\n")
    assert not (tmp_path / LOCK).exists()


def test_a_released_lock_is_taken_by_one(tmp_path: Path) -> None:
    """Waiting threads have opened the file that its holder removes."""
    path, waited = tmp_path / "lock", []

    def wait() -> None:
        with file_lock(path, waited.append):
            assert holder(path) == f"{os.getpid()} on {socket.gethostname()}"

    with file_lock(path):
        threads = [threading.Thread(target=wait) for _ in range(3)]
        for thread in threads:
            thread.start()
        while len(waited) < 3:
            time.sleep(0.01)
    for thread in threads:
        thread.join(60)
    assert not path.exists()


def test_a_file_system_without_locks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def flock(*_: Any) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(fcntl, "flock", flock)
    with (
        run_lock(tmp_path),
        pytest.raises(UserError, match=f"process {os.getpid()} on"),
        run_lock(tmp_path),
    ):
        pass
    assert list(tmp_path.iterdir()) == []
    process = FORK.Process(target=_hold_and_die, args=(tmp_path / LOCK,))
    process.start()
    process.join(60)
    assert (tmp_path / LOCK).is_file()
    assert holder(tmp_path / LOCK) == "", "a killed process holds no lock"
    with run_lock(tmp_path):
        assert holder(tmp_path / LOCK) == f"{os.getpid()} on {socket.gethostname()}"


@pytest.mark.parametrize("error", [errno.ENOSPC, errno.EACCES])
def test_a_lock_that_cannot_be_written_is_one_line(
    error: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also those of trials and of runs of a grid, which are then tried again."""

    def refuse(*_: Any, **__: Any) -> None:
        raise OSError(error, os.strerror(error))

    path = tmp_path / ".lock"
    monkeypatch.setattr(Path, "write_text", refuse)
    with pytest.raises(WriteError, match=r"\.lock: cannot be written"), file_lock(path):
        pytest.fail("the lock is held")
    assert not path.exists()


def test_a_long_wait_names_the_holder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(locks, "_LONG", 0.1)
    path, is_held = tmp_path / ".lock", threading.Event()

    def hold() -> None:
        with file_lock(path):
            is_held.set()
            time.sleep(0.4)

    other = threading.Thread(target=hold)
    other.start()
    is_held.wait()
    with in_turn(path):
        other.join()
    assert f"process {os.getpid()} on {socket.gethostname()}" in caplog.text
    assert str(path) in caplog.text


def test_only_abandoned_folders_are_removed(tmp_path: Path) -> None:
    old = time.time() - 3600
    for name in ("used.tmp", "abandoned.tmp", "young.tmp"):
        (tmp_path / name).mkdir()
        if name != "young.tmp":
            os.utime(tmp_path / name, (old, old))
    with file_lock(tmp_path / "used.lock"):
        remove_abandoned(tmp_path.glob("*.tmp"))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["used.tmp", "young.tmp"]


def _write(folder: Path) -> None:
    try:
        write_dataset(generate_planted(SMALL, "toy"), folder)
    except UserError as error:
        os._exit(3 if "another process" in str(error) or "exists" in str(error) else 4)


def test_two_preparations_of_one_folder(tmp_path: Path) -> None:
    left = tmp_path / ".toy.0123.tmp"
    left.mkdir()
    os.utime(left, (0, 0))
    both = [FORK.Process(target=_write, args=(tmp_path / "toy",)) for _ in range(2)]
    for process in both:
        process.start()
    for process in both:
        process.join(60)
    assert sorted(process.exitcode or 0 for process in both) == [0, 3]
    assert read_manifest(tmp_path / "toy")["sha256"]
    assert [path.name for path in tmp_path.iterdir()] == ["toy"]


def test_a_run_that_ended_meanwhile_is_not_run_again(
    tiny_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    """The result appears after the command line has looked for it and before the lock is held."""
    run = run_main(tiny_data, tmp_path, "BPR", name="x")
    result = run.folder / "result.json"
    content = result.read_bytes()
    result.unlink()
    from recbole_painvrl.run import runner

    def lock(folder: Path) -> Any:
        result.write_bytes(content)
        return run_lock(folder)

    monkeypatch.setattr(runner, "run_lock", lock)
    assert main([f"--resume={run.folder}", "--show_progress=False"]) == 2
    assert "the run is complete" in capsys.readouterr().err
    assert result.read_bytes() == content
