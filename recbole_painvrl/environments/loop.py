"""The alternation of environment models and partition (Algorithm 1, lines 2 to 9)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Protocol

import torch
from torch import Tensor

from recbole_painvrl.functional.environments import (
    agreement,
    partition,
    random_partition,
    reseed_empty,
)


class EnvironmentModel(Protocol):
    """Gamma_e of Eq. 2 and 9, one per environment.

    Attributes:
        refines: whether the last rounds of a search refine; otherwise there are none.
    """

    refines: bool

    def restart(self, generator: torch.Generator) -> Tensor | None:
        """Forget what was learnt: a new start begins.

        Returns:
            First labels ``[n]`` on the CPU, or None for uniform random ones.
        """
        ...

    def state(self) -> tuple[object, ...]:
        """What was learnt since :meth:`restart`, by reference."""
        ...

    def reseed(self, environment: int, generator: torch.Generator) -> None:
        """Give an environment that nothing chose a new chance."""
        ...

    def load_state(self, state: tuple[object, ...]) -> None:
        """Continue from what :meth:`state` returned."""
        ...

    def fit_and_score(
        self, labels: Tensor, generator: torch.Generator, refinement: float | None = None
    ) -> tuple[Tensor, float]:
        """Train the environment models for one round and score all interactions.

        Args:
            labels: current environment of every interaction, ``[n]``.
            generator: source of initial values, order and negatives.
            refinement: None while searching; then the share of the refinement that is over.

        Returns:
            ``(scores [E, n], mean log-likelihood of every interaction under its best model)``.

        Raises:
            BadNumberError: the loss, its gradient or the likelihood is not finite.
        """
        ...


@dataclass(frozen=True)
class LoopSettings:
    """When the alternation stops.

    Attributes:
        n_environments: |E|.
        rounds: maximum number of rounds of one initialization.
        tolerance: stop when at most this share of the interactions moved.
        restarts: random starts; the one with the largest likelihood is kept.
        scout_share: share of the rounds after which the starts are compared and only the
            likeliest goes on.
        refine_share: share of the rounds, the last ones, that refine.
    """

    n_environments: int
    rounds: int
    tolerance: float
    restarts: int
    scout_share: float = 0.2
    refine_share: float = 0.4

    @property
    def refine_rounds(self) -> int:
        """Rounds that refine."""
        return min(self.rounds - 1, round(self.refine_share * self.rounds))

    @property
    def scout_rounds(self) -> int:
        """Rounds of every start."""
        return max(1, min(self.rounds - self.refine_rounds, round(self.scout_share * self.rounds)))


OnRound = Callable[[int, int, float, list[int]], None]


@dataclass
class Identification:
    """Environments found, with what is needed to doubt them.

    Attributes:
        labels: environment of every interaction, ``[n]``.
        moves: share of the interactions that moved, per round of the kept start.
        sizes: environment sizes after every round of the kept start.
        start_agreement: share of interactions still in their random start's environment, under
            the best renaming; near 1 means nothing was identified.
        likelihoods: mean log-likelihood of every start when the starts were compared.
        reseeded: environments that were empty and seeded again, before every round of
            the search.
        stability: agreement of the kept start with every other start, each as far as it came.
        kept: index of the kept start.
    """

    labels: Tensor
    moves: list[float] = field(default_factory=list)
    sizes: list[list[int]] = field(default_factory=list)
    start_agreement: float = 1.0
    likelihoods: list[float] = field(default_factory=list)
    reseeded: list[list[int]] = field(default_factory=list)
    stability: list[float] = field(default_factory=list)
    kept: int = 0


class _Start:
    """One random start and how far it has come."""

    def __init__(
        self, number: int, model: EnvironmentModel, n: int, size: int, generator: torch.Generator
    ) -> None:
        self.number, self.model, self.size, self.generator = number, model, size, generator
        drawn = model.restart(generator)
        self.first = random_partition(n, size, generator) if drawn is None else drawn
        self.found = Identification(labels=self.first)
        self.likelihood = float("-inf")
        self.state = model.state()

    def round(self, refinement: float | None, on_round: OnRound | None) -> float:
        """One round; returns the share of the interactions that moved."""
        found = self.found
        self.model.load_state(self.state)
        current = found.labels
        empty: list[int] = []
        if refinement is None:
            current, empty = reseed_empty(found.labels, self.size, self.generator)
        for environment in empty:
            self.model.reseed(environment, self.generator)
        scores, self.likelihood = self.model.fit_and_score(current, self.generator, refinement)
        self.state = self.model.state()
        labels = partition(scores).cpu()
        moved = float((labels != found.labels).float().mean())
        found.labels = labels
        found.moves.append(moved)
        found.sizes.append(torch.bincount(labels, minlength=self.size).tolist())
        found.reseeded.append(empty)
        if on_round is not None:
            on_round(self.number, len(found.moves) - 1, moved, found.sizes[-1])
        return moved


def identify(
    model: EnvironmentModel,
    n: int,
    settings: LoopSettings,
    generator: torch.Generator,
    on_round: OnRound | None = None,
) -> Identification:
    """Partition ``n`` interactions into environments, best of several random starts.

    Args:
        model: trains and scores the environment models.
        n: number of interactions.
        settings: sizes and stopping rule.
        generator: every draw of the search.
        on_round: called with (start, round, share moved, sizes) after every round.

    Deviations:
        Paper: one start, until convergence. A start can fall into a poor optimum, and those
        have lower likelihood, so several are tried for the first rounds and the likeliest goes
        on; an empty environment is seeded again, since without interactions it could never win
        one back. The last rounds refine (see ``content.py``).
    """
    if not model.refines:
        settings = replace(settings, refine_share=0.0)
    starts = []
    for number in range(settings.restarts):
        start = _Start(number, model, n, settings.n_environments, generator)
        for _ in range(settings.scout_rounds):
            if start.round(None, on_round) <= settings.tolerance:
                break
        starts.append(start)
    best = max(starts, key=lambda start: start.likelihood)
    found = best.found
    found.kept = best.number
    found.likelihoods = [start.likelihood for start in starts]
    _finish(best, settings, on_round)
    size = settings.n_environments
    found.start_agreement = agreement(best.first, found.labels, size)
    found.stability = [
        agreement(found.labels, start.found.labels, size) for start in starts if start is not best
    ]
    return found


def _finish(start: _Start, settings: LoopSettings, on_round: OnRound | None) -> None:
    """The rest of the search and the refinement of the start that is kept."""
    for _ in range(settings.rounds - settings.refine_rounds - len(start.found.moves)):
        if start.found.moves[-1] <= settings.tolerance:
            break
        start.round(None, on_round)
    for step in range(settings.refine_rounds):
        start.round(step / settings.refine_rounds, on_round)
