"""Scores against planted truth: the columns of a mask (AUC) and environments (adjusted Rand)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import torch
from torch import Tensor

from recbole_painvrl.data.folder import Truth, read_truth
from recbole_painvrl.errors import UserError

if TYPE_CHECKING:
    from recbole_painvrl.data.dataset import ModalityDataset

BoolArray = npt.NDArray[np.bool_]
_SHUFFLES = 200


def planted_truth(dataset: ModalityDataset) -> Truth | None:
    """Truth of the dataset's folder, or None where nothing was planted.

    Raises:
        UserError: it cannot be read, or is of other columns than those of the features in use.
    """
    truth, slices = read_truth(dataset.folder), dataset.features.slices
    for modality, invariant in () if truth is None else truth.columns.items():
        columns = slices.get(modality)
        if columns is not None and columns.stop - columns.start != len(invariant):
            raise UserError(
                f"{dataset.folder / 'truth' / 'columns.tsv'}: {len(invariant)} columns of modality "
                f"{modality}, but its features have {columns.stop - columns.start}; prepare the "
                "dataset again, or delete its folder `truth` if these features are not planted"
            )
    return truth


def true_environments(dataset: ModalityDataset, users: Tensor, items: Tensor) -> Tensor | None:
    """Planted environment of every interaction, ``[n]``, or None without planted truth.

    Raises:
        UserError: an interaction has no planted environment (another split than the folder's).
    """
    truth = planted_truth(dataset)
    if truth is None:
        return None
    table = pd.DataFrame(
        {
            "user": truth.environments["user_id"].map(dataset.field2token_id[dataset.uid_field]),
            "item": truth.environments["item_id"].map(dataset.field2token_id[dataset.iid_field]),
            "label": truth.environments["environment"],
        }
    )
    # Of a pair that occurs twice the last row holds.
    table = table.dropna().astype(np.int64).drop_duplicates(["user", "item"], keep="last")
    pairs = pd.DataFrame({"user": users.numpy(), "item": items.numpy()})
    labels = pairs.merge(table, how="left", on=["user", "item"])["label"]
    missing = int(labels.isna().sum())
    if missing:
        raise UserError(
            f"{dataset.folder / 'truth' / 'environments.tsv'}: {missing} training interactions "
            "have no planted environment; use `--protocol=files`"
        )
    return torch.tensor(labels.to_numpy(dtype=np.int64))


def known_environments(dataset: ModalityDataset) -> Tensor:
    """Planted environment of every interaction of a training split, ``[n]``.

    Raises:
        UserError: nothing is planted, or not for these interactions.
    """
    table = dataset.inter_feat
    labels = true_environments(dataset, table[dataset.uid_field], table[dataset.iid_field])
    if labels is None:
        raise UserError(
            f"`known_environments`: dataset `{dataset.dataset_name}` has no planted environments; "
            "set it to False"
        )
    return labels


def oracle_mask(truth: Truth, slices: Mapping[str, slice], width: int) -> Tensor:
    """1 on invariant and unknown columns, 0 on planted spurious ones, ``[width]``."""
    mask = torch.ones(width)
    for modality, columns in slices.items():
        if modality in truth.columns:
            mask[columns] = torch.from_numpy(truth.columns[modality].astype(np.float32))
    return mask


def mask_scores(
    mask: Tensor, truth: Truth, slices: Mapping[str, slice], rng: np.random.Generator
) -> dict[str, Any]:
    """AUC of the mask against the invariant columns, and the gap between the two means.

    Returns:
        Per modality and ``overall``: ``auc``, ``auc_shuffled`` (control: mean AUC over shuffled
        truths, 0.5 by construction), ``mean_invariant``, ``mean_spurious``. A modality without
        columns of both kinds has none; without any of both kinds the result is empty.
    """
    values = mask.detach().cpu().double().numpy()
    groups = {
        modality: (values[columns], truth.columns[modality])
        for modality, columns in slices.items()
        if modality in truth.columns
    }
    if groups:
        both = (np.concatenate(arrays) for arrays in zip(*groups.values(), strict=True))
        groups["overall"] = tuple(both)  # type: ignore[assignment]
    return {
        name: _column_scores(*group, rng)
        for name, group in groups.items()
        if len(np.unique(group[1])) == 2
    }


def _column_scores(
    values: npt.NDArray[np.float64], invariant: BoolArray, rng: np.random.Generator
) -> dict[str, float]:
    # Imported here and below: SciPy's statistics and scikit-learn take a second to import.
    from scipy.stats import rankdata

    ranks = rankdata(values)
    control = [_auc(ranks, rng.permutation(invariant)) for _ in range(_SHUFFLES)]
    return {
        "auc": _auc(ranks, invariant),
        "auc_shuffled": float(np.mean(control)),
        "mean_invariant": float(values[invariant].mean()),
        "mean_spurious": float(values[~invariant].mean()),
    }


def _auc(ranks: npt.NDArray[np.float64], positive: BoolArray) -> float:
    """Area under the ROC curve by the rank sum of Mann and Whitney."""
    n = int(positive.sum())
    return float((ranks[positive].sum() - n * (n + 1) / 2) / (n * (len(ranks) - n)))


def environment_scores(
    labels: Tensor, truth: Tensor, items: Tensor, features: Tensor, rng: np.random.Generator
) -> dict[str, float]:
    """Adjusted Rand index of the identified environments.

    Args:
        labels: identified environment of every training interaction, ``[n]``.
        truth: planted environment, ``[n]``.
        items: item of every training interaction, ``[n]``.
        features: features of every item, ``[n_items, d]``.
        rng: shuffles the control.

    Returns:
        ``ari``; ``ari_shuffled`` (control, 0 by construction); ``ari_supervised``, what a
        logistic regression from item features to the *planted* environment reaches.
    """
    from sklearn.metrics import adjusted_rand_score

    return {
        "ari": float(adjusted_rand_score(truth.numpy(), labels.cpu().numpy())),
        "ari_shuffled": float(
            adjusted_rand_score(rng.permutation(truth.numpy()), labels.cpu().numpy())
        ),
        "ari_supervised": _supervised(truth, items, features),
    }


def _supervised(truth: Tensor, items: Tensor, features: Tensor) -> float:
    """Adjusted Rand index of a logistic regression from item features to the environment."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.metrics import adjusted_rand_score

    # Interactions of one item and environment are one weighted row: the same optimum, and
    # memory by items in place of interactions.
    pairs = torch.stack([items.long(), truth.long()], dim=1)
    rows, counts = torch.unique(pairs, dim=0, return_counts=True)
    classifier = LogisticRegression(max_iter=500)
    classifier.fit(features[rows[:, 0]].numpy(), rows[:, 1].numpy(), counts.double().numpy())
    seen, inverse = torch.unique(items, return_inverse=True)
    predicted = classifier.predict(features[seen].numpy())[inverse.numpy()]
    return float(adjusted_rand_score(truth.numpy(), predicted))
