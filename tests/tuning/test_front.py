"""Dominance, choice and pruning, against brute force and planted answers."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from recbole_painvrl.evaluation.selection import dominates, selection_score
from recbole_painvrl.tuning.front import is_hopeless, is_rung

VECTORS = st.lists(st.tuples(st.integers(0, 5), st.integers(0, 5)), min_size=1, max_size=12)


@given(VECTORS)
def test_every_rule_chooses_from_the_front(values: list[tuple[int, int]]) -> None:
    front = [own for own in values if not any(dominates(other, own) for other in values)]
    for rule in ("iid", "ood", "harmonic"):
        best = max(selection_score(pair, rule) for pair in values)
        assert best == max(selection_score(pair, rule) for pair in front)


def test_scores() -> None:
    assert selection_score((0.2,), "harmonic") == 0.2
    assert selection_score((0.3, 0.1), "iid") == 0.3
    assert selection_score((0.3, 0.1), "ood") == 0.1
    assert selection_score((0.3, 0.1), "harmonic") == 2 / (1 / 0.3 + 1 / 0.1)
    assert selection_score((0.0, 0.0), "harmonic") == 0


def test_rungs_double() -> None:
    assert [n for n in range(70) if is_rung(n)] == [4, 8, 16, 32, 64]


def test_hopeless_is_the_median_rule_with_one_objective() -> None:
    peers = [(0.1,), (0.2,), (0.3,), (0.4,), (0.5,)]
    assert is_hopeless((0.25,), peers)
    assert not is_hopeless((0.3,), peers)


def test_who_leads_in_one_objective_is_never_hopeless() -> None:
    peers = [(0.9, 0.5)] * 9
    assert not is_hopeless((0.1, 0.6), peers)
    assert is_hopeless((0.1, 0.4), peers)


def test_few_peers_conclude_nothing() -> None:
    assert not is_hopeless((0.1,), [(0.9,)] * 3)
    assert is_hopeless((0.1,), [(0.9,)] * 4)


def test_half_of_the_peers_is_not_more_than_half() -> None:
    assert not is_hopeless((0.25,), [(0.1,), (0.2,), (0.3,), (0.4,)])
