"""The environments of an easy instance are found; the loop keeps its books."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

import pytest
import torch
from oracles import degrees_alone, random_graph, source
from torch import Tensor

from recbole_painvrl.environments.content import (
    ContentEnvironmentModel,
    EnvironmentLearner,
    FitSettings,
)
from recbole_painvrl.environments.full import FullEnvironmentModel, PlainUltraGCN
from recbole_painvrl.environments.loop import LoopSettings, identify
from recbole_painvrl.functional.environments import agreement
from recbole_painvrl.functional.ultragcn import Distinct, UltraGCNWeights, batch_loss

N_USERS, N_ITEMS, WIDTH, PER_USER = 150, 120, 4, 12


@pytest.fixture(scope="module")
def easy() -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
    """users, items, planted label, user vectors, content: in environment 1 taste is reversed."""
    draws = source(1)
    people = torch.randn(N_USERS, WIDTH, generator=draws)
    content = torch.randn(N_ITEMS, WIDTH, generator=draws)
    content[0] = 0
    users, items, labels = [], [], []
    for environment, sign in enumerate((3.0, -3.0)):
        chance = torch.softmax(sign * people @ content.T, dim=1)
        chance[:, 0] = 0
        chosen = torch.multinomial(chance[1:], PER_USER, generator=draws)
        users.append(torch.arange(1, N_USERS).repeat_interleave(PER_USER))
        items.append(chosen.flatten())
        labels.append(torch.full((chosen.numel(),), environment))
    return torch.cat(users), torch.cat(items), torch.cat(labels), people, content


def content_model(
    easy: tuple[Tensor, Tensor, Tensor, Tensor, Tensor], n_environments: int = 2
) -> ContentEnvironmentModel:
    users, items, _, people, content = easy
    fit = FitSettings(5, 0.05, 512, 64, "adam")
    return ContentEnvironmentModel(users, items, people, content, n_environments, fit)


def test_planted_environments_are_found(
    easy: tuple[Tensor, Tensor, Tensor, Tensor, Tensor],
) -> None:
    truth = easy[2]
    settings = LoopSettings(2, rounds=30, tolerance=0.001, restarts=2)
    rounds: list[tuple[int, int]] = []
    found = identify(
        content_model(easy), len(truth), settings, source(2),
        lambda start, number, moved, sizes: rounds.append((start, number)),
    )  # fmt: skip
    assert agreement(found.labels, truth, 2) > 0.9
    assert found.start_agreement < 0.85
    assert len(found.likelihoods) == 2
    assert found.likelihoods[found.kept] == max(found.likelihoods)
    assert len(found.stability) == 1
    assert len(found.moves) == len(found.sizes) == len(found.reseeded)
    assert all(sum(sizes) == len(truth) for sizes in found.sizes)
    assert found.sizes[-1] == torch.bincount(found.labels, minlength=2).tolist()
    assert len(found.moves) == sum(start == found.kept for start, _ in rounds)


def test_one_environment(easy: tuple[Tensor, Tensor, Tensor, Tensor, Tensor]) -> None:
    found = identify(content_model(easy, 1), len(easy[2]), LoopSettings(1, 10, 0.01, 1), source())
    assert not found.labels.any()
    assert not any(found.moves), "nothing can move"
    assert found.start_agreement == 1.0


class Scripted:
    """An environment model whose scores are given, one [E, n] per call; the last one repeats."""

    refines = True

    def __init__(self, scores: list[Tensor], likelihoods: list[float]) -> None:
        self.scores, self.likelihoods = scores, likelihoods
        self.seen: list[Tensor] = []
        self.reseeded: list[int] = []

    def reseed(self, environment: int, generator: torch.Generator) -> None:
        self.reseeded.append(environment)

    def restart(self, generator: torch.Generator) -> Tensor | None:
        return None

    def state(self) -> tuple[object, ...]:
        return ()

    def load_state(self, state: tuple[object, ...]) -> None:
        pass

    def fit_and_score(
        self, labels: Tensor, generator: torch.Generator, refinement: float | None = None
    ) -> tuple[Tensor, float]:
        number = len(self.seen)
        self.seen.append(labels.clone())
        last = len(self.scores) - 1, len(self.likelihoods) - 1
        return self.scores[min(number, last[0])], self.likelihoods[min(number, last[1])]


def one_hot(labels: list[int], n_environments: int) -> Tensor:
    return torch.nn.functional.one_hot(torch.tensor(labels), n_environments).T.float()


def test_an_environment_that_lost_everything_is_seeded_again() -> None:
    model = Scripted([one_hot([0] * 12, 3)], [0.0])
    found = identify(model, 12, LoopSettings(3, 2, -1.0, 1, refine_share=0.0), source())
    assert found.reseeded == [[], [1, 2]]
    assert found.moves[1] == 0, "what was seeded again has not moved"
    assert model.reseeded == [1, 2]
    assert len(torch.unique(model.seen[1])) == 3, "the next round trains on three environments"
    assert found.labels.tolist() == [0] * 12, "what is reported is Eq. 9, not the seeding"


def test_moves_are_counted_and_the_current_labels_are_passed_on() -> None:
    first, second = [0, 0, 0, 1, 1, 1, 1, 1, 1, 1], [0, 0, 0, 0, 1, 1, 1, 1, 1, 1]
    model = Scripted([one_hot(first, 2), one_hot(second, 2)], [0.0])
    found = identify(model, 10, LoopSettings(2, 9, 0.0, 1), source())
    assert found.labels.tolist() == second
    assert found.moves[1] == pytest.approx(1 / 10)
    assert not any(found.moves[2:])
    assert len(found.moves) < 9, "the search stops when nothing moves"
    assert model.seen[1].tolist() == first
    assert found.sizes[:2] == [[3, 7], [4, 6]]


@pytest.mark.parametrize("with_content", [True, False])
def test_full_model_scores_every_pair_with_every_model(
    easy: tuple[Tensor, Tensor, Tensor, Tensor, Tensor], with_content: bool
) -> None:
    users, items, truth, _, content = easy
    graph = degrees_alone(users, items, N_USERS, N_ITEMS)
    weights, fit = UltraGCNWeights.from_paper(1e-4, 0.0), FitSettings(6, 5e-3, 256, 64, "adam")
    make = partial(PlainUltraGCN, content if with_content else None, graph, weights, 8, 6, 0.01)
    model = FullEnvironmentModel(users, items, N_ITEMS, make, 2, fit, 1e-4, 1e-4)
    scores, likelihood = model.fit_and_score(truth, source())
    assert scores.shape == (2, len(users))
    assert scores.isfinite().all()
    assert likelihood < 0
    # Each model was trained on its own interactions and prefers them.
    assert agreement(scores.argmax(dim=0), truth, 2) > 0.8
    again, _ = model.fit_and_score(truth, source())
    assert torch.equal(scores, again)


def test_plain_ultragcn_scores_by_hand() -> None:
    graph = random_graph(3, 4, 0, source())
    content = torch.randn(4, 5)
    weights = UltraGCNWeights.from_paper(0, 0)
    model = PlainUltraGCN(content, graph, weights, 2, 3, 1.0, source())
    users, items = torch.tensor([0, 1, 2]), torch.tensor([3, 1, 1])
    for u, i, score in zip(users, items, model.score(users, items), strict=True):
        by_hand = model.users[u, :2] @ model.items[i]
        by_hand = by_hand + model.users[u, 2:] @ (model.projection @ content[i])
        assert score.item() == pytest.approx(by_hand.item(), abs=1e-6)


def test_nothing_is_seeded_while_refining() -> None:
    model = Scripted([one_hot([0] * 12, 3)], [0.0])
    settings = LoopSettings(3, 4, -1.0, 1, refine_share=0.5)
    assert identify(model, 12, settings, source()).reseeded == [[], [1, 2], [], []]


@pytest.mark.parametrize(
    ("learner", "own"), [("adam", False), ("adagrad", False), ("mixed", False), ("adam", True)]
)
def test_optimisers_of_tables_and_projection(learner: EnvironmentLearner, own: bool) -> None:
    """Three steps of the named rules by hand, with the L2 terms in the gradient."""
    weights = UltraGCNWeights.from_paper(0.5, 0)
    fit = FitSettings(3, 0.1, 8, 5, learner, per_positive=own)
    users, items = torch.tensor([0, 1, 2, 1]), torch.tensor([3, 1, 1, 2])

    def fresh() -> PlainUltraGCN:
        graph, content = random_graph(3, 4, 0, source()), torch.randn(4, 5, generator=source(1))
        graph = replace(
            graph, user_factor=graph.user_factor.float(), item_factor=graph.item_factor.float()
        )
        return PlainUltraGCN(content, graph, weights, 2, 3, 1.0, source())

    model = fresh()
    model.fit(users, items, fit, 0.3, source(2), 0.7)
    by_hand = fresh()
    tables, draws = [by_hand.users, by_hand.items], source(2)
    rules = {"adam": torch.optim.Adam, "adagrad": torch.optim.Adagrad}
    first = rules["adam" if learner == "adam" else "adagrad"](tables, lr=0.1)
    second = rules["adagrad" if learner == "adagrad" else "adam"]([by_hand.projection], lr=0.1)
    for _ in range(3):
        rows = torch.randperm(4, generator=draws)
        pool = torch.randint(1, 4, (4, 5) if own else (5,), generator=draws)
        every = Distinct(users[rows], torch.arange(4), torch.ones(4))
        loss = batch_loss(
            by_hand.users[users[rows]], by_hand.item_table(), every, items[rows], pool,
            by_hand.graph, weights,
        )  # fmt: skip
        loss = loss + 0.3 * sum(table.square().sum() for table in tables)
        loss = loss + 0.7 * by_hand.projection.square().sum()
        first.zero_grad()
        second.zero_grad()
        loss.backward()
        first.step()
        second.step()
    for got, expected in zip(
        [model.users, model.items, model.projection], [*tables, by_hand.projection], strict=True
    ):
        torch.testing.assert_close(got, expected, rtol=1e-4, atol=1e-5)
