"""The cut of a mask is the best of all cuts, moves with the values alone, and has its controls."""

from __future__ import annotations

from random import Random

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from recbole_painvrl.functional.mask_controls import control_masks
from recbole_painvrl.functional.mask_form import (
    agreement,
    best_form,
    cut_by_modality,
    cut_in_two,
    reversed_columns,
    two_means,
)
from recbole_painvrl.seeds import generator

VALUES = st.lists(st.integers(2, 20).map(lambda n: n / 20), min_size=2, max_size=12)


def _within(values: torch.Tensor, kept: torch.Tensor) -> float:
    groups = (values[kept], values[~kept])
    return float(sum((one - one.mean()).square().sum() for one in groups if len(one)))


@given(VALUES)
def test_no_other_division_is_better(numbers: list[float]) -> None:
    values = torch.tensor(numbers, dtype=torch.float64).sort().values
    if values[0] == values[-1]:
        return
    lower, explained = two_means(values)
    assert 0 < lower < len(values) and values[lower - 1] < values[lower]
    every = [_within(values, values > one) for one in values.unique()[:-1]]
    assert _within(values, values >= values[lower]) == pytest.approx(min(every), abs=1e-9)
    total = float((values - values.mean()).square().sum())
    assert explained == pytest.approx(1 - min(every) / total, abs=1e-9)


@given(VALUES)
def test_the_likeliest_of_all_divisions_and_scales_is_taken(numbers: list[float]) -> None:
    mask = torch.tensor(numbers, dtype=torch.float64)
    cut = cut_in_two(mask)
    if cut.threshold is None:
        assert mask.unique().numel() == 1 and cut.mask.eq(1).all()
        return
    kept = cut.mask.bool()
    assert torch.equal(kept, mask > cut.threshold) and 0 < int(kept.sum()) < len(mask)
    assert cut.gap == pytest.approx(float(mask[kept].mean() - mask[~kept].mean()))
    best = max(
        _likelihood(mask, mask > one, power)
        for one in mask.unique()[:-1]
        for power in (-1.0, -0.5, 0.0, 0.5, 1.0)
    )
    if mask.unique().numel() > 2:
        assert _likelihood(mask, kept, cut.power) == pytest.approx(best, abs=1e-6)


def _likelihood(values: torch.Tensor, kept: torch.Tensor, power: float) -> float:
    """Of two normal groups with equal variances after the transformation, by SciPy."""
    from scipy.stats import boxcox, norm

    scaled = torch.from_numpy(boxcox(values.numpy(), lmbda=power))
    spread = max((_within(scaled, kept) / len(scaled)) ** 0.5, 1e-12)
    means = torch.where(kept, scaled[kept].mean(), scaled[~kept].mean())
    densities = norm.logpdf((scaled - means).numpy(), scale=spread).sum()
    return float(densities + (power - 1) * values.log().sum())


@given(VALUES, st.randoms())
def test_order_and_scale_do_not_matter(numbers: list[float], random: Random) -> None:
    mask = torch.tensor(numbers, dtype=torch.float64)
    order = torch.tensor(random.sample(range(len(numbers)), len(numbers)))
    found, again = cut_in_two(mask), cut_in_two(mask[order])
    assert again.explained == pytest.approx(found.explained, abs=1e-9)
    assert torch.equal(again.mask, found.mask[order])
    # At half the size all are still above the values that are off.
    half, whole = cut_in_two(mask.clamp(min=0.2) * 0.5), cut_in_two(mask.clamp(min=0.2))
    if half.power == whole.power:
        assert half.explained == pytest.approx(whole.explained, abs=1e-9)


@pytest.mark.parametrize("power", [-1.0, 0.0, 1.0])
def test_two_groups_are_told_apart_in_their_own_scale(power: float) -> None:
    from scipy.special import inv_boxcox

    low, high = {-1.0: (-4.0, -1.0), 0.0: (-1.5, -0.5), 1.0: (-0.7, -0.3)}[power]
    draws = generator(3, "values")
    scaled = torch.cat(
        [
            low + 0.1 * (high - low) * torch.randn(80, generator=draws),
            high + 0.1 * (high - low) * torch.randn(20, generator=draws),
        ]
    )
    cut = cut_in_two(torch.from_numpy(inv_boxcox(scaled.double().numpy(), power)))
    assert cut.power == power
    assert cut.mask.tolist() == [0] * 80 + [1] * 20


def test_one_column_is_kept_and_columns_that_are_off_are_one_group() -> None:
    assert cut_in_two(torch.tensor([0.2])).mask.tolist() == [1]
    assert cut_in_two(torch.tensor([0.0, 0.04, 1e-9, 0.6, 0.5])).mask.tolist() == [0, 0, 0, 1, 1]
    assert cut_in_two(torch.tensor([0.0, 0.01])).threshold is None


def test_explained_tells_one_group_from_two() -> None:
    normal = 0.1 * torch.randn(20_000, generator=generator(0, "values")) - 0.5
    two = torch.cat([normal[:10_000], normal[10_000:] - 1])
    assert cut_in_two(normal.exp()).explained == pytest.approx(0.637, abs=0.01)
    assert cut_in_two(two.exp()).explained > 0.93


def test_every_modality_with_two_groups_is_cut_where_its_own_groups_are() -> None:
    """A higher mask of a whole modality is no cut, and hides none within the other."""
    draws = generator(5, "values")
    low, high = (
        0.25 + 0.03 * torch.randn(32, generator=draws),
        0.6 + 0.03 * torch.randn(32, generator=draws),
    )
    plain = 0.95 + 0.02 * torch.randn(64, generator=draws)
    slices = {"plain": slice(0, 64), "mixed": slice(64, 128)}
    kept, cuts = cut_by_modality(torch.cat([plain, low, high]), slices)
    assert kept.tolist() == [1] * 64 + [0] * 32 + [1] * 32
    assert [cuts[name].two_groups for name in ("plain", "mixed")] == [False, True]
    pooled = cut_in_two(torch.cat([plain, low]))
    assert pooled.two_groups and pooled.mask.tolist() == [1] * 64 + [0] * 32
    kept, _ = cut_by_modality(torch.cat([plain, low]), {**slices, "mixed": slice(64, 96)})
    assert kept.all()


@pytest.mark.parametrize(
    ("draw", "n"), [("normal", 4), ("normal", 8), ("normal", 64), ("exponential", 64)]
)
def test_one_normal_or_skewed_group_is_rarely_taken_for_two(draw: str, n: int) -> None:
    source = torch.Generator().manual_seed(0)
    bounds = {"normal": (0.3, 0.1), "exponential": (7.0,)}[draw]
    found = 0
    for _ in range(200):
        values = getattr(torch.empty(n), f"{draw}_")(*bounds, generator=source)
        found += cut_in_two((values + 0.2 * (draw == "exponential")).clamp(0, 1)).two_groups
    assert found < 20


def _gradients(common: float, opposite: float, n: int = 40) -> list[torch.Tensor]:
    """Batches of two environments: a common effect on column 0, an opposite one on column 1."""
    draws = generator(1, "gradients")
    noise = [torch.randn(n + e, 3, 4, generator=draws) for e in (0, 1)]
    for e, sign in ((0, 1.0), (1, -1.0)):
        noise[e][:, :, 0] += common
        noise[e][:, :, 1] += sign * opposite
    noise[0][:, :, 3], noise[1][:, :, 3] = 0.0, 0.0
    return noise


def test_agreement_is_the_sum_over_pairs_in_standard_errors() -> None:
    third = torch.randn(7, 3, 4, generator=generator(2, "gradients"))
    gradients = [*_gradients(0.5, 0.5), third]
    found = agreement(gradients)
    for column in range(3):
        parts = [one[:, :, column].double() for one in gradients]
        means = [part.mean(0) for part in parts]
        pairs = [(0, 1), (0, 2), (1, 2)]
        product = sum(float(means[a] @ means[b]) for a, b in pairs)
        others = [means[1] + means[2], means[0] + means[2], means[0] + means[1]]
        variance = sum(
            float((part @ other).var()) / len(part)
            for part, other in zip(parts, others, strict=True)
        )
        assert float(found[column]) == pytest.approx(product / variance**0.5)
    assert not torch.isnan(found).any()


def test_reversed_columns_are_found() -> None:
    """Whatever the scale and the order; an environment of one batch hides no others."""
    gradients = _gradients(0.5, 0.5)
    scores = agreement(gradients)
    assert scores[0] > 3 and scores[1] < -3 and abs(float(scores[2])) < 3 and scores[3] == 0
    assert reversed_columns(scores).tolist() == [False, True, False, False]
    torch.testing.assert_close(agreement(gradients[::-1]), scores)
    torch.testing.assert_close(agreement([100 * one for one in gradients]), scores)
    torch.testing.assert_close(agreement([*gradients, gradients[0][:1]]), agreement(gradients))
    assert not agreement([one[:1] for one in gradients]).any()


def test_without_an_effect_the_rate_of_false_discoveries_holds() -> None:
    draws = generator(3, "gradients")
    found = 0
    for _ in range(200):
        scores = agreement([torch.randn(30, 8, 50, generator=draws) for _ in (0, 1)])
        found += bool(reversed_columns(scores, 0.05).any())
    # Of 200 trials without an effect, 10 are expected to find any column.
    assert found < 25


def test_benjamini_and_hochberg_is_scipys() -> None:
    stats = pytest.importorskip("scipy.stats")
    if not hasattr(stats, "false_discovery_control"):
        pytest.skip("SciPy before 1.11")
    draws = generator(4, "scores")
    for rate in (0.01, 0.05, 0.3):
        scores = torch.randn(40, generator=draws).double() - 1
        expected = stats.false_discovery_control(stats.norm.cdf(scores.numpy())) <= rate
        assert reversed_columns(scores, rate).tolist() == expected.tolist()


@pytest.mark.parametrize(
    ("ones", "binary", "taken"),
    [(0.91, 0.5, "binary"), (0.905, 0.5, "binary"), (0.89, 0.5, "zeros")],
)
def test_harm_is_a_fraction_of_the_score_without_features(
    ones: float, binary: float, taken: str
) -> None:
    """Up to a tenth of it the mask without spurious columns is taken, whatever its own score."""
    scores = {"ones": ones, "soft": 0.8, "binary": binary, "zeros": 1.0}
    assert best_form(scores, "binary") == taken
    assert best_form(scores, None) == "zeros"
    assert best_form({**scores, "soft": 1.0, "zeros": 0.5}, None) == "soft"


def _mask() -> dict[str, torch.Tensor]:
    draws = generator(3, "mask")
    return {name: torch.rand(n, generator=draws) for name, n in (("visual", 9), ("textual", 5))}


def test_each_control_keeps_its_part_of_the_mask() -> None:
    mask, truth = _mask(), {"visual": torch.arange(9) % 2 == 0}
    before = {name: values.clone() for name, values in mask.items()}
    controls = control_masks(mask, truth, generator(0, "controls"))
    assert [*controls] == ["learnt", "uniform", "permuted", "ones", "zeros", "oracle"]
    assert all(tuple(one) == tuple(mask) for one in controls.values())
    mean = float(torch.cat(list(mask.values())).mean())
    for name, values in mask.items():
        assert torch.equal(values, before[name])
        assert torch.equal(controls["learnt"][name], values)
        torch.testing.assert_close(controls["uniform"][name], torch.full_like(values, mean))
        permuted = controls["permuted"][name]
        assert torch.equal(permuted.sort().values, values.sort().values)
        assert not torch.equal(permuted, values)
        assert controls["ones"][name].eq(1).all() and controls["zeros"][name].eq(0).all()
    assert torch.equal(controls["oracle"]["visual"], truth["visual"].float())
    assert controls["oracle"]["textual"].eq(1).all()


def test_permutations_are_those_of_the_generator() -> None:
    first, again, other = (
        control_masks(_mask(), None, generator(seed, "controls")) for seed in (0, 0, 1)
    )
    assert "oracle" not in first
    assert torch.equal(first["permuted"]["visual"], again["permuted"]["visual"])
    assert not torch.equal(first["permuted"]["visual"], other["permuted"]["visual"])
