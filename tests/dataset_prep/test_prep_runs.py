"""Runs: mistakes are one line, writing is all or nothing, memory is bounded, signals clean up."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from prep_support import done, features, pairs, passed, prepare, refused, table, write
from scipy.io import wavfile

from dataset_prep import options
from dataset_prep.__main__ import main
from recbole_painvrl.data import folder as folder_module

ROOT = Path(options.__file__).parents[1]
EVENTS = "user,item\na,x\nb,y\n"


@pytest.fixture(autouse=True)
def local_temporary_folder(
    tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Runs that are killed leave their temporary files behind."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path_factory.mktemp("spool")))


def test_a_folder_that_cannot_be_written_is_refused_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(tmp_path / "file", "")
    source = ("table", "--input", write(tmp_path / "e.csv", EVENTS), "--output")
    refused(prepare(*source, tmp_path / "file" / "out"), "cannot be written")
    # Root may write everywhere, so that the permission is simulated.
    monkeypatch.setattr(options.os, "access", lambda *_: False)
    refused(prepare(*source, tmp_path / "out"), "cannot be written")
    assert "dry run" in done(*source, tmp_path / "out", "--dry-run").out


def wrong(capsys: pytest.CaptureFixture[str], *arguments: Any) -> str:
    """The one line that the parser prints before it ends with exit code 2."""
    with pytest.raises(SystemExit) as stop:
        main([str(argument) for argument in arguments])
    assert stop.value.code == 2
    printed = capsys.readouterr()
    assert printed.out == "" and printed.err.startswith("error: ")
    assert printed.err.count("\n") == 1 and printed.err.endswith("\n")
    return printed.err


def test_a_misspelt_source_is_guessed() -> None:
    assert "tabel: no such source or command; did you mean `table`?" in prepare("tabel").refusal
    assert "did you mean `describe`?" in prepare("descirbe", "dataset/x").refusal
    assert "there are movielens, " in prepare("xyz").refusal


def test_a_wrong_option_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    base = ("table", "--input", "e.csv", "--output", "out")
    line = wrong(capsys, *base, "--min-rating", "good")
    assert "argument --min-rating: invalid float value: 'good'" in line
    assert "see `python -m dataset_prep table --help`" in line
    assert "unrecognized arguments: --min-ratign 4" in wrong(capsys, *base, "--min-ratign", "4")
    assert "the following arguments are required: --output" in wrong(capsys, "table")
    assert "'rot13' is not an encoding" in wrong(capsys, *base, "--encoding", "rot13")
    assert "required: SOURCE; see `python -m dataset_prep --help`" in wrong(capsys)


def test_the_last_line_names_the_place_of_the_dataset(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    small = ("planted", "--users", 40, "--items", 50)
    assert done(*small, "--output", "dataset/p").out.endswith("; try --dataset=p\n")
    outs = {
        "mine": "--data_path=. --dataset=mine",
        "sets/mine": "--data_path=sets --dataset=mine",
        "my sets/mine": "'--data_path=my sets' --dataset=mine",
        "dataset/more/mine": "--data_path=dataset/more --dataset=mine",
        "dataset/../mine2": "--data_path=dataset/.. --dataset=mine2",
        str(tmp_path / "dataset" / "q"): "--dataset=q",
    }
    for output, expected in outs.items():
        assert done(*small, "--output", output).out.endswith(f"; try {expected}\n")
    assert table(tmp_path, EVENTS).out.endswith(f"; try --data_path={tmp_path} --dataset=out\n")
    vectors = write(tmp_path / "f.csv", "item,p,q\nx,1,2\ny,2,1\nnew,3,3\n")
    for fix, more in (("keep-unrated", " --unknown_items=ignore"), ("drop-unrated", "")):
        result = passed(table(tmp_path, EVENTS, "--features", f"v={vectors}", "--fix", fix))
        assert result.out.endswith(f" --dataset=out{more}\n")


MOVIES = {
    "ratings.csv": "userId,movieId,rating,timestamp\n1,10,4,1\n1,20,3,2\n2,10,5,3\n2,30,4,4\n",
    "movies.csv": "movieId,title,genres\n10,A,Drama\n20,B,Drama\n30,C,Drama\n",
    "links.csv": "movieId,imdbId,tmdbId\n10,0114709,862\n20,0113497,\n30,0113228,862\n",
}


@pytest.mark.parametrize(
    ("kind", "ids", "fixes"),
    [
        ("imdb", ["tt0113497", "0114709", "113228"], ""),
        # 10 is the number of no film in IMDb, and must not become film 10 of MovieLens.
        ("imdb", ["tt0113497", "0114709", "113228", "tt0000010"], "drop-unrated"),
        ("tmdb", ["862"], ""),
    ],
)
def test_links_turn_other_ids_into_films(
    tmp_path: Path, kind: str, ids: list[str], fixes: str
) -> None:
    for name, content in MOVIES.items():
        write(tmp_path / "ml" / name, content)
    rows = [f"{n},{token},{n * n}" for n, token in enumerate(ids, start=1)]
    path = write(tmp_path / "f.csv", "\n".join(["p,film,q", *rows]) + "\n")
    arguments = ("movielens", "--input", tmp_path / "ml", "--features", f"v={path}")
    arguments += (
        "--feature-id-column",
        "film",
        "--feature-ids-are",
        kind,
        "--output",
        tmp_path / "out",
        "--fix",
        fixes,
    )
    if fixes:
        assert "first 'imdb:tt0000010'" in prepare(*arguments[:-2]).refusal
    result = done(*arguments)
    found = pd.read_csv(tmp_path / "out" / "features" / "v.items.tsv", sep="\t", dtype=str)
    expected = ["20", "10", "30"] if kind == "imdb" else ["10"]
    assert found["item_id"].tolist() == expected
    if kind == "imdb":
        vectors = {token: [n, n * n] for n, token in enumerate(expected, start=1)}
        assert features(tmp_path / "out", "v") == vectors
    assert "paper, Table 1" not in result.out
    assert kind == "imdb" or "1 films share a tmdb id with another" in result.out
    (tmp_path / "ml" / "links.csv").unlink()
    assert "links.csv: no such file" in prepare(*arguments, "--force").refusal


def run_alone(*arguments: Any) -> subprocess.Popen[str]:
    """The command in a subprocess; the package may not be installed."""
    known = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
    return subprocess.Popen(
        [sys.executable, "-m", "dataset_prep", *map(str, arguments)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": known},
    )


def test_signs_that_the_terminal_lacks_do_not_end_a_command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONIOENCODING", "ascii")
    path = tmp_path / "w\u00f6rter.csv"
    path.write_text(EVENTS)
    process = run_alone("table", "--input", path, "--output", tmp_path / "out")
    said, error = process.communicate(timeout=60)
    assert process.returncode == 0, error
    assert "w\\xf6rter.csv" in said


@pytest.mark.parametrize("work", ["describe", "table"])
def test_a_closed_pipe_is_not_an_error(tmp_path: Path, work: str) -> None:
    """The command continues and writes its result."""
    passed(table(tmp_path, EVENTS))
    arguments: dict[str, tuple[Any, ...]] = {
        "describe": ("describe", tmp_path / "out"),
        "table": ("table", "--input", tmp_path / "e.csv", "--output", tmp_path / "new"),
    }
    process = run_alone(*arguments[work])
    assert process.stdout is not None and process.stderr is not None
    process.stdout.close()
    errors = process.stderr.read()
    process.stderr.close()
    assert process.wait(60) == 0
    assert errors == ""
    assert (tmp_path / "new" / "new.inter").is_file() == (work == "table")


@pytest.mark.parametrize(
    ("sent", "code", "said"), [(signal.SIGTERM, 143, ""), (signal.SIGINT, 130, "stopped\n")]
)
def test_a_stopped_run_cleans_up(
    sent: signal.Signals, code: int, said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "tmp").mkdir()
    monkeypatch.setenv("TMPDIR", str(tmp_path / "tmp"))
    events = write(tmp_path / "e.csv", EVENTS)
    # A signal during an import could be reported as an error of the import.
    encoding = tmp_path / "encoding"
    waiting = write(
        tmp_path / "slow_audio.py",
        "import pathlib, time\n"
        "def wait(samples, rate):\n"
        f"    pathlib.Path({str(encoding)!r}).touch()\n"
        "    time.sleep(60)\n",
    )
    monkeypatch.setenv("PYTHONPATH", str(waiting.parent))
    (tmp_path / "wav").mkdir()
    wavfile.write(tmp_path / "wav" / "x.wav", 16_000, np.ones(1600, dtype=np.int16) * 99)
    process = run_alone(
        *("extract", "--input", events, "--audio", f"s={tmp_path / 'wav'}"),
        *("--audio-encoder", "slow_audio:wait", "--output", tmp_path / "out"),
    )
    deadline = time.monotonic() + 60
    while not encoding.exists() and time.monotonic() < deadline:
        time.sleep(0.1)
    assert list((tmp_path / "tmp").glob("dataset-prep-*"))
    process.send_signal(sent)
    _, errors = process.communicate(timeout=60)
    assert (process.returncode, errors) == (code, said)
    assert not list((tmp_path / "tmp").glob("dataset-prep-*"))
    assert not (tmp_path / "out").exists()


def test_an_existing_folder_needs_force_and_must_be_a_dataset(tmp_path: Path) -> None:
    source = ("table", "--input", write(tmp_path / "e.csv", EVENTS), "--output", tmp_path / "out")
    done(*source)
    write(tmp_path / "e.csv", "user,item\nc,x\n")
    refused(prepare(*source), "--force")
    assert pairs(tmp_path / "out") == [("a", "x"), ("b", "y")]
    done(*source, "--force")
    assert pairs(tmp_path / "out") == [("c", "x")]
    assert sorted(p.name for p in tmp_path.iterdir()) == ["e.csv", "out"]
    (tmp_path / "out" / "manifest.json").unlink()
    refused(prepare(*source, "--force"), "not a dataset folder")
    assert pairs(tmp_path / "out") == [("c", "x")]


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
    vectors = write(tmp_path / "f.csv", "item,v\nx,1\ny,2\n")
    passed(table(tmp_path, EVENTS, "--features", f"v={vectors}"))
    before = {p: p.read_bytes() for p in (tmp_path / "out").rglob("*") if p.is_file()}
    with monkeypatch.context() as patch:
        patch.setattr(folder_module, where, lambda *_, **__: os._exit(9))
        assert in_child(lambda: table(tmp_path, EVENTS, "--features", f"v={vectors}")) == 9
    after = {p: p.read_bytes() for p in (tmp_path / "out").rglob("*") if p.is_file()}
    assert after == before


# In a subprocess, so that memory used by other tests does not count.
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
