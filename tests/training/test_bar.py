"""The bar of a training stage moves within its epochs and ends where they end."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from support import run_main

from recbole_painvrl.training import bar as bar_module


class Bar:
    """Stands for tqdm: remembers where it was."""

    def __init__(self, total: int, **_: Any) -> None:
        self.total, self.n = total, 0.0
        self.places: list[float] = []

    def update(self, more: float) -> None:
        self.n += more
        self.places.append(self.n)

    def set_postfix_str(self, *_: Any, **__: Any) -> None: ...

    def close(self) -> None: ...


# RecVAE takes the batches of an epoch four times.
@pytest.mark.parametrize("model", ["BPR", "MMSSL", "RecVAE"])
def test_the_bar_moves_on_within_epochs(
    model: str, tiny_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bars: list[Bar] = []

    def tqdm(**arguments: Any) -> Bar:
        bars.append(Bar(**arguments))
        return bars[-1]

    monkeypatch.setattr(bar_module, "tqdm", tqdm)
    settings = ("--train_batch_size=64",)
    assert run_main(tiny_data, tmp_path, model, *settings, name="run").code == 0
    (bar,) = bars
    assert bar.places == sorted(bar.places)
    assert bar.places[-1] == bar.total > 1
    assert set(range(1, bar.total)) < set(bar.places)
    if model != "RecVAE":
        assert any(0 < place < 1 for place in bar.places)
