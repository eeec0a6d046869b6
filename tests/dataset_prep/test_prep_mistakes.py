"""What a user gets wrong is one line, said before the long work, and leaves nothing behind."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from prep_support import Result, done, prepare, write
from scipy.io import wavfile

from dataset_prep import finish, options
from dataset_prep.__main__ import main

EVENTS = "user,item,rating\na,x,5\na,y,4\nb,x,3\nb,z,2\n"
VECTORS = "item,p,q\nx,1,2\ny,2,1\nz,4,4\n"


def table(folder: Path, *further: Any, output: Any = None) -> Result:
    events = write(folder / "e.csv", EVENTS)
    return prepare("table", "--input", events, "--output", output or folder / "out", *further)


@pytest.mark.parametrize("name", ["a/b", ""])
def test_a_modality_must_name_a_file(tmp_path: Path, name: str, capsys: Any) -> None:
    with pytest.raises(SystemExit) as stop:
        table(tmp_path, "--features", f"{name}=f.csv")
    assert stop.value.code == 2


def test_a_place_that_cannot_be_written_is_said_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(tmp_path / "file", "")
    refusal = table(tmp_path, output=tmp_path / "file" / "out").refusal
    assert "cannot be written; choose another place" in refusal
    # Root may write everywhere, so that permission is played.
    monkeypatch.setattr(options.os, "access", lambda *_: False)
    assert "cannot be written; choose another place" in table(tmp_path).refusal
    assert "dry run" in table(tmp_path, "--dry-run").out


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
    assert table(tmp_path).out.endswith(f"; try --data_path={tmp_path} --dataset=out\n")


MOVIES = {
    "ratings.csv": "userId,movieId,rating,timestamp\n1,10,4,1\n1,20,3,2\n2,10,5,3\n2,30,4,4\n",
    "movies.csv": "movieId,title,genres\n10,A,Drama\n20,B,Drama\n30,C,Drama\n",
    "links.csv": "movieId,imdbId,tmdbId\n10,0114709,862\n20,0113497,\n30,0113228,862\n",
}


@pytest.mark.parametrize(
    ("kind", "ids", "fixes"),
    [
        ("imdb", ["tt0113497", "0114709", "113228"], ""),
        ("imdb", ["tt0113497", "0114709", "113228", "tt9"], "drop-unrated"),
        ("tmdb", ["862"], ""),
    ],
)
def test_links_turn_other_ids_into_films(
    tmp_path: Path, kind: str, ids: list[str], fixes: str
) -> None:
    for name, content in MOVIES.items():
        write(tmp_path / "ml" / name, content)
    rows = [f"{token},{n},{n * n}" for n, token in enumerate(ids, start=1)]
    path = write(tmp_path / "f.csv", "\n".join(["id,p,q", *rows]) + "\n")
    arguments = ("movielens", "--input", tmp_path / "ml", "--features", f"v={path}")
    arguments += ("--feature-ids-are", kind, "--output", tmp_path / "out", "--fix", fixes)
    if fixes:
        assert "first 'imdb:tt9'" in prepare(*arguments[:-2]).refusal
    result = done(*arguments)
    found = pd.read_csv(tmp_path / "out" / "features" / "v.items.tsv", sep="\t", dtype=str)
    expected = ["20", "10", "30"] if kind == "imdb" else ["10"]
    assert found["item_id"].tolist() == expected
    assert kind == "imdb" or "1 films share a tmdb id with another" in result.out
    (tmp_path / "ml" / "links.csv").unlink()
    assert "links.csv: no such file" in prepare(*arguments, "--force").refusal


def run_alone(*arguments: Any) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "dataset_prep", *map(str, arguments)]
    # The package may not be installed: it stands one folder above.
    root = str(Path(finish.__file__).parents[1])
    known = [root, *filter(None, [os.environ.get("PYTHONPATH")])]
    return subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(known)},
    )


@pytest.mark.parametrize("work", ["describe", "table"])
def test_a_reader_that_has_seen_enough_is_no_error(tmp_path: Path, work: str) -> None:
    """Nor does it end the work: what was asked for is written."""
    write(tmp_path / "f.csv", VECTORS)
    assert table(tmp_path, "--features", f"v={tmp_path / 'f.csv'}").code == 0
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


def test_a_terminated_run_cleans_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "tmp").mkdir()
    monkeypatch.setenv("TMPDIR", str(tmp_path / "tmp"))
    events = write(tmp_path / "e.csv", EVENTS)
    # A signal in the middle of an import may end as the import's own error.
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
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=60)
    assert process.returncode == 143
    assert not list((tmp_path / "tmp").glob("dataset-prep-*"))
    assert not (tmp_path / "out").exists()
