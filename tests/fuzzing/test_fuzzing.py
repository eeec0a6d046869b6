"""A short campaign of `python -m benchmarks.fuzzing`, and whether it would notice a bad reader."""

from __future__ import annotations

import io
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import pytest

from benchmarks.fuzzing.__main__ import chosen_readers
from benchmarks.fuzzing.campaign import Reader, campaign
from benchmarks.fuzzing.mutations import mutate
from recbole_painvrl.errors import UserError

# As many as fit into CI; the 100,000 of the long run are a command.
_INPUTS = 2000


def test_two_thousand_damaged_files(tmp_path: Path) -> None:
    outcome = campaign(chosen_readers(tmp_path), _INPUTS, seed=0)
    assert outcome.failures == []
    assert outcome.inputs == _INPUTS
    kinds = {kind for _, kind in outcome.counts}
    assert kinds == {"loaded", "refused"}


@pytest.mark.filterwarnings("ignore")
def test_every_reader_loads_its_undamaged_files(tmp_path: Path) -> None:
    for reader in chosen_readers(tmp_path):
        text = io.StringIO()
        with redirect_stdout(text), redirect_stderr(text):
            reader.check(reader.read())


def _reader(path: Path, read: Any, check: Any = lambda _: None) -> Reader:
    path.write_bytes(b"1 2 3\n" * 20)
    return Reader("one", [path], read, check)


def test_an_error_that_is_no_refusal_is_a_failure(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    reader = _reader(path, lambda: [int(word) for word in path.read_text().split()])
    outcome = campaign([reader], 40, seed=1, keep=tmp_path / "kept")
    assert any("ValueError" in line or "UnicodeDecodeError" in line for line in outcome.failures)
    assert list((tmp_path / "kept").iterdir())
    assert path.read_bytes() == b"1 2 3\n" * 20, "the sample is whole again"


def test_wrong_content_loaded_is_a_failure(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"

    def same(content: bytes) -> None:
        assert content == b"1 2 3\n" * 20

    assert campaign([_reader(path, path.read_bytes, same)], 10, seed=1).failures


def test_a_refusal_must_name_the_file(tmp_path: Path) -> None:
    def refuse() -> None:
        raise UserError("it is broken")

    outcome = campaign([_reader(tmp_path / "some.txt", refuse)], 3, seed=1)
    assert len(outcome.failures) == 3
    assert "names no file" in outcome.failures[0]


def test_a_hang_is_a_failure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("benchmarks.fuzzing.campaign._SECONDS", 0.05)

    def hang() -> None:
        while True:
            try:
                sum(range(100))
            except Exception:  # noqa: BLE001
                continue

    assert "HangError" in campaign([_reader(tmp_path / "a", hang)], 1, seed=1).failures[0]


def test_too_much_memory_is_a_failure(tmp_path: Path) -> None:
    def take() -> None:
        try:
            np.ones(1 << 40)
        except MemoryError as error:
            raise UserError("a.txt: not readable") from error

    assert "too much memory" in campaign([_reader(tmp_path / "a.txt", take)], 1, 1).failures[0]


def test_code_that_ran_is_a_failure(tmp_path: Path) -> None:
    reader = _reader(tmp_path / "a.txt", lambda: Path("HARM").touch())
    assert "was run" in campaign([reader], 1, seed=1).failures[0]


def test_the_same_seed_gives_the_same_damage() -> None:
    content, other = bytes(range(256)), b"x" * 50
    first = [mutate(content, other, Random(n)) for n in range(200)]
    assert first == [mutate(content, other, Random(n)) for n in range(200)]
    assert len(set(first)) > 150
