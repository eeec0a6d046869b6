"""The rules of the content environment model against a literal form of them."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import partial

import pytest
import torch
import torch.nn.functional as F
from oracles import degrees_alone, source
from torch import Tensor

from recbole_painvrl.environments import content as content_module
from recbole_painvrl.environments.content import (
    ContentEnvironmentModel,
    EnvironmentLearner,
    FitSettings,
)
from recbole_painvrl.environments.full import FullEnvironmentModel, PlainUltraGCN
from recbole_painvrl.environments.loop import LoopSettings, identify
from recbole_painvrl.functional.ultragcn import GraphWeights, UltraGCNWeights

N_USERS, N_ITEMS, WIDTH, N, SIZE = 12, 9, 3, 40, 3
FIT = FitSettings(2, 0.3, 16, 5, "adam")


USERS = torch.randint(1, N_USERS, (N,), generator=source(1))
ITEMS = torch.randint(1, N_ITEMS, (N,), generator=source(2))
PEOPLE = torch.randn(N_USERS, WIDTH, generator=source(3))
CONTENT = torch.randn(N_ITEMS, 4, generator=source(4))
# Offsets of Eq. 9 while refining: the second environment is below the smallest share.
SHARES = torch.tensor([0.7, 0.001, 0.299])


def content_model(
    learner: EnvironmentLearner = "adam", size: int = SIZE, seed: int = 5
) -> ContentEnvironmentModel:
    fit = FitSettings(FIT.epochs, FIT.learning_rate, FIT.batch_size, FIT.n_negatives, learner)
    model = ContentEnvironmentModel(USERS, ITEMS, PEOPLE, CONTENT, size, fit)
    model.restart(source(seed))
    return model


def tastes() -> Tensor:
    """p^f with mean square norm 1, and a constant entry."""
    norm = PEOPLE.square().sum(dim=1).mean().sqrt()
    return torch.cat([PEOPLE / norm, torch.ones(N_USERS, 1)], dim=1)


def score(projections: Tensor, environment: int, user: int, item: int) -> Tensor:
    return tastes()[user] @ (projections[environment] @ CONTENT[item])


@dataclass
class Literal:
    """The same rules, one pair at a time."""

    projections: Tensor
    shares: Tensor

    def offset(self, refining: bool) -> list[float]:
        """Half of the log of the running share, at least 0.02, and only while refining."""
        if not refining:
            return [0.0] * len(self.shares)
        return [0.5 * math.log(max(0.02, share)) for share in self.shares.tolist()]

    def scores(self, rows: list[int], refining: bool) -> Tensor:
        """Scores ``[E, rows]`` of Eq. 9."""
        offset = self.offset(refining)
        table = [
            [score(self.projections, e, int(USERS[r]), int(ITEMS[r])) + offset[e] for r in rows]
            for e in range(len(self.shares))
        ]
        return torch.stack([torch.stack(line) for line in table])

    def loss(self, rows: list[int], pool: list[int], refining: bool) -> Tensor:
        """Eq. 4 of every environment on the pairs that it wins, negatives by its own model."""
        labels = self.scores(rows, refining).argmax(dim=0).tolist()
        found = torch.tensor([labels.count(e) / len(rows) for e in range(len(self.shares))])
        self.shares = 0.9 * self.shares + 0.1 * found
        total = torch.zeros(())
        for row, label in zip(rows, labels, strict=True):
            user = int(USERS[row])
            total = total - F.logsigmoid(score(self.projections, label, user, int(ITEMS[row])))
            costs = [-F.logsigmoid(-score(self.projections, label, user, j)) for j in pool]
            total = total + torch.stack(costs).mean()
        return total

    def round(self, rate: float, learner: str, refining: bool, draws: torch.Generator) -> None:
        """Some epochs, each in an order and with pools of its own."""
        projections = self.projections.detach().clone().requires_grad_()
        self.projections = projections
        # ``mixed`` is Adam for projections.
        rule = torch.optim.Adagrad if learner == "adagrad" else torch.optim.Adam
        optimizer = rule([projections], lr=rate)
        for _ in range(FIT.epochs):
            batches = torch.randperm(N, generator=draws).split(FIT.batch_size)
            pools = torch.randint(1, N_ITEMS, (len(batches), FIT.n_negatives), generator=draws)
            for rows, pool in zip(batches, pools, strict=True):
                optimizer.zero_grad()
                self.loss(rows.tolist(), pool.tolist(), refining).backward()
                optimizer.step()


@pytest.mark.parametrize("learner", ["adam", "adagrad", "mixed"])
@pytest.mark.parametrize(
    ("refinement", "rate", "most_rows"),
    # While searching the learning rate itself; then a third of it, falling linearly to 0. Scores of
    # a batch from whole tables or from its own rows.
    [(None, 0.3, 0.0), (0.0, 0.1, 1.0), (0.75, 0.025, 0.0)],
)
def test_a_round_follows_the_literal_rules(
    learner: EnvironmentLearner,
    refinement: float | None,
    rate: float,
    most_rows: float,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(content_module, "_MOST_ROWS", most_rows)
    model, draws = content_model(learner), source(6)
    # Shares of some round, and projections far enough apart for every environment to win pairs.
    model.shares = SHARES.clone()
    with torch.no_grad():
        model.projections.mul_(50)
    literal = Literal(model.projections.detach().clone(), SHARES.clone())
    literal.round(rate, learner, refinement is not None, draws)
    scores, _ = model.fit_and_score(torch.zeros(N, dtype=torch.long), source(6), refinement)
    torch.testing.assert_close(model.projections, literal.projections, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(model.shares, literal.shares)
    expected = literal.scores(list(range(N)), refinement is not None)
    torch.testing.assert_close(scores, expected.detach(), rtol=1e-4, atol=1e-4)


def test_a_start_has_equal_shares_and_the_labels_of_its_projections() -> None:
    model = content_model()
    labels = model.restart(source(7))
    assert model.shares.tolist() == pytest.approx([1 / SIZE] * SIZE)
    drawn = 0.01 * torch.randn(SIZE, WIDTH + 1, 4, generator=source(7))
    assert torch.equal(model.projections.detach(), drawn)
    expected = Literal(drawn, model.shares).scores(list(range(N)), False).argmax(dim=0)
    assert torch.equal(labels, expected)


def test_a_lost_environment_goes_on_as_a_disturbed_copy_of_the_largest() -> None:
    model = content_model()
    before = model.projections.detach().clone()
    model.shares = torch.tensor([0.1, 0.0, 0.9])
    model.reseed(1, source(8))
    noise = torch.randn(before[2].shape, generator=source(8))
    torch.testing.assert_close(model.projections[1], before[2] + before[2].std() * noise)
    assert torch.equal(model.projections[[0, 2]], before[[0, 2]])
    assert model.shares.tolist() == pytest.approx([0.1, 1 / 3, 0.9])


def test_a_kept_start_goes_on_as_if_no_other_had_come_between() -> None:
    labels = torch.zeros(N, dtype=torch.long)
    alone, model = content_model(), content_model()
    for one in (alone, model):
        one.fit_and_score(labels, source(11))
    kept = model.state()
    model.restart(source(12))
    model.fit_and_score(labels, source(13))
    model.load_state(kept)
    # While refining, the scores depend on the shares.
    expected, found = (one.fit_and_score(labels, source(14), 0.0)[0] for one in (alone, model))
    assert torch.equal(found, expected)


@pytest.mark.parametrize("block", [7, 8192])
def test_likelihood_is_that_of_every_pairs_own_model(
    block: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Pairs and negatives under the best model of the pair, in blocks of any size."""
    monkeypatch.setattr(content_module, "_BLOCK", block)
    monkeypatch.setattr(content_module, "_LIKELIHOOD_NEGATIVES", 6)
    model = content_model()
    with torch.no_grad():
        model.projections.mul_(100)
        scores, likelihood = model._scores_and_likelihood(source(9))
    pool = torch.randint(1, N_ITEMS, (6,), generator=source(9)).tolist()
    projections, total = model.projections.detach(), 0.0
    for row, (user, item) in enumerate(zip(USERS.tolist(), ITEMS.tolist(), strict=True)):
        own = [float(score(projections, e, user, item)) for e in range(SIZE)]
        assert scores[:, row].tolist() == pytest.approx(own, rel=1e-4, abs=1e-5)
        label = max(range(SIZE), key=own.__getitem__)
        total += math.log(1 / (1 + math.exp(-own[label])))
        costs = [1 + math.exp(float(score(projections, label, user, j))) for j in pool]
        total -= sum(map(math.log, costs)) / len(pool)
    assert likelihood == pytest.approx(total / N, rel=1e-4)


WEIGHTS = UltraGCNWeights.from_paper(0.1, 0)


def graph() -> GraphWeights:
    return degrees_alone(USERS, ITEMS, N_USERS, N_ITEMS)


def full_model() -> FullEnvironmentModel:
    make = partial(PlainUltraGCN, CONTENT, graph(), WEIGHTS, 4, 2, 0.5)
    return FullEnvironmentModel(USERS, ITEMS, N_ITEMS, make, 2, FIT, 0.1, 0.2)


def test_likelihood_of_the_full_models_is_that_of_every_pairs_own_model() -> None:
    labels = torch.arange(N) % 2
    scores, likelihood = full_model().fit_and_score(labels, source(10))
    draws = source(10)
    negatives = torch.randint(1, N_ITEMS, (N,), generator=draws)
    pairs, others = [], []
    for environment in (0, 1):
        own = PlainUltraGCN(CONTENT, graph(), WEIGHTS, 4, 2, 0.5, draws)
        mine = labels == environment
        own.fit(USERS[mine], ITEMS[mine], FIT, 0.1, draws, 0.2)
        pairs.append(own.score(USERS, ITEMS, block=11))
        others.append(own.score(USERS, negatives))
    torch.testing.assert_close(scores, torch.stack(pairs))
    total = 0.0
    for row in range(N):
        label = int(pairs[1][row] > pairs[0][row])
        total += float(F.logsigmoid(pairs[label][row]) + F.logsigmoid(-others[label][row]))
    assert likelihood == pytest.approx(total / N, rel=1e-5)


def test_content_models_refine_and_full_models_cannot() -> None:
    """Everything is tolerated: one round of search, then two fifths of five rounds."""
    settings = LoopSettings(2, 5, 1.0, 1)
    assert len(identify(content_model(size=2), N, settings, source()).moves) == 1 + 2
    assert len(identify(full_model(), N, settings, source()).moves) == 1
