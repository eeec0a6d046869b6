"""Rebuilding the code moves no figure, no name and no file."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from frozen import PATH, RUNS, machine, run, settings, write_data

from recbole_painvrl.cli import COMMANDS

FROZEN = json.loads(PATH.read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("frozen")
    write_data(folder)
    return folder


@pytest.mark.parametrize("name", RUNS)
def test_a_run(name: str, data: Path, tmp_path: Path) -> None:
    found, frozen = run(name, data, tmp_path), FROZEN["runs"][name]
    for test, metrics in frozen["metrics"].items():
        assert found["metrics"][test] == pytest.approx(metrics, abs=1e-6)
    assert found["norms"] == pytest.approx(frozen["norms"], rel=1e-5)
    assert [found[key] for key in ("split", "keys", "files")] == [
        frozen[key] for key in ("split", "keys", "files")
    ]
    # The last bits of the weights differ between processors.
    if machine() == FROZEN["machine"]:
        assert found["weights"] == frozen["weights"]


def test_commands_and_settings() -> None:
    assert list(COMMANDS) == FROZEN["commands"]
    assert settings() == FROZEN["settings"]
