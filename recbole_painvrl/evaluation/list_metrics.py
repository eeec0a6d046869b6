"""Metrics of what is recommended, whether or not it is right: coverage, diversity, popularity.

RecBole counts the padding item as an item of the catalogue, counts items that cannot be
recommended to fill short lists, and divides the entropy by the number of different items.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from recbole_painvrl.config.base import ConfigLike

IntArray = npt.NDArray[np.int64]

# RecBole's default of `tail_ratio`.
TAIL_RATIO = 0.1


def item_coverage(lists: IntArray, n_items: int) -> float:
    """Fraction of the catalogue that is recommended to somebody.

    Args:
        lists: recommended items, ``[n_users, K]``; 0 where a list is shorter.
        n_items: items of the catalogue, numbered from 1.
    """
    return float((_occurrences(lists, n_items) > 0).mean())


def shannon_entropy(lists: IntArray) -> float:
    """Entropy of the recommended items, ``- sum_i p_i log p_i``, in nats; arguments as above."""
    counts = _occurrences(lists, int(lists.max(initial=0)))
    p = counts[counts > 0] / counts.sum()
    return float(-(p * np.log(p)).sum())


def gini_index(lists: IntArray, n_items: int) -> float:
    """Gini index of how often each item of the catalogue is recommended; arguments as above."""
    counts = np.sort(_occurrences(lists, n_items))
    weights = 2 * np.arange(1, n_items + 1) - n_items - 1
    return float((weights * counts).sum() / (n_items * counts.sum()))


def tail_percentage(lists: IntArray, popularity: IntArray, tail: float) -> float:
    """Mean over users of the fraction of their recommended items that are in the long tail.

    Args:
        lists: recommended items, ``[n_users, K]``; 0 where a list is shorter.
        popularity: training interactions of every item, ``[n_items + 1]``; [0] is padding.
        tail: the fraction of the catalogue that is its tail (at least one item, of the least
            popular), or, above 1, the most interactions that an item of the tail has.
    """
    counts = popularity[1:]
    in_tail = np.zeros(len(popularity), dtype=np.int64)
    if tail > 1:
        in_tail[1:] = counts <= tail
    else:
        size = max(int(len(counts) * tail), 1)
        in_tail[1 + np.argsort(counts, kind="stable")[:size]] = 1
    return _mean_of_lists(lists, in_tail)


def _occurrences(lists: IntArray, n_items: int) -> IntArray:
    """How often each item is recommended, ``[n_items]``."""
    return np.bincount(lists.ravel(), minlength=n_items + 1)[1:]


def _mean_of_lists(lists: IntArray, values: IntArray) -> float:
    """Mean over users of the mean value of their recommended items; values ``[n_items + 1]``."""
    lengths = (lists > 0).sum(axis=1)
    sums = np.where(lists > 0, values[lists], 0).sum(axis=1)
    # A user without a single candidate has no list to take the mean of.
    return float((sums[lengths > 0] / lengths[lengths > 0]).mean())


class ListMetric:
    """One of the metrics above in the place of RecBole's class.

    Args:
        name: RecBole's name of the metric, in lower case; a key of ``LIST_METRICS``.
        config: RecBole configuration.
    """

    def __init__(self, name: str, config: ConfigLike) -> None:
        self._name, self._config = name, config

    def calculate_metric(self, data: Any) -> dict[str, float]:
        """The metric at every cut-off, from what :class:`FastCollector` has collected."""
        lists, popularity = (data.get(key).numpy() for key in ("rec.items", "data.popularity"))
        tail = self._config["tail_ratio"] or TAIL_RATIO
        return {
            f"{self._name}@{k}": round(
                LIST_METRICS[self._name](lists[:, :k], popularity, tail),
                self._config["metric_decimal_place"],
            )
            for k in self._config["topk"]
        }


# By RecBole's names; each of lists, popularity and tail.
LIST_METRICS: dict[str, Callable[[IntArray, IntArray, float], float]] = {
    "itemcoverage": lambda lists, popularity, _: item_coverage(lists, len(popularity) - 1),
    "shannonentropy": lambda lists, popularity, _: shannon_entropy(lists),
    "giniindex": lambda lists, popularity, _: gini_index(lists, len(popularity) - 1),
    "averagepopularity": lambda lists, popularity, _: _mean_of_lists(lists, popularity),
    "tailpercentage": tail_percentage,
}
