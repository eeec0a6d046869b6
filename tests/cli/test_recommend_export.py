"""``recommend`` and ``export`` on the command line: exit codes, one line for what is wrong."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest
from support import run_main

from recbole_painvrl.__main__ import main


@pytest.fixture(scope="module")
def folder(tiny_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A complete run of UltraGCN."""
    run = run_main(tiny_data, tmp_path_factory.mktemp("served"), "UltraGCN", name="run")
    assert run.code == 0, run.err
    return run.folder


def test_recommend(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "recs.parquet"
    assert main(["recommend", str(folder), "--users", "all", "--k=3", "--out", str(out)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("UltraGCN on tiny: 360 rows for 120 users")
    assert lines[1] == "variant: planted"
    assert lines[-1] == f"written: {out}"
    assert len(pd.read_parquet(out)) == 360


def test_export(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "v.npy"
    assert main(["export", str(folder), "--what", "embeddings", "--out", str(out)]) == 0
    assert "users 120x128, items 90x128" in capsys.readouterr().out
    names = {path.name for path in tmp_path.iterdir()}
    assert names == {"v.users.npy", "v.items.npy", "v.users.tsv", "v.items.tsv"}


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("recommend RUN --out x.csv", "`--users`: no users are given"),
        ("recommend RUN --users all --out x.xls", "expected a name on .parquet, .csv, .jsonl"),
        ("recommend RUN --users all --out x.csv --k 0", "'--k': 0"),
        ("recommend RUN --users all --out x.csv --exlude none", "did you mean `--exclude`?"),
        ("recommend RUN --users u1 --out x.csv", "u1: no such file; ids are given in a file"),
        ("recommend RUN --users strange --out x.csv", "1 of 1 users are not in the run"),
        ("recommend RUN --users all --items strange --out x.csv", "1 of 1 items are not in the"),
        ("recommend RUN --new-users strange --out x.csv", "expected a .csv or .tsv file"),
        ("recommend RUN --users all --new-items . --out x.csv", "needs features/"),
        ("recommend RUN --users all --out x.csv --data-path away", "away"),
        ("recommend RUN --users empty.csv --out empty.csv", "empty.csv is an input, too"),
        ("recommend RUN --users all --out empty/x.csv", "empty is a file, expected a folder"),
        ("recommend RUN --users all --users x --out x.csv", "--users occurs twice; give it once"),
        ("recommend RUN --users all --out RUN/per_user.parquet", "is a file of the run"),
        ("export RUN --what embeddings --out RUN/checkpoint/best.safetensors", "file of the run"),
        ("export ABOVE --what embeddings --out x.npy", "name a run in it, such as "),
        ("export RUN --what mask --out x.npy", "UltraGCN learns no mask"),
    ],
)
def test_wrong_input_is_one_line(
    words: str,
    message: str,
    folder: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    (tmp_path / "empty").write_text("user_id\n")
    (tmp_path / "empty.csv").write_text("user_id\n")
    (tmp_path / "strange").write_text("nobody at all\n")
    before = set(tmp_path.iterdir())
    monkeypatch.chdir(tmp_path)
    places = {"RUN": str(folder), "ABOVE": str(folder.parent)}
    argv = words.split()
    for name, place in places.items():
        argv = [word.replace(name, place, 1) if word.startswith(name) else word for word in argv]
    assert main(argv) == 2
    captured = capsys.readouterr()
    (line,) = captured.err.splitlines()
    assert line.startswith("error: ") and message in line
    assert captured.out == ""
    assert set(tmp_path.iterdir()) == before


def test_the_weights_are_no_place_for_an_export(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(folder / "checkpoint")
    assert main(["export", "..", "--what", "embeddings", "--out", "best.safetensors"]) == 2
    assert "is a file of the run" in capsys.readouterr().err
