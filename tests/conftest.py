"""What every test gets: fixed seeds, an empty command line, one thread, and a tiny dataset."""

from __future__ import annotations

import logging
import os
import random
import shutil
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import settings
from support import TINY, MakeConfig, last_values, planted_data, quick

from recbole_painvrl.config import SafeConfig, config_from_arguments

settings.register_profile("fixed", derandomize=True, deadline=None, max_examples=40)
settings.load_profile("fixed")

# Files that take a minute: a worker that began one last would keep the others waiting.
LONGEST = ("test_other_packages.py", "test_cluster.py", "test_kills.py", "test_resume.py")


def pytest_configure(config: pytest.Config) -> None:
    """RecBole builds its sparse matrices by a deprecated constructor."""
    config.addinivalue_line(
        "filterwarnings", r"ignore:torch.sparse.SparseTensor:UserWarning:recbole\."
    )


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The longest files first; with ``--dist=loadfile`` workers take files in this order."""
    items.sort(key=lambda item: item.path.name not in LONGEST)


@pytest.fixture(autouse=True)
def _same_start(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """RecBole reads sys.argv, draws from the global generators and writes where it stands."""
    monkeypatch.setattr(sys, "argv", ["pytest"])
    monkeypatch.chdir(tmp_path)
    # A command that was stopped ignores SIGTERM until it ends, and so would all that it starts.
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    # Only a power cut would tell the difference, and disks are slow.
    monkeypatch.setattr(os, "fsync", lambda _: None)
    # RecBole's HyperTuning leaves the root logger at its own level.
    logging.getLogger().setLevel(logging.WARNING)
    logging.disable(logging.NOTSET)
    torch.set_num_threads(1)
    # Importing RecBole's SINE turns it on for the whole process: backward takes ten times as long.
    torch.autograd.set_detect_anomaly(False)
    random.seed(0)
    np.random.seed(0)
    torch.manual_seed(0)


@pytest.fixture
def double() -> Iterator[None]:
    """New tensors are float64."""
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)


@pytest.fixture(scope="session")
def tiny_data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of dataset folders with one planted dataset, ``tiny``; never change it."""
    return planted_data(TINY, tmp_path_factory.mktemp("dataset"))


@pytest.fixture
def own_data(tiny_data: Path, tmp_path: Path) -> Path:
    """A copy of ``tiny_data`` that a test may change."""
    return Path(shutil.copytree(tiny_data, tmp_path / "own"))


@pytest.fixture
def tiny_config(tiny_data: Path, tmp_path: Path) -> MakeConfig:
    """Configuration of a quiet run on the tiny dataset; of repeated settings the last holds."""

    def make(model: str, *argv: str, data: Path | None = None) -> SafeConfig:
        words = [f"--model={model}", *quick(data or tiny_data, tmp_path), *argv]
        return config_from_arguments(last_values(words))

    return make
