"""Full disks, limits and read-only folders: one line, the last good state, no temporary files."""

from __future__ import annotations

import errno
import json
import os
import resource
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from support import SHORT_STAGES, Finished, run_main

from recbole_painvrl.atomic import atomic_file, remove_temporary, write_bytes, write_json
from recbole_painvrl.cli.run import main
from recbole_painvrl.data.folder import write_dataset
from recbole_painvrl.data.planted import PlantedDesign, generate_planted
from recbole_painvrl.errors import WriteError
from recbole_painvrl.run.program import shell_command

REASONS = {
    errno.ENOSPC: "free some space",
    errno.EDQUOT: "free some space or raise the quota",
    errno.EFBIG: "ulimit -f",
    errno.EROFS: "make its folder writable",
    errno.EACCES: "make its folder writable",
}


def failing(number: int, call: int = 0) -> Any:
    """An ``os.fsync`` that fails once, at the n-th call."""
    original, calls = os.fsync, iter(range(10**6))

    def fsync(handle: int) -> None:
        if next(calls) == call:
            raise OSError(number, os.strerror(number))
        original(handle)

    return fsync


@pytest.mark.parametrize(("number", "advice"), REASONS.items())
def test_a_refused_write_names_the_file_and_keeps_the_old_one(
    number: int, advice: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "result.json"
    write_bytes(path, b"old")
    monkeypatch.setattr(os, "fsync", failing(number))
    with pytest.raises(WriteError) as caught:
        write_bytes(path, b"new")
    message = str(caught.value)
    assert message.startswith(f"{path}: cannot be written ({os.strerror(number)})")
    assert advice in message and "\n" not in message
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize(
    "error",
    [
        FileNotFoundError(errno.ENOENT, "No such file", "input.csv"),
        RuntimeError("input.csv"),
        KeyboardInterrupt("input.csv"),
    ],
)
def test_another_error_is_not_reported_as_a_full_disk(error: BaseException, tmp_path: Path) -> None:
    """It leaves the old file and nothing else, too."""
    path = tmp_path / "sub" / "x"
    write_bytes(path, b"old")

    def read_input() -> None:
        with atomic_file(path) as stream:
            stream.write(b"half")
            raise error

    with pytest.raises(type(error), match=r"input\.csv"):
        read_input()
    assert path.read_bytes() == b"old"
    assert list(path.parent.iterdir()) == [path]


def test_json_refuses_what_json_has_no_name_for(tmp_path: Path) -> None:
    write_json(tmp_path / "a.json", {"x": [1, None]})
    assert json.loads((tmp_path / "a.json").read_text()) == {"x": [1, None]}
    with pytest.raises(ValueError, match="JSON compliant"):
        write_json(tmp_path / "b.json", {"x": float("nan")})
    assert not (tmp_path / "b.json").exists()


def test_temporary_files_of_a_killed_process_are_removed(tmp_path: Path) -> None:
    (tmp_path / "checkpoint").mkdir()
    left = tmp_path / "checkpoint" / ".best.safetensors.77.aa.tmp"
    left.write_bytes(b"half")
    (tmp_path / "result.json").write_text("{}")
    assert remove_temporary(tmp_path) == [left.name]
    assert [path.name for path in tmp_path.rglob("*") if path.is_file()] == ["result.json"]


def hidden(folder: Path) -> list[str]:
    return [path.name for path in folder.rglob(".*")]


@pytest.fixture(scope="module")
def whole(tiny_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Finished:
    return run_main(tiny_data, tmp_path_factory.mktemp("whole"), "UltraGCN", name="whole")


@pytest.mark.parametrize("save", [1, 3, 6])
def test_a_run_on_a_full_disk_can_be_resumed(
    save: int, whole: Finished, tiny_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # A file and its folder are synced: two calls for every save, the configuration's first.
    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", failing(errno.ENOSPC, 2 * save))
        full = run_main(tiny_data, tmp_path, "UltraGCN", name="full")
    assert full.code == 1
    line = full.err.splitlines()[-1]
    assert "cannot be written (No space left on device)" in line and str(full.folder) in line
    assert line.endswith(f"free some space; then go on with: {shell_command(resume=full.folder)}")
    assert not (full.folder / "result.json").exists() and hidden(full.folder) == []
    assert main([f"--resume={full.folder}", "--show_progress=False"]) == 0
    for name in ("checkpoint/best.safetensors", "per_user.parquet"):
        assert (full.folder / name).read_bytes() == (whole.folder / name).read_bytes()


def test_a_limit_on_file_sizes(tiny_data: Path, tmp_path: Path) -> None:
    """A write that the operating system refuses."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (40_000, before[1]))
    try:
        run = run_main(tiny_data, tmp_path, "PaInvRL", *SHORT_STAGES, name="x")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert run.code == 1
    assert "Traceback" not in run.err
    line = run.err.splitlines()[-1]
    assert "cannot be written (File too large)" in line and "ulimit -f" in line
    assert "checkpoint" in line
    assert not hidden(tmp_path / "runs" / "x")


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 300 kB, where the tests may mount one."""
    place = tmp_path / "disk"
    place.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=300k", "none", str(place)]
    if shutil.which("mount") is None or subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("only root can mount a small file system")
    yield place
    subprocess.run(["umount", "-l", str(place)], check=True)


def test_a_full_disk(tiny_data: Path, small_disk: Path) -> None:
    run = run_main(tiny_data, small_disk, "UltraGCN", name="x")
    assert run.code == 1
    assert "Traceback" not in run.err
    assert "cannot be written (No space left on device)" in run.err.splitlines()[-1]
    assert hidden(run.folder) == []
    with pytest.raises(WriteError, match=r"toy: cannot be written \(No space left on device\)"):
        write_dataset(generate_planted(PlantedDesign(n_users=200), "toy"), small_disk / "toy")
    assert not list(small_disk.glob("*toy*"))
