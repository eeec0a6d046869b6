"""What kind of shift lies between two sets of interactions: popularity, features, or neither.

Every measure is the AUC of a score that tells interactions out of distribution (OOD) from those in
distribution (IID): 0.5 where it cannot. Under the hypothesis of every test, the OOD interactions
are a random part of all of them.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

IntArray = npt.NDArray[np.int64]
FloatArray = npt.NDArray[np.float64]

# Incremented when the same data would give other measures.
VERSION = 1
# A shift is found where the AUC is at least LEAST away from 0.5 and the test rejects chance. In a
# split without any shift, the probability that some test rejects is at most LEVEL.
LEAST, LEVEL = 0.05, 0.01
# Items per stratum of equal popularity; items, columns and folds of a classifier; permutations.
_STRATUM, _MOST_ITEMS, _MOST_COLUMNS, _FOLDS, _PERMUTATIONS = 20, 5000, 256, 5, 200


def describe_shift(
    iid: tuple[IntArray, IntArray],
    ood: tuple[IntArray, IntArray],
    features: Mapping[str, FloatArray],
    seed: int,
) -> dict[str, Any]:
    """Measures of the shift, and its kind.

    Args:
        iid: user and item of every interaction in distribution, ``[n]`` each.
        ood: the same out of distribution.
        features: modality to features of the items, ``[n_items, d]``; a row of zeros is missing.
        seed: of the random halves, folds and permutations.

    Returns:
        ``items``: AUC and p of a score that knows how often every item was chosen on either
        side. ``popularity``: AUC and p of the number of interactions of the item on both sides.
        ``modalities``: AUC and p of a linear classifier of the features, trained on other items,
        among items of equal popularity. ``kind``: ``popularity``, ``content``, ``both``,
        ``other`` or ``none found``; ``shifted``: the modalities for which a shift was found.
    """
    rng = np.random.default_rng([seed, 20])
    n_items = 1 + max(
        int(iid[1].max()), int(ood[1].max()), *(len(f) - 1 for f in features.values())
    )
    popularity = np.bincount(iid[1], minlength=n_items) + np.bincount(ood[1], minlength=n_items)
    inside, outside = _warm(*iid), ood[1]
    if not len(inside) or not len(outside):
        return {"kind": "none found", "shifted": [], "modalities": {}}
    found: dict[str, Any] = {
        "items": _by_items(inside, outside, n_items, rng),
        "popularity": _measure(popularity[outside], popularity[inside]),
        "modalities": {},
    }
    counts = np.bincount(inside, minlength=n_items), np.bincount(outside, minlength=n_items)
    for name, matrix in features.items():
        found["modalities"][name] = _by_features(counts, popularity, matrix, rng)
    n_tests = 2 + len(features)
    shifted = [name for name, one in found["modalities"].items() if _found(one, n_tests)]
    by_popularity = _found(found["popularity"], n_tests)
    if shifted:
        kind = "both" if by_popularity else "content"
    elif by_popularity:
        kind = "popularity"
    else:
        kind = "other" if _found(found["items"], n_tests) else "none found"
    return {**found, "kind": kind, "shifted": shifted}


def _found(measure: Mapping[str, float], n_tests: int) -> bool:
    """Whether a measure shows a shift, its p corrected by Bonferroni for ``n_tests``."""
    return abs(measure["auc"] - 0.5) >= LEAST and measure["p"] * n_tests <= LEVEL


def _warm(users: IntArray, items: IntArray) -> IntArray:
    """Items of the interactions whose user and item have another interaction on the same side.

    OOD interactions of other users and items were dropped as cold, so that without a shift these
    are the interactions that OOD ones resemble.
    """
    kept: IntArray = items[(np.bincount(users)[users] > 1) & (np.bincount(items)[items] > 1)]
    return kept


def _measure(ood: npt.NDArray[Any], iid: npt.NDArray[Any]) -> dict[str, float]:
    """AUC and two-sided p by the rank sum test of Mann and Whitney."""
    from scipy.stats import mannwhitneyu

    test = mannwhitneyu(ood, iid, method="asymptotic")
    return {
        "auc": float(test.statistic / (len(ood) * len(iid))),
        # Equal values on both sides have no variance.
        "p": 1.0 if np.isnan(test.pvalue) else float(test.pvalue),
    }


def _by_items(
    inside: IntArray, outside: IntArray, n_items: int, rng: np.random.Generator
) -> dict[str, float]:
    """AUC and p, on one half of the interactions, of an item score estimated on the other half."""
    halves = [np.array_split(rng.permutation(items), 2) for items in (inside, outside)]
    iid, ood = (np.bincount(first, minlength=n_items) + 0.5 for first, _ in halves)
    score = np.log(ood / iid)
    return _measure(score[halves[1][1]], score[halves[0][1]])


def _by_features(
    counts: tuple[IntArray, IntArray],
    popularity: IntArray,
    matrix: FloatArray,
    rng: np.random.Generator,
) -> dict[str, float]:
    """Cross-validated over items; every stratum of popularity weighs the same on both sides.

    The p is one-sided, by permutations of the items of a stratum within a fold: without a shift
    the features say nothing about an item's interactions beyond its popularity.
    """
    from scipy.stats import norm

    known = np.zeros(len(popularity), dtype=bool)
    known[: len(matrix)] = matrix.any(axis=1)
    items = np.flatnonzero(known & (counts[0] + counts[1] > 0))
    if len(items) > _MOST_ITEMS:
        items = np.sort(rng.choice(items, _MOST_ITEMS, replace=False))
    if len(items) < 2 * _FOLDS:
        return {"auc": 0.5, "p": 1.0}
    strata = _strata(popularity[items])
    iid, ood = (one[items].astype(np.float64) for one in counts)
    totals = [np.bincount(strata, one) for one in (iid, ood)]
    both = np.minimum(*totals) > 0
    iid = iid * both[strata]
    ood = ood * (totals[0] / np.maximum(totals[1], 1) * both)[strata]
    columns = _columns(matrix[items], rng)
    folds = _folds(strata, rng)
    aucs, means, variances = [], [], []
    for fold in range(_FOLDS):
        inner, outer = folds != fold, folds == fold
        if min(iid[inner].sum(), ood[inner].sum(), iid[outer].sum(), ood[outer].sum()) == 0:
            continue
        scores = _classified(columns[inner], iid[inner], ood[inner], columns[outer])
        aucs.append(_weighted_auc(scores, iid[outer], ood[outer]))
        null = _permuted(scores, iid[outer], ood[outer], strata[outer], rng)
        means.append(null.mean())
        variances.append(null.var(ddof=1))
    if not aucs or not sum(variances) > 0:
        return {"auc": 0.5, "p": 1.0}
    auc, error = float(np.mean(aucs)), float(np.sqrt(np.sum(variances)) / len(aucs))
    return {"auc": auc, "p": float(norm.sf((auc - np.mean(means)) / error))}


def _strata(popularity: IntArray) -> IntArray:
    """A number per item: neighbours in popularity share it, at least ``_STRATUM`` of them."""
    order = np.argsort(popularity, kind="stable")
    n_strata = max(1, len(order) // _STRATUM)
    strata = np.empty(len(order), dtype=np.int64)
    strata[order] = np.arange(len(order)) * n_strata // len(order)
    return strata


def _folds(strata: IntArray, rng: np.random.Generator) -> IntArray:
    """A fold per item, each with items of every stratum."""
    order = rng.permutation(len(strata))
    order = order[np.argsort(strata[order], kind="stable")]
    folds = np.empty(len(strata), dtype=np.int64)
    folds[order] = np.arange(len(strata)) % _FOLDS
    return folds


def _columns(matrix: FloatArray, rng: np.random.Generator) -> FloatArray:
    """Standardized columns; random mixtures of them where there are too many."""
    if matrix.shape[1] > _MOST_COLUMNS:
        matrix = matrix @ rng.standard_normal((matrix.shape[1], _MOST_COLUMNS))
    deviation = matrix.std(axis=0)
    columns: FloatArray = (matrix - matrix.mean(axis=0)) / np.where(deviation > 0, deviation, 1)
    return columns


def _classified(known: FloatArray, iid: FloatArray, ood: FloatArray, new: FloatArray) -> FloatArray:
    """Scores of new items by a logistic regression of OOD against IID interactions."""
    # Imported here: scikit-learn takes a second to import.
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.linear_model import LogisticRegression

    sides = np.repeat([0, 1], len(known))
    weights = np.concatenate([iid / iid.sum(), ood / ood.sum()]) * len(known)
    used = weights > 0
    classifier = LogisticRegression(C=0.1, max_iter=100)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        classifier.fit(np.concatenate([known, known])[used], sides[used], weights[used])
    scores: FloatArray = classifier.decision_function(new)
    return scores


def _weighted_auc(scores: FloatArray, iid: FloatArray, ood: FloatArray) -> float:
    """Probability that an OOD interaction has a higher score than an IID one; ties count half."""
    _, rank = np.unique(scores, return_inverse=True)
    below = np.bincount(rank, iid)
    middle = np.cumsum(below) - below / 2
    return float((np.bincount(rank, ood) * middle).sum() / (iid.sum() * ood.sum()))


def _permuted(
    scores: FloatArray,
    iid: FloatArray,
    ood: FloatArray,
    strata: IntArray,
    rng: np.random.Generator,
) -> FloatArray:
    """AUCs of the same scores, given to other items of the same stratum."""
    order = np.argsort(strata, kind="stable")
    sorted_strata, scores = strata[order], scores[order]
    iid, ood = iid[order], ood[order]
    found = np.empty(_PERMUTATIONS)
    for number in range(_PERMUTATIONS):
        shuffled = np.lexsort((rng.random(len(order)), sorted_strata))
        found[number] = _weighted_auc(scores[shuffled], iid, ood)
    return found
