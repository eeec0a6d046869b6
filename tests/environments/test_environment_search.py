"""The search over starts: which one goes on, with what, and for how long."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from recbole_painvrl.environments.loop import Identification, LoopSettings, identify
from recbole_painvrl.functional.environments import agreement

N = 12
FIRST = torch.arange(N) % 2
MOVED = torch.where(torch.arange(N) == 0, 1 - FIRST, FIRST)


class Remembering:
    """A model whose state is the name of its start and the number of its rounds.

    The labels move back and forth, so that no start stops early.
    """

    refines = True

    def __init__(self, likelihoods: list[float]) -> None:
        self.likelihoods, self.started = likelihoods, -1
        self.kept: tuple[object, ...] = ()
        self.seen: list[tuple[object, ...]] = []
        self.refinements: list[float | None] = []

    def restart(self, generator: torch.Generator) -> Tensor | None:
        self.started += 1
        self.kept = (self.started, 0)
        return FIRST.clone()

    def state(self) -> tuple[object, ...]:
        return self.kept

    def reseed(self, environment: int, generator: torch.Generator) -> None:
        raise AssertionError("no environment is empty")

    def load_state(self, state: tuple[object, ...]) -> None:
        self.kept = state

    def fit_and_score(
        self, labels: Tensor, generator: torch.Generator, refinement: float | None = None
    ) -> tuple[Tensor, float]:
        start, number = self.kept
        assert isinstance(start, int) and isinstance(number, int)
        self.seen.append(self.kept)
        self.refinements.append(refinement)
        self.kept = (start, number + 1)
        labels = MOVED if number % 2 == 0 else FIRST
        likelihood = self.likelihoods[start] + 0.01 * number
        return torch.stack([1 - labels, labels]).float(), likelihood


def run(model: Remembering, settings: LoopSettings) -> Identification:
    return identify(model, N, settings, torch.Generator().manual_seed(0))


@pytest.mark.parametrize("best", [0, 1, 2])
def test_the_kept_start_continues_with_its_own_models(best: int) -> None:
    """Three starts of two rounds; the likeliest goes on from its own second round."""
    model = Remembering([0.0 if start == best else -1.0 for start in range(3)])
    settings = LoopSettings(2, 10, 0.0, 3, scout_share=0.2, refine_share=0.4)
    found = run(model, settings)
    assert found.kept == best
    scouted = [(start, number) for start in range(3) for number in range(2)]
    assert model.seen == scouted + [(best, number) for number in range(2, 10)]
    assert len(found.moves) == 10
    # Those of the comparison, after two rounds.
    assert found.likelihoods == pytest.approx([one + 0.01 for one in model.likelihoods])


def test_the_last_rounds_refine_and_say_how_much_of_the_refinement_is_over() -> None:
    model = Remembering([0.0])
    run(model, LoopSettings(2, 10, 0.0, 1, scout_share=0.2, refine_share=0.4))
    assert model.refinements == [None] * 6 + [0.0, 0.25, 0.5, 0.75]


def test_rounds_of_scouting_and_refinement_by_default() -> None:
    """A fifth of the rounds scouts, two fifths refine; both leave a round to the other."""
    settings = LoopSettings(2, 20, 0.0, 3)
    assert (settings.scout_rounds, settings.refine_rounds) == (4, 8)
    small = LoopSettings(2, 1, 0.0, 3)
    assert (small.scout_rounds, small.refine_rounds) == (1, 0)
    late = LoopSettings(2, 10, 0.0, 3, scout_share=0.9, refine_share=0.4)
    assert (late.scout_rounds, late.refine_rounds) == (6, 4)
    only = LoopSettings(2, 1, 0.0, 3, refine_share=0.9)
    assert (only.scout_rounds, only.refine_rounds) == (1, 0)


def test_a_start_stops_where_as_few_moved_as_tolerated() -> None:
    """One of twelve moves in every round: enough to stop at 1 / 12, not below it."""
    for tolerance, rounds in ((1 / N + 1e-6, 1), (1 / N - 1e-6, 9)):
        model = Remembering([0.0])
        found = run(model, LoopSettings(2, 9, tolerance, 1, scout_share=1.0, refine_share=0.0))
        assert len(found.moves) == rounds
        assert found.moves == pytest.approx([1 / N] * rounds)


def test_start_agreement_and_stability_are_those_of_the_last_labels() -> None:
    """After an odd number of rounds one pair is not where its start put it."""
    model = Remembering([-1.0, 0.0])
    found = run(model, LoopSettings(2, 5, 0.0, 2, scout_share=0.4, refine_share=0.0))
    assert torch.equal(found.labels, MOVED)
    assert found.start_agreement == pytest.approx((N - 1) / N)
    # The other start came as far as its second round.
    assert found.stability == pytest.approx([agreement(MOVED, FIRST, 2)])


def test_start_agreement_does_not_depend_on_the_numbers_of_the_environments() -> None:
    model = Remembering([0.0])
    scores = torch.stack([FIRST, 1 - FIRST]).float()
    model.fit_and_score = lambda *_: (scores, 0.0)  # type: ignore[method-assign]
    found = run(model, LoopSettings(2, 1, 0.0, 1))
    assert torch.equal(found.labels, 1 - FIRST)
    assert found.start_agreement == 1.0


def test_every_round_is_reported_with_its_start_and_its_place() -> None:
    model, seen = Remembering([-1.0, 0.0]), []
    settings = LoopSettings(2, 4, 0.0, 2, scout_share=0.5, refine_share=0.0)
    found = identify(
        model, N, settings, torch.Generator().manual_seed(0),
        lambda start, number, moved, sizes: seen.append((start, number, moved, tuple(sizes))),
    )  # fmt: skip
    # Interaction 0 goes from environment 0 to 1, and back.
    moved = pytest.approx(1 / N)
    there, back = (moved, (N // 2 - 1, N // 2 + 1)), (moved, (N // 2, N // 2))
    assert seen == [
        (0, 0, *there), (0, 1, *back), (1, 0, *there), (1, 1, *back), (1, 2, *there),
        (1, 3, *back),
    ]  # fmt: skip
    assert found.sizes == [list(sizes) for *_, sizes in seen[2:]]
