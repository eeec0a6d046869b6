"""Every test here runs with an empty command line, which RecBole's own Config reads."""

from __future__ import annotations

import sys

import pytest


@pytest.fixture(autouse=True)
def _empty_command_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["test"])
