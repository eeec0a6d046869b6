"""What distinguishes the environments of one run: pure functions of its arrays."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from sklearn.metrics import adjusted_rand_score

from recbole_painvrl.run.folder import Array

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]
_PURE = 0.9
_POPULAR = 0.1


@dataclass(frozen=True)
class EnvironmentFacts:
    """Figures of one environment.

    Attributes:
        number: its label.
        share: share of the training interactions.
        popularity: training interactions of the item, of every interaction of the environment.
        degree: training interactions of the user, likewise.
        popular_share: share of its interactions with the most popular tenth of the items.
    """

    number: int
    share: float
    popularity: FloatArray
    degree: FloatArray
    popular_share: float


def environment_facts(labels: Array, users: Array, items: Array) -> list[EnvironmentFacts]:
    """Describe every environment by its items and users; all arrays are ``[n]``."""
    item, degree_of_item = _counts(items)
    user, degree_of_user = _counts(users)
    ranked = np.argsort(-degree_of_item, kind="stable")
    popular = np.zeros(len(ranked), dtype=np.bool_)
    popular[ranked[: max(1, round(_POPULAR * len(ranked)))]] = True
    facts = []
    for number in np.unique(labels).tolist():
        inside = labels == number
        facts.append(
            EnvironmentFacts(
                int(number),
                float(inside.mean()),
                degree_of_item[item[inside]].astype(np.float64),
                degree_of_user[user[inside]].astype(np.float64),
                float(popular[item[inside]].mean()),
            )
        )
    return facts


def one_environment_users(labels: Array, users: Array) -> float:
    """Share of the users who have nine tenths of their interactions in one environment."""
    _, user = np.unique(users, return_inverse=True)
    _, environment = np.unique(labels, return_inverse=True)
    counts = np.zeros((user.max() + 1, environment.max() + 1))
    np.add.at(counts, (user, environment), 1)
    return float((counts.max(axis=1) >= _PURE * counts.sum(axis=1)).mean())


def agreement_with_truth(labels: Array, truth: Array | None) -> float | None:
    """Adjusted Rand index with planted environments; None where they are not known."""
    if truth is None or len(truth) != len(labels):
        return None
    return float(adjusted_rand_score(truth, labels))


def word_shares(
    labels: Array, words: Sequence[frozenset[str]], most: int = 6
) -> list[tuple[str, list[float]]]:
    """Words (such as genres) whose share differs most between environments.

    Args:
        labels: environment of every interaction, ``[n]``.
        words: words of its item, ``[n]``.
        most: how many words.

    Returns:
        ``(word, share of the interactions of each environment)``, largest difference first.
    """
    numbers = np.unique(labels)
    counts = []
    for number in numbers:
        inside = np.flatnonzero(labels == number)
        counted = Counter(word for row in inside.tolist() for word in words[row])
        counts.append({word: count / len(inside) for word, count in counted.items()})
    vocabulary = sorted({word for count in counts for word in count})
    shares = [(word, [count.get(word, 0.0) for count in counts]) for word in vocabulary]
    shares.sort(key=lambda pair: min(pair[1]) - max(pair[1]))
    return shares[:most]


def _counts(ids: Array) -> tuple[IntArray, IntArray]:
    """Number of the id of every row, ``[n]``, and how often each id occurs, ``[n_ids]``."""
    _, place, counts = np.unique(ids, return_inverse=True, return_counts=True)
    return place.astype(np.int64), counts.astype(np.int64)
