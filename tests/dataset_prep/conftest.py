"""Fixtures of the tests of ``dataset_prep``."""

from __future__ import annotations

import os

import pytest


@pytest.fixture(autouse=True)
def _without_waiting_for_the_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    """Folders are written whole all the same; only a power cut would tell the difference."""
    monkeypatch.setattr(os, "fsync", lambda _: None)
