"""Protocol iid_ood: which seed decides what, and when its OOD split is called one."""

from __future__ import annotations

from functools import partial
from math import log2
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scipy.sparse as sp
import torch
from oracles import degrees_alone
from torch import Tensor

from recbole_painvrl.config import RunSettings
from recbole_painvrl.data.splits import iid_ood as iid_ood_module
from recbole_painvrl.data.splits.base import (
    OOD,
    OOD_VALID,
    TEST,
    TRAIN,
    VALID,
    IntArray,
    Split,
    drop_cold,
    split_iid_ood,
)
from recbole_painvrl.data.splits.iid_ood import iid_ood_split
from recbole_painvrl.environments.content import ContentEnvironmentModel, FitSettings
from recbole_painvrl.environments.full import FullEnvironmentModel, PlainUltraGCN
from recbole_painvrl.environments.loop import Identification, LoopSettings, identify
from recbole_painvrl.functional.graph import item_neighbours
from recbole_painvrl.functional.ultragcn import GraphWeights, UltraGCNWeights
from recbole_painvrl.seeds import derive_seed, generator

N_USERS, N_ITEMS = 40, 30


def settings(seed: int = 0, split_epochs: int = 1) -> RunSettings:
    values = {"split_epochs": split_epochs, "split_rounds": 2, "split_seed": seed}
    return RunSettings.model_validate(values)


@pytest.fixture
def pairs() -> tuple[IntArray, IntArray]:
    """Every user with 12 distinct items, numbered from 1."""
    rng = np.random.default_rng(0)
    users = np.repeat(np.arange(1, N_USERS + 1), 12)
    items = np.concatenate([1 + rng.permutation(N_ITEMS)[:12] for _ in range(N_USERS)])
    return users, items


class Fitted:
    """An UltraGCN that gives item i the score -i for everybody: it ranks 1, 2, 3..."""

    def __init__(self, n_users: int, n_items: int) -> None:
        self.users = torch.ones(n_users, 1)
        self._table = -torch.arange(n_items, dtype=torch.float32)[:, None]

    def item_table(self) -> Tensor:
        return self._table


@pytest.fixture
def fitted(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """What the fixed UltraGCN of the verdict was trained on, and its generator."""
    seen: list[dict[str, Any]] = []

    def fit(
        users: Tensor, items: Tensor, _: Any, graph: Any, epochs: int, source: torch.Generator
    ) -> Fitted:
        pairs = set(zip(users.tolist(), items.tolist(), strict=True))
        seen.append({"pairs": pairs, "seed": source.initial_seed(), "graph": graph})
        return Fitted(len(graph.user_factor), len(graph.item_factor))

    monkeypatch.setattr(iid_ood_module, "_fitted", fit)
    return seen


def verdict(agreement: float, test: int, ood: int, seed: int = 0) -> dict[str, Any]:
    """Of one user with training item 1, validation item 2, and these two test items."""
    users, items = np.ones(5, dtype=np.int64), np.array([1, 2, test, ood, 12])
    parts = {TRAIN: [0], VALID: [1], TEST: [2], OOD: [3], OOD_VALID: [4]}
    rows = {part: np.array(numbers) for part, numbers in parts.items()}
    split = Split(rows, {"agreement_with_start": agreement})
    return iid_ood_module._shift(split, users, items, settings(seed))


@pytest.mark.usefixtures("fitted")
@pytest.mark.parametrize(
    ("agreement", "ood", "shift"),
    [
        (0.5, 5, "identified environments"),
        (0.95, 5, "not detected"),
        (0.5, 3, "not detected"),
        (0.95, 3, "not detected"),
        # Neither limit is reached by what only equals it.
        (0.8, 5, "not detected"),
        (0.79, 5, "identified environments"),
    ],
)
def test_a_shift_needs_moved_pairs_and_a_lower_ndcg(agreement: float, ood: int, shift: str) -> None:
    """Item 3 is at rank 1 of what is left; item 5 is at rank 3."""
    found = verdict(agreement, 3, ood)
    assert found["shift"] == shift
    expected = {TEST: 1.0, OOD: 1.0 if ood == 3 else 1 / log2(4)}
    assert found["ultragcn_ndcg@10"] == pytest.approx(expected)


@pytest.mark.usefixtures("fitted")
@pytest.mark.parametrize(
    ("agreement", "ood", "said", "unsaid"),
    [
        (0.5, 5, "identified environments", "criterion"),
        (0.5, 3, "a fixed ID-only UltraGCN has NDCG@10 1.0000 IID and 1.0000 OOD", "kept"),
        (0.95, 5, "95% of the interactions kept their environment", "UltraGCN"),
        (0.95, 3, "counts; 95%", "identified"),
    ],
)
def test_no_shift_is_explained_by_the_criterion_that_failed(
    agreement: float, ood: int, said: str, unsaid: str
) -> None:
    split = {"agreement_with_start": agreement, **verdict(agreement, 3, ood)}
    words = iid_ood_module.shift_words(split)
    assert said in words and unsaid not in words
    damaged = iid_ood_module.shift_words({**split, "ultragcn_ndcg@10": 3})
    assert damaged.startswith(words[:12]) and "UltraGCN" not in damaged


@pytest.mark.parametrize(
    ("iid", "ood", "shift"),
    [
        (0.5, 0.44, "identified environments"),
        (0.5, 0.45, "not detected"),
        (0.0, 0.0, "not detected"),
    ],
)
def test_nine_tenths_of_the_ndcg_is_no_shift(
    iid: float, ood: float, shift: str, fitted: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    answers = iter((iid, ood))
    monkeypatch.setattr(iid_ood_module, "mean_ndcg", lambda *_: next(answers))
    assert verdict(0.5, 3, 5)["shift"] == shift


@pytest.mark.parametrize("shifted", [True, False])
def test_the_verdict_sees_a_planted_shift(shifted: bool) -> None:
    """Two groups like their own half of the items; out of distribution it may be the other's."""
    rng, rows = (
        np.random.default_rng(0),
        {part: [] for part in (TRAIN, VALID, TEST, OOD_VALID, OOD)},
    )
    pairs: list[tuple[int, int]] = []
    for user in range(1, N_USERS + 1):
        halves = 1 + rng.permutation(15), 16 + rng.permutation(15)
        own, other = halves if user % 2 else halves[::-1]
        chosen = {TRAIN: own[:9], VALID: own[9:10], TEST: own[10:12], OOD_VALID: own[12:13]}
        chosen[OOD] = other[:2] if shifted else own[13:15]
        for part, items in chosen.items():
            rows[part] += range(len(pairs), len(pairs) + len(items))
            pairs += [(user, int(item)) for item in items]
    users, items = (np.array(side) for side in zip(*pairs, strict=True))
    split = Split({part: np.array(n) for part, n in rows.items()}, {"agreement_with_start": 0.5})
    found = iid_ood_module._shift(split, users, items, settings(split_epochs=60))
    ndcg = found["ultragcn_ndcg@10"]
    # Five unknown items of the own half are left, two of them in the test.
    assert ndcg[TEST] > 0.6
    assert (ndcg[OOD] < 0.3) == shifted
    assert (found["shift"] == "identified environments") == shifted


def test_the_verdict_is_trained_on_the_training_split_alone(fitted: list[dict[str, Any]]) -> None:
    verdict(0.5, 3, 4, seed=7)
    (seen,) = fitted
    assert seen["pairs"] == {(1, 1)}
    assert seen["seed"] == derive_seed(7, "split shift")
    # Degrees of the training split: item 1 has one interaction, the others have none.
    factors = seen["graph"].item_factor.tolist()
    assert factors == pytest.approx([1.0, 1 / 2**0.5, *[1.0] * 11])


@pytest.mark.usefixtures("fitted")
def test_the_split_seed_divides_the_environments_rows(
    pairs: tuple[IntArray, IntArray], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With the environments given, another seed still makes another split."""
    labels = torch.arange(len(pairs[0])) % 3 // 2
    monkeypatch.setattr(
        iid_ood_module, "_environments", lambda *_: Identification(labels, moves=[0.0])
    )
    one, again, other = (
        iid_ood_split(*pairs, None, settings(seed), tmp_path / name)
        for seed, name in ((0, "a"), (0, "b"), (1, "c"))
    )
    larger = set(np.flatnonzero(labels.numpy() == 0))
    for part in (TRAIN, VALID, TEST, OOD_VALID, OOD):
        np.testing.assert_array_equal(one.rows[part], again.rows[part])
        assert not np.array_equal(one.rows[part], other.rows[part]), part
        assert (set(one.rows[part]) <= larger) == (part in (TRAIN, VALID, TEST)), (
            "the larger trains"
        )
    assert one.diagnostics["environment_sizes"] == [320, 160]
    rng, (users, items) = np.random.default_rng([1, 3]), pairs
    inside, outside = (np.flatnonzero(labels.numpy() == label) for label in (0, 1))
    expected = Split(split_iid_ood(inside, outside, users, items, rng))
    for part, rows in drop_cold(expected, users, items).rows.items():
        np.testing.assert_array_equal(other.rows[part], rows)


@pytest.mark.parametrize("with_content", [True, False])
def test_environments_are_found_with_the_fixed_settings_of_the_protocol(
    pairs: tuple[IntArray, IntArray], with_content: bool
) -> None:
    """Written down: with other numbers the same data would have another split."""
    users, items = (torch.from_numpy(side) for side in pairs)
    n_users, n_items = N_USERS + 1, N_ITEMS + 1
    content = torch.randn(n_items + 3, 5, generator=torch.Generator().manual_seed(1))
    graph = degrees_alone(users, items, n_users, n_items)
    weights = UltraGCNWeights.from_paper(1e-4, 0)
    source, fit = generator(7, "split environments"), FitSettings(2, 1e-3, 512, 512, "adam")
    model: Any
    if with_content:
        content = content[:n_items]
        backbone = PlainUltraGCN(content, graph, weights, 64, 64, 0.01, source)
        backbone.fit(users, items, fit, 1e-4, source, 1e-4)
        people = backbone.users.detach()[:, 64:]
        own = FitSettings(3, 1e-2, 4096, 256, "adam")
        model = ContentEnvironmentModel(users, items, people, content, 2, own)
    else:
        make = partial(PlainUltraGCN, None, graph, weights, 64, 64, 0.01)
        model = FullEnvironmentModel(users, items, n_items, make, 2, fit, 1e-4, 1e-4)
    expected = identify(model, len(users), LoopSettings(2, 2, 0.01, 1), source)
    found = iid_ood_module._environments(
        *pairs, content if with_content else None, settings(7, split_epochs=2)
    )
    assert found.likelihoods == expected.likelihoods
    assert torch.equal(found.labels, expected.labels)
    assert found.moves == expected.moves


def test_strict_environments_have_item_graph_and_own_negatives(
    pairs: tuple[IntArray, IntArray],
) -> None:
    """Section 4.2.2: kappa 0.01; K = 10 and N = 50 per positive are those of InvRL's code."""
    users, items = (torch.from_numpy(side) for side in pairs)
    n_users, n_items = N_USERS + 1, N_ITEMS + 1
    degrees = degrees_alone(users, items, n_users, n_items)
    matrix = sp.csr_matrix((np.ones(len(users)), pairs), shape=(n_users, n_items))
    near = item_neighbours(matrix, 10)
    graph = GraphWeights(degrees.user_factor, degrees.item_factor, *near)
    fit = FitSettings(1, 1e-3, 512, 50, "adam", per_positive=True)
    weights = UltraGCNWeights.from_paper(1e-4, 0.01)
    make = partial(PlainUltraGCN, None, graph, weights, 64, 64, 0.01)
    model = FullEnvironmentModel(users, items, n_items, make, 2, fit, 1e-4, 1e-4)
    expected = identify(
        model, len(users), LoopSettings(2, 2, 0.01, 1), generator(7, "split environments")
    )
    strict = settings(7).model_copy(update={"split_variant": "strict"})
    found = iid_ood_module._environments(*pairs, None, strict)
    assert torch.equal(found.labels, expected.labels)
    assert found.likelihoods == expected.likelihoods
    assert found.likelihoods != iid_ood_module._environments(*pairs, None, settings(7)).likelihoods


def test_item_degrees_are_those_of_the_two_environments() -> None:
    items, inside = np.array([1, 1, 1, 2, 2, 3]), np.array([1, 1, 1, 1, 0, 0], dtype=bool)
    found = iid_ood_module._mean_degrees(items, inside)
    assert found == pytest.approx({"larger": (3 + 3 + 3 + 2) / 4, "smaller": (2 + 1) / 2})
