"""Lists of the best items, a block of users at a time."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt
import scipy.sparse as sp
import torch
from torch import Tensor

from recbole_painvrl.data.splits.base import TRAIN, VALID
from recbole_painvrl.inference.loading import LoadedRun
from recbole_painvrl.inference.ranking import block_size, top_k
from recbole_painvrl.inference.scoring import Scorer, interactions

Exclude = Literal["all", "train", "none"]


@dataclass(frozen=True)
class Recommended:
    """The lists of one block of users, row by row; a user without candidates has no row.

    Attributes:
        user_id: own id of the user, ``[rows]``.
        item_id: own id of the item.
        rank: from 1.
        score: float32, comparable within a user only.
        n_users: users of the block.
        n_short: users with fewer than k items.
    """

    user_id: npt.NDArray[np.object_]
    item_id: npt.NDArray[np.object_]
    rank: npt.NDArray[np.int32]
    score: npt.NDArray[np.float32]
    n_users: int
    n_short: int


class Recommender:
    """Ranks the candidates of a scorer for known and for new users.

    Args:
        scorer: gives the scores.
        k: length of the lists.
        exclude: what is not recommended again: every interaction of the dataset (``all``),
            training and validation, as in the evaluation (``train``), or nothing (``none``).
        block: users scored at a time; None for as many as keep the scores in about 16 MB.
    """

    def __init__(
        self, scorer: Scorer, k: int, exclude: Exclude = "all", block: int | None = None
    ) -> None:
        self.scorer, self.k, self.exclude = scorer, k, exclude
        self.block = block or block_size(len(scorer.tokens))
        self._history = _history(scorer.run, exclude)

    def known(self, tokens: Sequence[str]) -> Iterator[Recommended]:
        """Lists for users of the dataset, by their own ids."""
        numbers = self.scorer.run.dataset.field2token_id[self.scorer.run.dataset.uid_field]
        for start in range(0, len(tokens), self.block):
            part = tokens[start : start + self.block]
            users = np.array([numbers[token] for token in part], dtype=np.int64)
            scores = self.scorer.known(torch.from_numpy(users))
            rows, columns = self._history[users].nonzero()
            yield self._ranked(part, scores, torch.from_numpy(rows), torch.from_numpy(columns))

    def new(self, histories: Mapping[str, Sequence[str]]) -> Iterator[Recommended]:
        """Lists for users given by the own ids of their items, none of them empty."""
        tokens = list(histories)
        for start in range(0, len(tokens), self.block):
            part = tokens[start : start + self.block]
            items = [
                torch.tensor([self.scorer.column[name] for name in histories[token]])
                for token in part
            ]
            scores = self.scorer.new(items)
            rows = torch.repeat_interleave(torch.tensor([len(own) for own in items]))
            columns = torch.cat(items)
            if self.exclude == "none":
                rows, columns = rows[:0], columns[:0]
            yield self._ranked(part, scores, rows, columns)

    def _ranked(
        self, users: Sequence[str], scores: Tensor, rows: Tensor, columns: Tensor
    ) -> Recommended:
        scores[:, ~self.scorer.candidates] = -torch.inf
        scores[rows.long(), columns.long()] = -torch.inf
        values, best = top_k(scores, self.k)
        real = values > -torch.inf
        places = real.nonzero()
        return Recommended(
            np.asarray(users, dtype=object)[places[:, 0].numpy()],
            self.scorer.tokens[best[real].numpy()],
            (places[:, 1] + 1).numpy().astype(np.int32),
            values[real].numpy().astype(np.float32),
            len(users),
            int((real.sum(dim=1) < self.k).sum()),
        )


def _history(run: LoadedRun, exclude: Exclude) -> sp.csr_matrix:
    if exclude == "none":
        return interactions(run, ())
    return interactions(run, None if exclude == "all" else (TRAIN, VALID))
