"""Scores of a loaded run for its users, for new users and for items that training lacks."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import cached_property
from typing import Literal

import numpy as np
import numpy.typing as npt
import pandas as pd
import scipy.sparse as sp
import torch
from recbole.data.interaction import Interaction
from torch import Tensor

from recbole_painvrl.data.dataset import ModalityDataset
from recbole_painvrl.data.loaders import liked
from recbole_painvrl.data.splits.base import TRAIN
from recbole_painvrl.errors import UserError
from recbole_painvrl.inference.cold import NewItems, mapped_vectors, require_content
from recbole_painvrl.inference.loading import LoadedRun
from recbole_painvrl.inference.new_users import (
    FoldedVectors,
    ItemWeights,
    NewUsers,
    SameForAll,
    item_weights,
)
from recbole_painvrl.inference.vectors import content_vectors, find_tables, score_tables
from recbole_painvrl.models.closed_form import ClosedFormRecommender

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
        map_features: L2 weight of a map from features to trained vectors, which then gives the
            vectors of new and unseen items; None for the model's own content vectors.

    Raises:
        UserError: content is asked for, and the model cannot score by it.

    Attributes:
        tokens: the dataset's id of every column.
        candidates: which columns may be recommended.
        user_is_trained: which of the dataset's users have a training interaction.
    """

    def __init__(
        self,
        run: LoadedRun,
        unseen: Unseen = "as-trained",
        new_items: NewItems | None = None,
        map_features: float | None = None,
    ) -> None:
        if unseen == "content" and map_features is None:
            require_content(run, "--unseen-items content")
        if new_items is not None and map_features is None:
            require_content(run, "--new-items")
        self.run, self.model = run, run.model
        self.n_items = run.dataset.item_num
        known = run.dataset.field2id_token[run.dataset.iid_field]
        new = [] if new_items is None else new_items.tokens
        self.tokens = np.array([*map(str, known), *new], dtype=object)
        self.column = {token: index for index, token in enumerate(self.tokens) if index}
        self.candidates = torch.ones(len(self.tokens), dtype=torch.bool)
        self.candidates[0] = False
        trained = learnt_from(run)
        self.user_is_trained = trained.getnnz(axis=1) > 0
        degrees = torch.from_numpy(trained.getnnz(axis=0))
        untrained = degrees == 0
        untrained[0] = False
        self.n_unseen = int(untrained.sum())
        if unseen == "leave-out":
            self.candidates[: self.n_items][untrained] = False
        by_content = untrained if unseen == "content" else torch.zeros_like(untrained)
        if map_features is None and getattr(self.model, "content_only", False):
            # Their trained vectors are made from their features.
            by_content = torch.zeros_like(untrained)
        self.by_content = by_content.nonzero().flatten()
        table = run.dataset.features
        features, has_row = table.matrix[self.by_content], table.has_row[self.by_content]
        if new_items is not None:
            features = torch.cat([features, new_items.features])
            has_row = torch.cat([has_row, new_items.has_row])
        if map_features is None:
            vectors = content_vectors(self.model, features, has_row)
        else:
            vectors = mapped_vectors(run, features, degrees, map_features)
        self._extra = torch.zeros(0, 0) if vectors is None else vectors
        self._new_users: NewUsers | None = None

    @torch.no_grad()
    def known(self, users: Tensor) -> Tensor:
        """Scores of users of the dataset, ``[B]`` indices, for every column, ``[B, n]``."""
        scores = self._model_scores(users).float().cpu()
        if not len(self._extra):
            return scores
        content = self._tables[0][users] @ self._extra.T
        scores[:, self.by_content] = content[:, : len(self.by_content)]
        return torch.cat([scores, content[:, len(self.by_content) :]], dim=1)

    @torch.no_grad()
    def new(self, histories: Sequence[Tensor]) -> Tensor:
        """Scores of users given by the columns of their items, for every column, ``[B, n]``.

        Raises:
            UserError: the model cannot score users whom it has not seen.
        """
        return self.prepare_new_users().scores(histories)

    @torch.no_grad()
    def prepare_new_users(self) -> NewUsers:
        """How users whom training has not seen are scored; made once.

        Raises:
            UserError: the model cannot score them.
        """
        if self._new_users is None:
            self._new_users = self._find_new_users()
        return self._new_users

    def _find_new_users(self) -> NewUsers:
        name = self.run.config["model"]
        if name == "Pop":
            return SameForAll(self._model_scores(torch.tensor([1]))[0])
        if isinstance(self.model, ClosedFormRecommender):
            if len(self.tokens) > self.n_items:
                raise UserError(
                    f"`--new-users`: {name} scores a new user by items of training, not by those "
                    "of `--new-items`; give one of the two options"
                )
            return ItemWeights(self.model.history_scores, self.n_items)
        tables, folds_in = find_tables(self.model), getattr(self.model, "folds_in", True)
        if tables is None or not folds_in:
            weights = item_weights(self.model)
            if weights is None:
                # A model that folds nobody in may have vectors all the same.
                why, kind = "", "a model with vectors of users and items (such as"
                if not folds_in:
                    why = ", since its loss does not give the vector of a single user"
                    kind = "another model (such as"
                raise UserError(
                    f"`--new-users`: {name} has no score for a user whom it has not seen in "
                    f"training{why}; train again with these users, or use a run of {kind} BPR or "
                    "LightGCN), ItemKNN by items, EASE or Pop"
                )
            return weights
        users, items = self._tables
        if len(self._extra):
            n = len(self.by_content)
            items = torch.cat([items, self._extra[n:]])
            items[self.by_content] = self._extra[:n]
        return FoldedVectors(self.run, users, items, learnt_from(self.run))

    @cached_property
    def _tables(self) -> tuple[Tensor, Tensor]:
        return score_tables(self.model)

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
        fields: tuple[str, str] = (self.run.dataset.uid_field, self.run.dataset.iid_field)
        pairs = users.repeat_interleave(self.n_items), torch.arange(self.n_items).repeat(len(users))
        scores = []
        for block in zip(*(side.split(_PAIRS) for side in pairs), strict=True):
            batch = Interaction(dict(zip(fields, block, strict=True))).to(self.model.device)
            scores.append(self.model.predict(batch).flatten())
        return torch.cat(scores)


def interactions(run: LoadedRun, splits: Sequence[str] | None) -> sp.csr_matrix:
    """Binary users x items matrix of some of the splits, or of the whole dataset.

    The latter has also what ``val_interval`` keeps out of all splits, such as low ratings.
    """
    dataset = run.dataset
    sources = [dataset] if splits is None else [run.parts[s] for s in splits if s in run.parts]
    fields = (dataset.uid_field, dataset.iid_field)
    pairs = [_pairs(source) for source in sources]
    if splits is None and dataset.filtered_pairs is not None:
        ids = dataset.filtered_pairs
        table = pd.DataFrame({f: ids[f].map(dataset.field2token_id[f]) for f in fields}).dropna()
        pairs.append(tuple(table[f].to_numpy(dtype=np.int64) for f in fields))
    return _matrix(run, pairs)


def learnt_from(run: LoadedRun) -> sp.csr_matrix:
    """The matrix ``[n_users, n_items]`` of the interactions that were positives in training."""
    return _matrix(run, [_pairs(liked(run.config, run.parts[TRAIN]))])


def _pairs(split: ModalityDataset) -> tuple[npt.NDArray[np.int64], ...]:
    return tuple(np.asarray(split.inter_feat[f]) for f in (split.uid_field, split.iid_field))


def _matrix(run: LoadedRun, pairs: Iterable[tuple[npt.NDArray[np.int64], ...]]) -> sp.csr_matrix:
    shape = (run.dataset.user_num, run.dataset.item_num)
    total = sp.csr_matrix(shape, dtype=np.float32)
    for users, items in pairs:
        ones = np.ones(len(users), dtype=np.float32)
        total = total + sp.csr_matrix((ones, (users, items)), shape=shape)
    total.data[:] = 1
    return total.tocsr()
