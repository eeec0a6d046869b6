"""The alternation of environment models and partition (Algorithm 1, lines 2 to 9)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
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
    """Gamma_e of Eq. 2 and 9, one per environment and round."""

    def fit_and_score(self, labels: Tensor, generator: torch.Generator) -> tuple[Tensor, float]:
        """Train one fresh model per environment on its own interactions and score all of them.

        Args:
            labels: current environment of every interaction, ``[n]``.
            generator: source of initial values, order and negatives.

        Returns:
            ``(scores [E, n], mean log-likelihood of every interaction under its best model)``.
        """
        ...


@dataclass(frozen=True)
class LoopSettings:
    """When the alternation stops.

    Attributes:
        n_environments: |E|.
        rounds: most rounds of one start.
        tolerance: stop when at most this share of the interactions moved.
        restarts: random starts; the one with the largest likelihood is kept.
    """

    n_environments: int
    rounds: int
    tolerance: float
    restarts: int


@dataclass
class Identification:
    """Environments found, with what is needed to doubt them.

    Attributes:
        labels: environment of every interaction, ``[n]``.
        moves: share of the interactions that moved, per round of the kept start.
        sizes: environment sizes after every round of the kept start.
        start_agreement: share of interactions still in their random start's environment, under
            the best renaming; near 1 means nothing was identified.
        likelihoods: final mean log-likelihood of every start.
        reseeded: environments that were found empty and seeded again, per round.
        stability: agreement of the kept start with every other start.
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


def identify(
    model: EnvironmentModel,
    n: int,
    settings: LoopSettings,
    generator: torch.Generator,
    on_round: Callable[[int, int, float, list[int]], None] | None = None,
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
        have lower likelihood, so several are tried; an empty environment is seeded again, since
        without interactions it could never win one back.
    """
    results = []
    for start in range(settings.restarts):
        results.append(_one_start(model, n, settings, generator, start, on_round))
    kept = max(range(len(results)), key=lambda index: results[index].likelihoods[0])
    best = results[kept]
    best.kept = kept
    best.likelihoods = [result.likelihoods[0] for result in results]
    best.stability = [
        agreement(best.labels, other.labels, settings.n_environments)
        for index, other in enumerate(results)
        if index != kept
    ]
    return best


def _one_start(
    model: EnvironmentModel,
    n: int,
    settings: LoopSettings,
    generator: torch.Generator,
    start: int,
    on_round: Callable[[int, int, float, list[int]], None] | None,
) -> Identification:
    size = settings.n_environments
    first = random_partition(n, size, generator)
    result = Identification(labels=first)
    likelihood = float("-inf")
    for round_index in range(settings.rounds):
        scores, likelihood = model.fit_and_score(result.labels, generator)
        labels, empty = reseed_empty(partition(scores).cpu(), size, generator)
        moved = float((labels != result.labels).float().mean())
        result.labels = labels
        result.moves.append(moved)
        result.sizes.append(torch.bincount(labels, minlength=size).tolist())
        result.reseeded.append(empty)
        if on_round is not None:
            on_round(start, round_index, moved, result.sizes[-1])
        if moved <= settings.tolerance:
            break
    result.start_agreement = agreement(first, result.labels, size)
    result.likelihoods = [likelihood]
    return result
