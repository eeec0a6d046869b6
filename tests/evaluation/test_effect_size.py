"""Cohen's d of paired values and its interval, by hand."""

from __future__ import annotations

import numpy as np
import pytest

from recbole_painvrl.evaluation.significance import compare_paired


def test_interval_by_hand() -> None:
    """Differences 2, 1, -1, 4: d = 1.5 / sqrt(13 / 3), its variance 1 / 4 + d^2 / 8."""
    found = compare_paired(np.array([3.0, 5.0, 4.0, 8.0]), np.array([1.0, 4.0, 5.0, 4.0]))
    assert found.effect == pytest.approx(0.720577, abs=1e-6)
    # d^2 = 2.25 * 3 / 13 = 0.519231; sqrt(0.25 + 0.064904) = 0.561163; times 1.96: 1.099880.
    assert found.effect_low == pytest.approx(0.720577 - 1.099880, abs=1e-6)
    assert found.effect_high == pytest.approx(0.720577 + 1.099880, abs=1e-6)


def test_the_interval_is_as_wide_as_the_spread_of_d() -> None:
    """95 % of many samples of 50 differences around 0.4 have the true d in their interval."""
    rng = np.random.default_rng(0)
    samples = [compare_paired(rng.normal(0.4, 1, 50), np.zeros(50)) for _ in range(600)]
    covered = np.mean([one.effect_low <= 0.4 <= one.effect_high for one in samples])
    assert 0.92 < covered < 0.98
    half = np.mean([one.effect_high - one.effect_low for one in samples]) / 2
    assert half == pytest.approx(1.96 * np.std([one.effect for one in samples]), rel=0.1)


def test_without_variance_there_is_no_interval() -> None:
    gain = compare_paired(np.full(9, 2.0), np.ones(9))
    assert (gain.effect_low, gain.effect_high) == (np.inf, np.inf)
    loss = compare_paired(np.ones(9), np.full(9, 2.0))
    assert loss.effect == loss.effect_low == loss.effect_high == -np.inf
    same = compare_paired(np.ones(9), np.ones(9))
    assert same.effect == same.effect_low == same.effect_high == 0
