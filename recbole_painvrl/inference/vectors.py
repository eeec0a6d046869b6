"""Vectors of a model: the two tables whose products are its scores, and content vectors."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

from recbole_painvrl.errors import UserError
from recbole_painvrl.models.base import TableRecommender

if TYPE_CHECKING:
    from recbole_painvrl.training.protocols import Recommender

_CHECKED_USERS = 16


def score_tables(model: Recommender) -> tuple[Tensor, Tensor]:
    """Vectors of all users ``[n_users, D]`` and of all items ``[n_items, D]``, on the CPU.

    The score of a pair is the product of its two vectors; for RecBole's models this is checked
    against their scores.

    Raises:
        UserError: the model scores in another way.
    """
    tables = find_tables(model)
    if tables is None:
        raise UserError(
            f"{type(model).__name__}: its scores are not products of a user's and an item's "
            "vector, so there are no such vectors; choose a run of a model with vectors of users "
            "and items, such as BPR or LightGCN"
        )
    return tables


@torch.no_grad()
def find_tables(model: Recommender) -> tuple[Tensor, Tensor] | None:
    """The same, ``[n_users, D]`` and ``[n_items, D]``; None of a model that scores otherwise."""
    if isinstance(model, TableRecommender):
        if not model.scores_are_products:
            return None
        users, items = model.tables()
        # A model's tables may be its parameters themselves.
        return users.detach().cpu(), items.detach().cpu()
    sample = torch.arange(1, min(model.n_users, _CHECKED_USERS + 1), device=model.device)
    try:
        scores = model.full_sort_predict({model.USER_ID: sample})
    except NotImplementedError:
        return None
    # The graph models of RecBole keep propagated tables after they have scored.
    for names in (("restore_user_e", "restore_item_e"), ("user_embedding", "item_embedding")):
        user, item = (_tensor(getattr(model, name, None)) for name in names)
        if user is None or item is None:
            continue
        if user.shape[0] != model.n_users or item.shape != (model.n_items, user.shape[1]):
            continue
        products = user[sample] @ item.T
        if torch.allclose(products, scores.view(len(sample), -1).to(products), atol=1e-5):
            return user.detach().cpu(), item.detach().cpu()
    return None


def _tensor(value: object) -> Tensor | None:
    """The two-dimensional tensor of an embedding layer or a tensor, else None."""
    value = getattr(value, "weight", value)
    return value if isinstance(value, Tensor) and value.dim() == 2 else None


@torch.no_grad()
def content_vectors(
    model: Recommender, features: Tensor, has_row: Tensor | None = None
) -> Tensor | None:
    """Vectors of items by their features alone, ``[n, D]``; None of a model that has none.

    Args:
        model: the model.
        features: ``[n, d]``, normalised as in training, without ``feature_mask``.
        has_row: which modalities each item has, ``[n, M]`` bool; None for all of them.
    """
    if not isinstance(model, TableRecommender):
        return None
    features = features.to(model.features.device)
    if has_row is not None and model.follows_has_row:
        # `missing_modality: mean` has filled what is missing.
        widths = [columns.stop - columns.start for columns in model.modality_slices.values()]
        present = has_row.to(features.device)
        features = features * present.repeat_interleave(
            torch.tensor(widths, device=features.device), dim=1
        )
    if model.feature_mask is not None:
        features = features * model.feature_mask
    vectors = model.content_vectors(features)
    return None if vectors is None else vectors.cpu()


def scores_by_content(model: Recommender) -> bool:
    """Whether the model can score an item by its features alone."""
    return (
        isinstance(model, TableRecommender)
        and content_vectors(model, model.features[:0]) is not None
    )
