"""Scores of a loaded run for its users, for new users and for items that training lacks."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import scipy.sparse as sp
import torch
from recbole.data.interaction import Interaction
from torch import Tensor

from recbole_painvrl.inference.cold import (
    NewItems,
    content_vectors,
    require_content,
    scores_by_content,
    trained_items,
)
from recbole_painvrl.inference.loading import LoadedRun
from recbole_painvrl.inference.new_users import (
    FoldedVectors,
    ItemWeights,
    NewUsers,
    SameForAll,
    item_weights,
    require_new_users,
)
from recbole_painvrl.inference.tables import has_tables, score_tables

Unseen = Literal["content", "leave-out", "as-trained"]

_PAIRS = 1 << 18


class Scorer:
    """Scores blocks of users against the catalogue: the dataset's items, then the new ones.

    Column 0 is padding and is never a candidate.

    Args:
        run: the run.
        unseen: what items without a training interaction get: the score of their content
            (``content``), no place in any list (``leave-out``), or what their untrained vectors
            happen to give, as in RecBole's evaluation (``as-trained``).
        new_items: items that the dataset lacks, or None.

    Raises:
        UserError: content is asked for, and the model cannot score by it.

    Attributes:
        tokens: the user's own id of every column.
        candidates: which columns may be recommended.
    """

    def __init__(
        self, run: LoadedRun, unseen: Unseen = "as-trained", new_items: NewItems | None = None
    ) -> None:
        if unseen == "content":
            require_content(run, "--unseen-items content")
        if new_items is not None:
            require_content(run, "--new-items")
        self.run, self.model = run, run.model
        self.n_items = run.dataset.item_num
        new = [] if new_items is None else new_items.tokens
        own = run.dataset.field2id_token[run.dataset.iid_field]
        self.tokens = np.array([*map(str, own), *new], dtype=object)
        self.column = {token: number for number, token in enumerate(self.tokens) if number}
        self.candidates = torch.ones(len(self.tokens), dtype=torch.bool)
        self.candidates[0] = False
        untrained = ~trained_items(run)
        untrained[0] = False
        self.n_unseen = int(untrained.sum())
        self.by_content = torch.zeros(0, dtype=torch.long)
        self._extra = torch.zeros(0, 0)
        if unseen == "leave-out":
            self.candidates[: self.n_items][untrained] = False
        if unseen == "content":
            self.by_content = torch.nonzero(untrained).flatten()
        features = [run.dataset.features.matrix[self.by_content]]
        if new_items is not None:
            features.append(new_items.features)
        by_content = scores_by_content(self.model)
        vectors = content_vectors(self.model, torch.cat(features)) if by_content else None
        if vectors is not None:
            self._extra = vectors
        self._tables: tuple[Tensor, Tensor] | None = None
        self._new_users: NewUsers | None = None

    @torch.no_grad()
    def known(self, users: Tensor) -> Tensor:
        """Scores of users of the dataset, ``[B]`` numbers, for every column, ``[B, n]``."""
        scores = self._model_scores(users).float().cpu()
        if not len(self._extra):
            return scores
        content = self._user_table()[users] @ self._extra.T
        scores[:, self.by_content] = content[:, : len(self.by_content)]
        return torch.cat([scores, content[:, len(self.by_content) :]], dim=1)

    @torch.no_grad()
    def new(self, histories: Sequence[Tensor]) -> Tensor:
        """Scores of users given by the columns of their items, for every column, ``[B, n]``.

        Raises:
            UserError: the model cannot score users whom it has not seen.
        """
        if self._new_users is None:
            self._new_users = self._prepare_new_users()
        return self._new_users.scores(histories)

    def _prepare_new_users(self) -> NewUsers:
        require_new_users(self.run)
        if self.run.config["model"] == "Pop":
            return SameForAll(self._model_scores(torch.tensor([1]))[0])
        if not has_tables(self.model):
            return ItemWeights(item_weights(self.model))
        users, items = score_tables(self.model)
        if len(self._extra):
            items = items.clone()
            items[self.by_content] = self._extra[: len(self.by_content)]
            items = torch.cat([items, self._extra[len(self.by_content) :]])
        return FoldedVectors(self.run, users, items, interactions(self.run, ("train",)))

    def _user_table(self) -> Tensor:
        if self._tables is None:
            self._tables = score_tables(self.model)
        return self._tables[0]

    def _model_scores(self, users: Tensor) -> Tensor:
        """The model's own scores of all items of the dataset, ``[B, n_items]``."""
        field = self.run.dataset.uid_field
        batch = Interaction({field: users}).to(self.model.device)
        try:
            scores: Tensor = self.model.full_sort_predict(batch)
        except NotImplementedError:
            scores = self._pair_by_pair(users)
        return scores.view(len(users), self.n_items)

    def _pair_by_pair(self, users: Tensor) -> Tensor:
        """Scores of a model that can only score pairs (NeuMF and others)."""
        fields: tuple[Any, Any] = (self.run.dataset.uid_field, self.run.dataset.iid_field)
        pairs = users.repeat_interleave(self.n_items), torch.arange(self.n_items).repeat(len(users))
        pieces = [
            self.model.predict(Interaction(dict(zip(fields, piece, strict=True))).to(device))
            for device in [self.model.device]
            for piece in zip(*(side.split(_PAIRS) for side in pairs), strict=True)
        ]
        return torch.cat([piece.flatten() for piece in pieces])


def interactions(run: LoadedRun, parts: Sequence[str] | None) -> sp.csr_matrix:
    """Binary users x items matrix of some parts of the split, or of the whole dataset."""
    dataset = run.dataset
    sources = [dataset] if parts is None else [run.parts[p] for p in parts if p in run.parts]
    shape = (dataset.user_num, dataset.item_num)
    total = sp.csr_matrix(shape, dtype=np.float32)
    for source in sources:
        users, items = (_numbers(source, name) for name in (dataset.uid_field, dataset.iid_field))
        ones = np.ones(len(users), dtype=np.float32)
        total = total + sp.csr_matrix((ones, (users, items)), shape=shape)
    total.data[:] = 1
    return total.tocsr()


def _numbers(dataset: Any, field: str) -> npt.NDArray[np.int64]:
    values = dataset.inter_feat[field]
    array = values.numpy() if isinstance(values, Tensor) else values.to_numpy()
    return np.asarray(array, dtype=np.int64)
