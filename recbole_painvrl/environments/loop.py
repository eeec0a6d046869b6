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
from recbole_painvrl.parallel import group
from recbole_painvrl.parallel.shards import OwnRows


class EnvironmentModel(Protocol):
    """Gamma_e of Eq. 2 and 9, one per environment.

    Attributes:
        refines: whether the last rounds of a search are refinement rounds.
    """

    refines: bool

    def restart(self, generator: torch.Generator) -> Tensor | None:
        """Reset the models to a new random initialization.

        Returns:
            Initial labels ``[n]`` on the CPU, or None for uniform random ones.
        """
        ...

    def state(self) -> tuple[object, ...]:
        """Everything that training has changed since :meth:`restart`, by reference."""
        ...

    def reseed(self, environment: int, generator: torch.Generator) -> None:
        """Reinitialize an empty environment."""
        ...

    def load_state(self, state: tuple[object, ...]) -> None:
        """Restore a state returned by :meth:`state`."""
        ...

    def fit_and_score(
        self, labels: Tensor, generator: torch.Generator, refinement: float | None = None
    ) -> tuple[Tensor, float]:
        """Train the environment models for one round and score all interactions.

        Args:
            labels: current environment of every interaction, ``[n]``.
            generator: random generator of initial values, order and negatives.
            refinement: None before the refinement, then the completed fraction of it.

        Returns:
            ``(scores [E, n], mean log-likelihood of every interaction under its best model)``.

        Raises:
            BadNumberError: the loss, its gradient or the likelihood is not finite.
        """
        ...


@dataclass(frozen=True)
class LoopSettings:
    """Stopping rule of the alternation.

    Attributes:
        n_environments: |E|.
        rounds: maximum number of rounds of one initialization.
        tolerance: stop when at most this fraction of the interactions moved.
        restarts: random initializations; the one with the largest likelihood is kept.
        scout_share: fraction of the rounds after which the initializations are compared and only
            the most likely one continues.
        refine_share: fraction of the rounds, at the end, that are refinement rounds.
    """

    n_environments: int
    rounds: int
    tolerance: float
    restarts: int
    scout_share: float = 0.2
    refine_share: float = 0.4

    @property
    def refine_rounds(self) -> int:
        """Number of refinement rounds."""
        return min(self.rounds - 1, round(self.refine_share * self.rounds))

    @property
    def scout_rounds(self) -> int:
        """Rounds of every initialization before the comparison."""
        return max(1, min(self.rounds - self.refine_rounds, round(self.scout_share * self.rounds)))


OnRound = Callable[[int, int, float, list[int]], None]


@dataclass
class Identification:
    """Identified environments, with diagnostics.

    Attributes:
        labels: environment of every interaction, ``[n]``.
        moves: fraction of the interactions that moved, per round of the kept initialization.
        sizes: environment sizes after every round of the kept initialization.
        start_agreement: fraction of interactions still in their initial environment, under the
            best permutation of labels; near 1 means that nothing was identified.
        likelihoods: mean log-likelihood of every initialization at the comparison.
        reseeded: environments that were empty and reinitialized, before every round.
        stability: agreement of the kept initialization with every other one, at its last round.
        kept: index of the kept initialization.
    """

    labels: Tensor
    moves: list[float] = field(default_factory=list)
    sizes: list[list[int]] = field(default_factory=list)
    start_agreement: float = 1.0
    likelihoods: list[float] = field(default_factory=list)
    reseeded: list[list[int]] = field(default_factory=list)
    stability: list[float] = field(default_factory=list)
    kept: int = 0


class _Initialization:
    """One random initialization and its progress."""

    def __init__(
        self,
        number: int,
        model: EnvironmentModel,
        n: int,
        size: int,
        generator: torch.Generator,
        own: OwnRows | None,
    ) -> None:
        self.number, self.model, self.size, self.generator = number, model, size, generator
        self.own = own
        drawn = model.restart(generator)
        self.first = random_partition(n, size, generator) if drawn is None else all_rows(drawn, own)
        self.result = Identification(labels=self.first)
        self.likelihood = float("-inf")
        self.state = model.state()

    def round(self, refinement: float | None, on_round: OnRound | None) -> float:
        """One round; returns the fraction of the interactions that moved."""
        result = self.result
        self.model.load_state(self.state)
        current = result.labels
        empty: list[int] = []
        if refinement is None:
            current, empty = reseed_empty(result.labels, self.size, self.generator)
        for environment in empty:
            self.model.reseed(environment, self.generator)
        scores, self.likelihood = self.model.fit_and_score(current, self.generator, refinement)
        self.state = self.model.state()
        labels = all_rows(partition(scores).cpu(), self.own)
        moved = float((labels != result.labels).float().mean())
        result.labels = labels
        result.moves.append(moved)
        result.sizes.append(torch.bincount(labels, minlength=self.size).tolist())
        result.reseeded.append(empty)
        if on_round is not None:
            on_round(self.number, len(result.moves) - 1, moved, result.sizes[-1])
        return moved


def identify(
    model: EnvironmentModel,
    n: int,
    settings: LoopSettings,
    generator: torch.Generator,
    on_round: OnRound | None = None,
    own: OwnRows | None = None,
) -> Identification:
    """Partition ``n`` interactions into environments, best of several random initializations.

    Args:
        model: trains and scores the environment models.
        n: number of interactions.
        settings: sizes and stopping rule.
        generator: random generator of the search.
        on_round: called with (initialization, round, fraction moved, sizes) after every round.
        own: None in a single process. With several: which of the interactions the model of this
            process scores; every process has the labels of all interactions.

    Deviations:
        The paper runs one initialization until convergence. It can end in a poor optimum, which has
        a lower likelihood, so several are run for the first rounds and the most likely one
        continues. An empty environment is reinitialized, since without interactions it would stay
        empty. The last rounds are refinement rounds (see ``content.py``).
    """
    if not model.refines:
        settings = replace(settings, refine_share=0.0)
    starts = []
    for number in range(settings.restarts):
        start = _Initialization(number, model, n, settings.n_environments, generator, own)
        for _ in range(settings.scout_rounds):
            if start.round(None, on_round) <= settings.tolerance:
                break
        starts.append(start)
    best = max(starts, key=lambda start: start.likelihood)
    result = best.result
    result.kept = best.number
    result.likelihoods = [start.likelihood for start in starts]
    _finish(best, settings, on_round)
    size = settings.n_environments
    result.start_agreement = agreement(best.first, result.labels, size)
    result.stability = [
        agreement(result.labels, start.result.labels, size) for start in starts if start is not best
    ]
    return result


def all_rows(labels: Tensor, own: OwnRows | None) -> Tensor:
    """Labels of the interactions of all processes, ``[n]``, from those of this one, ``[n_r]``."""
    if own is None:
        return labels
    whole = torch.zeros(len(own), dtype=torch.int32)
    whole[own.rows] = labels.int()
    group.sum_([whole])
    return whole.long()


def _finish(start: _Initialization, settings: LoopSettings, on_round: OnRound | None) -> None:
    """The remaining rounds and the refinement of the kept initialization."""
    for _ in range(settings.rounds - settings.refine_rounds - len(start.result.moves)):
        if start.result.moves[-1] <= settings.tolerance:
            break
        start.round(None, on_round)
    for step in range(settings.refine_rounds):
        start.round(step / settings.refine_rounds, on_round)
