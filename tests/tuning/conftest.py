"""A search on the tiny dataset."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from support import last_values

from recbole_painvrl.cli.tune import main

SPACE = "learning_rate: {low: 0.001, high: 0.1, log: true}\nn_negatives: {choices: [32, 512]}\n"
Tune = Callable[..., int]


@pytest.fixture
def tune(tiny_data: Path, tmp_path: Path) -> Tune:
    """A search of UltraGCN on the tiny dataset into ``tmp_path/search``."""
    space = tmp_path / "space.yaml"
    space.write_text(SPACE)

    def call(*argv: str) -> int:
        words = [
            "--model=UltraGCN", "--dataset=tiny", f"--data_path={tiny_data}", "--epochs=2",
            "--use_gpu=False", f"--space={space}", f"--output={tmp_path / 'search'}", *argv,
        ]  # fmt: skip
        return main(last_values(words))

    return call
