"""The script for GPUs, as far as it can be tried without one."""

from __future__ import annotations

import math

import pytest
import torch

from benchmarks import gpu
from benchmarks.steps import SHAPES, RandomData
from recbole_painvrl.testing.simulated_gpu import simulated_gpu


def test_without_a_gpu_it_says_so(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert gpu.main([]) == 0
    assert capsys.readouterr().out.startswith("no GPU: ")


@pytest.mark.parametrize(("tolerance", "code"), [("0", 0), ("-1", 1)])
def test_losses_are_compared(tolerance: str, code: int, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["--device=cpu", "--parts", "equality", "--models=BPR", f"--tolerance={tolerance}"]
    assert gpu.main(words) == code
    found = capsys.readouterr()
    # Two epochs and the last loss; the CPU is as itself.
    assert "| BPR | 3 | 0.0e+00 |" in found.out
    assert ("BPR" in found.err) == bool(code)


def test_a_run_on_a_gpu_has_the_draws_of_the_cpu() -> None:
    def draws(device: str) -> list[torch.Tensor]:
        made = []
        source = torch.Generator(device).manual_seed(3)
        for seed in (None, None, 4, 4):
            if seed is not None:
                source.manual_seed(seed)
            made.append(torch.randint(99, (5,), generator=source, device=device))
            made.append(torch.empty(5, device=device).exponential_(generator=source))
        return [one.cpu() for one in made]

    expected = draws("cpu")
    with simulated_gpu(), gpu.SameDraws():
        found = draws("cuda")
    assert all(torch.equal(*pair) for pair in zip(found, expected, strict=True))


def test_difference_of_losses() -> None:
    assert gpu.largest_difference([2.0, 4.0], [2.0, 5.0]) == 0.25
    assert gpu.largest_difference([1.0], [1.0, 1.0]) == math.inf
    assert math.isnan(gpu.largest_difference([1.0, math.nan], [1.0, 1.0]))


def test_steps_take_the_interactions_that_they_are_divided_by() -> None:
    data = RandomData(SHAPES["tiktok"].quick())
    for _, make in gpu._STEPS.values():
        for step, n in make(data).values():
            step()
            assert n > 0
