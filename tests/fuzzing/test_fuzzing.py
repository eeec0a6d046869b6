"""A short run of `python -m benchmarks.fuzzing`, and proof that it detects wrong readers."""

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

# Few enough for CI; docs/reliability.md has the results of 100,000.
_INPUTS = 400
_CONTENT = b"1 2 3\n" * 20


@pytest.mark.filterwarnings("ignore")
def test_damaged_and_undamaged_files(tmp_path: Path) -> None:
    readers = [*own_readers(tmp_path / "own"), *source_readers(tmp_path / "sources")]
    for reader in readers:
        text = io.StringIO()
        with redirect_stdout(text), redirect_stderr(text):
            reader.check(reader.read())
    counts: Counter[str] = Counter()
    total = sum(reader.weight for reader in readers)
    for reader in readers:
        counts += attack(reader, round(_INPUTS * reader.weight / total))
    assert counts["loaded"] > 20 and counts["refused"] > 150
    assert counts.total() > 0.8 * _INPUTS


def bad(folder: Path, read: Any, check: Any = lambda _: None) -> Reader:
    path = folder / "a.txt"
    path.write_bytes(_CONTENT)
    return Reader("one", [path], lambda: read(path), check)


def numbers(path: Path) -> list[int]:
    return [int(word) for word in path.read_text().split()]


def test_an_error_that_is_not_a_refusal_is_a_failure(tmp_path: Path) -> None:
    with pytest.raises(AssertionError, match=r"one, a\.txt: (ValueError|UnicodeDecodeError)"):
        attack(bad(tmp_path, numbers), 100, keep=tmp_path / "kept")
    (kept,) = (tmp_path / "kept").iterdir()
    with pytest.raises(ValueError, match=r"\S"):
        numbers(kept)
    assert (tmp_path / "a.txt").read_bytes() == _CONTENT, "the sample is restored"


def same(content: bytes) -> None:
    assert content == _CONTENT


def refuse(path: Path) -> None:
    raise UserError("it is broken")


def hang(path: Path) -> None:
    while True:
        try:
            sum(range(100))
        except Exception:  # noqa: BLE001
            continue


def allocate(path: Path) -> None:
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
        (allocate, lambda _: None, "too much memory"),
        (lambda _: Path("HARM").touch(), lambda _: None, "was run"),
    ],
)
def test_wrong_outcomes_are_failures(
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
