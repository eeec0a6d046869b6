"""Users whom training has not seen, from a list of their items."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias

import numpy as np
import numpy.typing as npt
import scipy.sparse as sp
import torch
import torch.nn.functional as F
from recbole.utils import InputType
from torch import Tensor

from recbole_painvrl.functional.fold_in import (
    Objective,
    Prior,
    fold_in,
    pairwise_objective,
    pointwise_objective,
    ultragcn_item_weights,
)
from recbole_painvrl.functional.ultragcn import GraphWeights, UltraGCNWeights
from recbole_painvrl.inference.loading import LoadedRun
from recbole_painvrl.seeds import generator

if TYPE_CHECKING:
    from recbole_painvrl.training.protocols import Recommender

# Items that stand for all others in the expectation over negatives.
_MAX_NEGATIVES = 8192
_STRENGTHS = tuple(2.0**n for n in range(-1, 7))
_SAMPLE_USERS = 16
Matrix: TypeAlias = sp.spmatrix | npt.NDArray[np.float32]
_PLAIN = UltraGCNWeights(1.0, 0.0, 1.0, 0.0, 1.0, 0.0)


class NewUsers(Protocol):
    """Scores for users given by their items."""

    def scores(self, histories: Sequence[Tensor]) -> Tensor:
        """Scores ``[len(histories), n]`` of all items for lists of distinct items."""


class FoldedVectors:
    """New users of a model whose scores are products of two tables.

    The user's vector minimises the loss of training with all items frozen, negatives in
    expectation, plus an L2 term. Its weight is the one under which known users, folded in from
    their training items, get most nearly the direction of their own trained vectors back; no
    validation or test interaction is read.

    Args:
        run: the run.
        users: trained vectors, ``[n_users, D]``.
        items: vectors of all items, those that training has not seen last, ``[n, D]``.
        histories: training items per user, CSR ``[n_users, n_items]``.
    """

    def __init__(
        self, run: LoadedRun, users: Tensor, items: Tensor, histories: sp.csr_matrix
    ) -> None:
        self.model = run.model
        self.items = items.double()
        objective = getattr(run.model, "user_objective", None)
        weights, graph = objective() if objective else (_PLAIN, None)
        self.weights: UltraGCNWeights = weights
        self.graph = self._graph(graph, histories.getnnz(axis=0))
        self.negatives = self._negatives(histories.shape[1], int(run.config["seed"]))
        self.trained = users[np.flatnonzero(histories.getnnz(axis=1))]
        self.prior = self._calibrate(users, histories)

    def scores(self, histories: Sequence[Tensor]) -> Tensor:
        """Scores ``[len(histories), n]`` of all items for lists of distinct items."""
        vectors = torch.stack([self.vector(items, self.prior) for items in histories])
        return (vectors @ self.items.T).float()

    def vector(self, items: Tensor, prior: Prior) -> Tensor:
        """The vector of a user with these items, ``[D]``."""
        objective = self._objective(items, prior)
        return prior.vector(fold_in(objective, self.items.shape[1]))

    def _objective(self, items: Tensor, prior: Prior) -> Objective:
        negative = self.negatives.clone()
        if getattr(getattr(self.model, "settings", None), "exclude_positives", True):
            negative[items] = False
        if not bool(negative.any()):
            # A user who has every item leaves none to draw: then all count as negatives.
            negative = self.negatives
        if self.model.input_type == InputType.PAIRWISE:
            others = torch.nonzero(negative).flatten()
            return pairwise_objective(self.items, items, others, prior)
        up, down = ultragcn_item_weights(items, self.graph, self.weights, negative)
        rows = torch.nonzero(up + down).flatten()
        return pointwise_objective(self.items[rows], up[rows], down[rows], prior)

    def _graph(self, graph: GraphWeights | None, degree: npt.NDArray[np.int64]) -> GraphWeights:
        """Tables of Eq. 6 and 8, with rows for the items that only this catalogue has."""
        more = len(self.items) - len(degree)
        if graph is not None:
            graph = graph.to(torch.device("cpu"))
        else:
            empty = torch.zeros(len(degree), 0)
            graph = GraphWeights(empty[:, 0:0], torch.ones(len(degree)), empty.long(), empty)
        return GraphWeights(
            graph.user_factor,
            # An item without interactions has factor 1 in Eq. 6.
            F.pad(graph.item_factor, (0, more), value=1.0),
            F.pad(graph.neighbours, (0, 0, 0, more)),
            F.pad(graph.neighbour_weight, (0, 0, 0, more)),
        )

    def _negatives(self, n_items: int, seed: int) -> Tensor:
        """The items of the dataset, or a fixed sample of a large one; never padding."""
        drawn = torch.zeros(len(self.items), dtype=torch.bool)
        order = torch.randperm(n_items - 1, generator=generator(seed, "fold-in negatives"))
        drawn[1 + order[:_MAX_NEGATIVES]] = True
        return drawn

    def _calibrate(self, users: Tensor, histories: sp.csr_matrix) -> Prior:
        known = np.flatnonzero(histories.getnnz(axis=1))
        sample = known[np.linspace(0, len(known) - 1, min(_SAMPLE_USERS, len(known))).astype(int)]
        best: tuple[float, Prior] | None = None
        for strength in _STRENGTHS:
            prior = Prior.around_zero(self.trained, strength)
            found = torch.stack(
                [self.vector(torch.from_numpy(histories[u].indices).long(), prior) for u in sample]
            )
            moved = prior.scale > 0
            target = users[sample].double()[:, moved]
            likeness = float(F.cosine_similarity(found[:, moved], target).mean())
            if best is None or likeness > best[0]:
                best = likeness, prior
        assert best is not None
        return best[1]


class ItemWeights:
    """New users of a model whose scores are a function of the user's items (ItemKNN, EASE, SLIM).

    Args:
        score: from a matrix with a row per user, entries 1, ``[B, n_items]``, to scores of the same
            shape.
        n_items: number of items, padding included.
    """

    def __init__(self, score: Callable[[sp.csr_matrix], Any], n_items: int) -> None:
        self.score, self.n_items = score, n_items

    def scores(self, histories: Sequence[Tensor]) -> Tensor:
        """Scores ``[len(histories), n_items]``, those of a known user with the same items."""
        columns = torch.cat(list(histories)).numpy()
        indptr = np.concatenate([[0], np.cumsum([len(items) for items in histories])])
        ones = np.ones(len(columns), dtype=np.float32)
        shape = (len(histories), self.n_items)
        scores = self.score(sp.csr_matrix((ones, columns, indptr), shape=shape))
        if isinstance(scores, Tensor):
            return scores.float().cpu()
        dense = scores.toarray() if sp.issparse(scores) else np.asarray(scores)
        return torch.from_numpy(dense).float()


class SameForAll:
    """New users of a model that ranks alike for everybody (Pop)."""

    def __init__(self, scores: Tensor) -> None:
        self.row = scores.float().cpu()

    def scores(self, histories: Sequence[Tensor]) -> Tensor:
        """The one row of scores, for each, ``[len(histories), n_items]``."""
        return self.row.expand(len(histories), -1).clone()


def item_weights(model: Recommender) -> ItemWeights | None:
    """The item-item matrix whose sum over a user's items is the model's score, or None.

    Found by the names that RecBole's models give it, and compared with their scores.
    """
    matrix: Matrix | None = getattr(model, "item_similarity", getattr(model, "w", None))
    histories: Any = getattr(model, "interaction_matrix", None)
    if matrix is None or not sp.issparse(histories):
        return None
    if matrix.shape != (model.n_items, model.n_items):
        return None
    weights = ItemWeights(lambda rows: rows @ matrix, model.n_items)
    sample = torch.arange(1, min(model.n_users, _SAMPLE_USERS + 1), device=model.device)
    scores = model.full_sort_predict({model.USER_ID: sample}).view(len(sample), -1).cpu()
    rows = histories.tocsr()[sample.cpu().numpy()]
    sums = weights.scores([torch.from_numpy(row.indices).long() for row in rows])
    return weights if torch.allclose(sums, scores.float(), atol=1e-4) else None
