"""Partition of the interactions into environments (Eq. 9) and its agreement with another."""

from __future__ import annotations

import torch
from torch import Tensor


def random_partition(n: int, n_environments: int, generator: torch.Generator) -> Tensor:
    """Uniform random labels, balanced to within one interaction, ``[n]`` int64."""
    labels = torch.arange(n) % n_environments
    return labels[torch.randperm(n, generator=generator)]


def partition(scores: Tensor) -> Tensor:
    """Eq. 9, ``argmax_e Gamma_e(u, i)``; ``scores [E, n]`` -> ``[n]`` int64, first wins ties."""
    return scores.argmax(dim=0)


def reseed_empty(
    labels: Tensor, n_environments: int, generator: torch.Generator
) -> tuple[Tensor, list[int]]:
    """Give every empty environment a random subset of the largest one.

    An empty environment has no model to train and would stay empty.

    Returns:
        ``(labels, environments that were empty)``; the input is not changed.
    """
    labels = labels.clone()
    empty = [e for e in range(n_environments) if not bool((labels == e).any())]
    for environment in empty:
        sizes = torch.bincount(labels, minlength=n_environments)
        members = torch.nonzero(labels == sizes.argmax()).squeeze(-1)
        take = max(1, len(members) // n_environments)
        chosen = members[torch.randperm(len(members), generator=generator)[:take]]
        labels[chosen] = environment
    return labels, empty


def agreement(first: Tensor, second: Tensor, n_environments: int) -> float:
    """Fraction of equal labels of two partitions, under the best permutation of labels."""
    from scipy.optimize import linear_sum_assignment

    table = torch.bincount(first * n_environments + second, minlength=n_environments**2).reshape(
        n_environments, n_environments
    )
    rows, columns = linear_sum_assignment(-table.numpy())
    return float(table.numpy()[rows, columns].sum()) / max(1, len(first))
