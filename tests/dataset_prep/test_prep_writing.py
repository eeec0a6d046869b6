"""Writing: all or nothing, old or new, and within bounded memory."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from prep_support import done, pairs, prepare, write

from recbole_painvrl.data import folder as folder_module
from recbole_painvrl.data.writing import save_matrix


@pytest.fixture(autouse=True)
def own_temporary_folder(
    tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Runs that are killed here leave their temporary files behind, as any killed run does."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path_factory.mktemp("spool")))


def table(tmp_path: Path, rows: str = "a,x\nb,y\n", vectors: str = "x,1\ny,2\n") -> list[object]:
    events = write(tmp_path / "e.csv", f"user,item\n{rows}")
    matrix = write(tmp_path / "f.csv", f"item,v\n{vectors}")
    return ["table", "--input", events, "--features", f"v={matrix}", "--output", tmp_path / "out"]


def test_an_existing_folder_needs_force(tmp_path: Path) -> None:
    done(*table(tmp_path))
    assert "--force" in prepare(*table(tmp_path, "c,x\nc,y\n")).refusal
    assert pairs(tmp_path / "out") == [("a", "x"), ("b", "y")]
    done(*table(tmp_path, "c,x\nc,y\n"), "--force")
    assert pairs(tmp_path / "out") == [("c", "x"), ("c", "y")]
    assert sorted(p.name for p in tmp_path.iterdir()) == ["e.csv", "f.csv", "out"]


def test_force_spares_what_is_no_dataset(tmp_path: Path) -> None:
    write(tmp_path / "out" / "letters.txt", "precious")
    assert "not a dataset folder" in prepare(*table(tmp_path), "--force").refusal
    assert (tmp_path / "out" / "letters.txt").read_text() == "precious"


def in_child(work: Callable[[], object]) -> int:
    """Run in a forked process; its exit status."""
    child = os.fork()
    if not child:
        code = 1
        try:
            work()
            code = 0
        finally:
            os._exit(code)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


@pytest.mark.parametrize("where", ["save_matrix", "_write_table", "write_json"])
def test_a_killed_run_leaves_the_old_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, where: str
) -> None:
    done(*table(tmp_path))
    before = {p: p.read_bytes() for p in (tmp_path / "out").rglob("*") if p.is_file()}
    arguments = [*table(tmp_path, "c,x\nc,y\n"), "--force"]
    with monkeypatch.context() as patch:
        patch.setattr(folder_module, where, lambda *_, **__: os._exit(9))
        assert in_child(lambda: prepare(*arguments)) == 9
    after = {p: p.read_bytes() for p in (tmp_path / "out").rglob("*") if p.is_file()}
    assert after == before


def test_a_stream_must_keep_its_promise(tmp_path: Path) -> None:
    class Short:
        shape, dtype = (3, 2), np.dtype(np.float32)

        def blocks(self) -> list[np.ndarray]:
            return [np.zeros((2, 2), dtype=np.float32)]

    with open(tmp_path / "m.npy", "wb") as stream, pytest.raises(ValueError, match="2 rows"):
        save_matrix(stream, Short())  # type: ignore[arg-type]


ROOT = Path(__file__).resolve().parents[2]
# In a process of its own: what other tests have left in memory does not count.
LIMITED = """
import resource, sys
from pathlib import Path
import numpy as np
from dataset_prep.__main__ import main

folder = Path(sys.argv[1])
# Everything is imported before memory is counted.
assert main(["table", "--input", str(folder / "few.npy"), "--output", str(folder / "few")]) == 0
used = int(Path("/proc/self/status").read_text().split("VmData:")[1].split()[0]) * 1024
resource.setrlimit(resource.RLIMIT_DATA, (used + 160 * 2**20, used + 160 * 2**20))
try:
    np.load(folder / "f.npy")
except MemoryError:
    sys.exit(main(sys.argv[2:]))
sys.exit("the features fit into memory")
"""


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="needs Linux's limits")
def test_features_larger_than_the_memory_allowed(tmp_path: Path) -> None:
    """192 MB of features and 400,000 interactions with 160 MB to spare."""
    n_items, width = 94_000, 512
    matrix = np.lib.format.open_memmap(tmp_path / "f.npy", "w+", np.float32, (n_items, width))
    rng = np.random.default_rng(0)
    for start in range(0, n_items, 23_500):
        matrix[start : start + 23_500] = rng.random((23_500, width), dtype=np.float32)
    del matrix
    np.save(tmp_path / "f.ids.npy", np.arange(n_items))
    rows = np.stack([rng.integers(0, 9_000, 400_000), rng.permutation(400_000) % n_items], axis=1)
    np.save(tmp_path / "e.npy", rows.astype(np.int32))
    np.save(tmp_path / "few.npy", rows[:50].astype(np.int32))
    words = ["table", "--input", tmp_path / "e.npy", "--features", f"v={tmp_path / 'f.npy'}"]
    words += ["--fix", "standardise", "--dtype", "float16", "--output", tmp_path / "out"]
    limited = subprocess.run(
        [sys.executable, "-c", LIMITED, tmp_path, *words], cwd=ROOT, capture_output=True, text=True
    )
    assert limited.returncode == 0, limited.stderr
    assert np.load(tmp_path / "out" / "features" / "v.npy", mmap_mode="r").shape == (n_items, width)
