"""A short run of `python -m benchmarks.fuzzing`, and whether it would notice a bad reader."""

from __future__ import annotations

import io
from collections import Counter
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchmarks.fuzzing import attack as attack_module
from benchmarks.fuzzing.attack import Reader, attack
from benchmarks.fuzzing.own_files import own_readers
from benchmarks.fuzzing.sources import source_readers
from recbole_painvrl.errors import UserError

# As many as fit into CI; the 100,000 of the long run are a command.
_INPUTS = 400


@pytest.fixture(scope="module")
def readers(tmp_path_factory: pytest.TempPathFactory) -> list[Reader]:
    place = tmp_path_factory.mktemp("samples")
    return [*own_readers(place / "own"), *source_readers(place / "sources")]


def test_damaged_files(readers: list[Reader]) -> None:
    counts: Counter[str] = Counter()
    total = sum(reader.weight for reader in readers)
    for reader in readers:
        counts += attack(reader, round(_INPUTS * reader.weight / total))
    assert counts["loaded"] > 20 and counts["refused"] > 150
    assert counts.total() > 0.8 * _INPUTS


@pytest.mark.filterwarnings("ignore")
def test_every_reader_loads_its_undamaged_files(readers: list[Reader]) -> None:
    for reader in readers:
        text = io.StringIO()
        with redirect_stdout(text), redirect_stderr(text):
            reader.check(reader.read())


def bad(folder: Path, read: Any, check: Any = lambda _: None) -> Reader:
    path = folder / "a.txt"
    path.write_bytes(b"1 2 3\n" * 20)
    return Reader("one", [path], lambda: read(path), check)


def test_an_error_that_is_no_refusal_is_a_failure(tmp_path: Path) -> None:
    reader = bad(tmp_path, lambda path: [int(word) for word in path.read_text().split()])
    with pytest.raises(AssertionError, match=r"one, a\.txt: (ValueError|UnicodeDecodeError)"):
        attack(reader, 100, keep=tmp_path / "kept")
    (kept,) = (tmp_path / "kept").iterdir()
    with pytest.raises(ValueError, match=r"\S"):
        [int(word) for word in kept.read_text().split()]
    assert (tmp_path / "a.txt").read_bytes() == b"1 2 3\n" * 20, "the sample is whole again"


def same(content: bytes) -> None:
    assert content == b"1 2 3\n" * 20


def refuse(path: Path) -> None:
    raise UserError("it is broken")


def hang(path: Path) -> None:
    while True:
        try:
            sum(range(100))
        except Exception:  # noqa: BLE001
            continue


def take(path: Path) -> None:
    try:
        np.ones(1 << 40)
    except MemoryError as error:
        raise UserError("a.txt: not readable") from error


@pytest.mark.parametrize(
    ("read", "check", "words"),
    [
        (Path.read_bytes, same, "AssertionError"),
        (refuse, lambda _: None, "names no file"),
        (hang, lambda _: None, "HangError"),
        (take, lambda _: None, "too much memory"),
        (lambda _: Path("HARM").touch(), lambda _: None, "was run"),
    ],
)
def test_what_is_wrong_is_a_failure(
    read: Any, check: Any, words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if read is hang:
        monkeypatch.setattr(attack_module, "_SECONDS", 0.05)
    with pytest.raises(AssertionError, match=words):
        attack(bad(tmp_path, read, check), 5)


def test_the_same_seed_gives_the_same_damage(tmp_path: Path) -> None:
    seen: list[list[bytes]] = []
    for number in (1, 1, 2):
        seen.append([])
        attack(bad(tmp_path, lambda path: seen[-1].append(path.read_bytes())), 100, number)
    assert seen[0] == seen[1] != seen[2]
    assert len(set(seen[0])) > 50
