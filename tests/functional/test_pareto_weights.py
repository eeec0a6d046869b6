"""Eq. 16 to 19: the closed form is the optimum, in every case the formula can meet."""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from recbole_painvrl.functional.pareto import (
    GradientNormalization,
    ParetoWeights,
    mask_direction,
    mask_step,
    min_norm_weight,
    pareto_weights,
)


def weight_of(a: Tensor, b: Tensor) -> float:
    return min_norm_weight((a @ a).item(), (b @ b).item(), (a @ b).item())


def plain(a: Tensor, b: Tensor, normalization: GradientNormalization = "none") -> ParetoWeights:
    return pareto_weights(a, b, 2.0, 0.5, normalization)


def random_pair(seed: int) -> tuple[Tensor, Tensor]:
    """Two float64 gradients whose norms and common part span six orders of magnitude."""
    rng = np.random.default_rng(seed)
    width = int(rng.integers(1, 6))
    shared = rng.standard_normal(width)
    a = (rng.standard_normal(width) + rng.uniform(-2, 2) * shared) * 10 ** rng.uniform(-3, 3)
    b = (rng.standard_normal(width) + rng.uniform(-2, 2) * shared) * 10 ** rng.uniform(-3, 3)
    return torch.from_numpy(a), torch.from_numpy(b)


def test_never_worse_than_a_fine_grid() -> None:
    for seed in range(100):
        a, b = random_pair(seed)
        weight = weight_of(a, b)
        assert 0 <= weight <= 1
        grid = torch.linspace(0, 1, 20_001, dtype=torch.float64)[:, None]
        best = (grid * a + (1 - grid) * b).norm(dim=1).min()
        assert (weight * a + (1 - weight) * b).norm() <= best * (1 + 1e-12)


def test_common_descent() -> None:
    """a.d and b.d are at least |d|^2, with equality for both where the weight is interior."""
    for seed in range(200):
        a, b = random_pair(seed)
        weights = plain(a, b)
        d = mask_direction(a, b, weights)
        squared = d @ d
        slack = 1e-9 * max(a @ a, b @ b)
        assert a @ d >= squared - slack
        assert b @ d >= squared - slack
        # |d|^2 is computed from three dot products that cancel: half of the digits are left.
        rounding = 1e-7 * max(weights.norm_erm, weights.norm_irm)
        assert weights.stationarity == pytest.approx(d.norm().item(), rel=1e-5, abs=rounding)
        if 0 < weights.w_erm < 1:
            assert a @ d == pytest.approx(squared.item(), abs=slack.item())
            assert b @ d == pytest.approx(squared.item(), abs=slack.item())


A = torch.tensor([3.0, 4.0])
ZERO = torch.zeros(2)


@pytest.mark.parametrize(
    ("a", "b", "weight"),
    [
        pytest.param(A, A, 0.5, id="a = b"),
        pytest.param(ZERO, ZERO, 0.5, id="both 0"),
        pytest.param(ZERO, A, 1.0, id="a = 0: literal"),
        pytest.param(A, ZERO, 1.0, id="b = 0: nothing to be invariant to"),
        pytest.param(A, -A, 0.5, id="a = -b"),
        pytest.param(2.5 * A, A, 0.0, id="a = c b, c > 1: the shorter"),
        pytest.param(A, 2.5 * A, 1.0, id="b = c a, c > 1: the shorter"),
        pytest.param(torch.tensor([1.0, 0.0]), torch.tensor([0.0, 2.0]), 4 / 5, id="interior"),
        pytest.param(torch.tensor([1.0, 3.0]), torch.tensor([1.0, 0.0]), 0.0, id="b.a >= |b|^2"),
        pytest.param(torch.tensor([1.0, 0.0]), torch.tensor([1.0, 3.0]), 1.0, id="a.b >= |a|^2"),
        pytest.param(-3 * A, A, 4 / 16, id="opposite: (b - a).b / |a - b|^2"),
    ],
)
def test_table_of_cases(a: Tensor, b: Tensor, weight: float) -> None:
    assert weight_of(a, b) == pytest.approx(weight)
    assert plain(a, b).w_erm == pytest.approx(weight)
    assert plain(a, b).w_irm == pytest.approx(1 - weight)


@pytest.mark.parametrize("gap", [1e-3, 1e-4, 1e-5])
def test_nearly_equal_float32_gradients(gap: float) -> None:
    """The dot products are taken in float64, so close gradients keep their exact weight."""
    a, b = torch.tensor([1.0, -gap]), torch.tensor([1.0, 3 * gap])
    exact_a, exact_b = ([Fraction(x) for x in v.double().tolist()] for v in (a, b))
    above = sum((y - x) * y for x, y in zip(exact_a, exact_b, strict=True))
    below = sum((y - x) ** 2 for x, y in zip(exact_a, exact_b, strict=True))
    assert float(above / below) == pytest.approx(12 / 16, abs=1e-6)
    assert plain(a, b).w_erm == pytest.approx(float(above / below), abs=1e-4)


def test_one_ulp_apart_counts_as_equal() -> None:
    a = torch.tensor([1.0, 1.0, 1.0])
    assert plain(a, torch.nextafter(a, torch.tensor(2.0))).w_erm == 0.5


@given(
    a=st.lists(st.floats(-(2.0**60), 2.0**60, width=32), min_size=3, max_size=3),
    b=st.lists(st.floats(-(2.0**60), 2.0**60, width=32), min_size=3, max_size=3),
    normalization=st.sampled_from(["none", "l2", "loss", "loss+"]),
)
def test_never_nan_and_never_outside(
    a: list[float], b: list[float], normalization: GradientNormalization
) -> None:
    weights = plain(torch.tensor(a), torch.tensor(b), normalization)
    assert 0 <= weights.w_erm <= 1
    assert all(math.isfinite(value) for value in vars(weights).values())
    assert -1 - 1e-9 <= weights.cosine <= 1 + 1e-9


def test_agrees_with_torchjd() -> None:
    aggregation = pytest.importorskip("torchjd.aggregation")
    for seed in range(10):
        a, b = random_pair(seed)
        matrix = torch.stack([a, b])
        theirs = aggregation.MGDAWeighting(epsilon=1e-9, max_iters=1000)(matrix @ matrix.T)
        assert theirs[0].item() == pytest.approx(weight_of(a, b), abs=1e-6)


@pytest.mark.parametrize(
    ("normalization", "by_erm", "by_irm"),
    [
        ("none", 1.0, 1.0),
        ("l2", 1 / 5, 1 / 10),
        ("loss", 1 / 2, 1 / 0.25),
        ("loss+", 1 / (5 * 2), 1 / (10 * 0.25)),
    ],
)
def test_normalisations(normalization: GradientNormalization, by_erm: float, by_irm: float) -> None:
    a, b = torch.tensor([3.0, 4.0]), torch.tensor([10.0, 0.0])
    weights = pareto_weights(a, b, 2.0, 0.25, normalization)
    assert weights.scale_erm == pytest.approx(by_erm)
    assert weights.scale_irm == pytest.approx(by_irm)
    assert (weights.norm_erm, weights.norm_irm) == pytest.approx((5.0, 10.0))
    assert weights.cosine == pytest.approx(3 / 5)
    assert weights.w_erm == pytest.approx(weight_of(by_erm * a, by_irm * b))
    expected = weights.w_erm * by_erm * a + (1 - weights.w_erm) * by_irm * b
    torch.testing.assert_close(mask_direction(a, b, weights), expected)
    raw = weights.effective_w_erm * a + (1 - weights.effective_w_erm) * b
    torch.testing.assert_close(raw / raw.norm(), expected / expected.norm())


def test_effective_and_fixed_weights() -> None:
    """That of unit gradients is the other norm's share; a fixed one replaces Eq. 17."""
    a, b = torch.tensor([3.0, 4.0]), torch.tensor([0.0, 15.0])
    assert plain(a, b, "l2").w_erm == pytest.approx(0.5)
    assert plain(a, b, "l2").effective_w_erm == pytest.approx(15 / (5 + 15))
    assert plain(a, b, "none").effective_w_erm == plain(a, b, "none").w_erm
    assert plain(a, ZERO, "l2").effective_w_erm == 1.0
    weights = pareto_weights(A, -2 * A, 1.0, 1.0, "none", fixed_weight=0.25)
    assert weights.w_erm == 0.25
    torch.testing.assert_close(mask_direction(A, -2 * A, weights), (0.25 - 1.5) * A)
    assert weights.stationarity == pytest.approx(1.25 * 5)


@pytest.mark.parametrize("normalization", ["none", "l2", "loss", "loss+"])
def test_normalisation_of_nothing_divides_by_nothing(
    normalization: GradientNormalization,
) -> None:
    weights = pareto_weights(A, ZERO, 2.0, 0.0, normalization)
    assert weights.w_erm == 1.0
    assert weights.cosine == 0.0
    assert mask_direction(A, ZERO, weights).isfinite().all()


def test_mask_step_by_hand() -> None:
    """m - s (d + lambda (m - center)), then clipped."""
    mask = torch.tensor([0.5, 0.9, 0.1])
    direction = torch.tensor([1.0, -2.0, 2.0])
    stepped = mask_step(mask, direction, 0.1, 0.5, 0.2)
    expected = [
        0.5 - 0.1 * (1 + 0.5 * (0.5 - 0.2)),  # 0.385
        1.0,  # 0.9 - 0.1 * (-2 + 0.5 * 0.7) = 1.065
        0.0,  # 0.1 - 0.1 * (2 + 0.5 * -0.1) = -0.095
    ]
    assert stepped.tolist() == pytest.approx(expected)
    assert mask.tolist() == pytest.approx([0.5, 0.9, 0.1])


def test_a_tiny_gradient_has_a_direction() -> None:
    """Its norm has a reciprocal in float64 alone."""
    a, b = torch.tensor([1.0, 2.0, 0.0]), torch.tensor([3e-40, 0.0, -4e-40])
    direction = mask_direction(a, b, plain(a, b, "l2"))
    expected = (a / a.norm() + torch.tensor([0.6, 0.0, -0.8])) / 2
    torch.testing.assert_close(direction, expected, rtol=1e-4, atol=1e-5)
