"""Lists of the best items, a block of users at a time."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from recbole_painvrl.data.splits.base import TRAIN, VALID
from recbole_painvrl.inference.scoring import Scorer, interactions

Exclude = Literal["all", "train", "none"]

# Scores held at a time: 16 MB in float32.
_BLOCK_SCORES = 1 << 22


@dataclass(frozen=True)
class Recommended:
    """The lists of one block of users, row by row; a user without candidates has no row.

    Attributes:
        user_id: the dataset's id of the user, ``[rows]``.
        item_id: the dataset's id of the item.
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
        splits = {"all": None, "train": (TRAIN, VALID), "none": ()}[exclude]
        self._history = interactions(scorer.run, splits)

    def known(self, tokens: Sequence[str]) -> Iterator[Recommended]:
        """Lists for users of the dataset, by their ids in the dataset."""
        dataset = self.scorer.run.dataset
        indices = dataset.field2token_id[dataset.uid_field]
        for start in range(0, len(tokens), self.block):
            block = tokens[start : start + self.block]
            users = np.array([indices[token] for token in block], dtype=np.int64)
            scores = self.scorer.known(torch.from_numpy(users))
            rows, columns = self._history[users].nonzero()
            yield self._ranked(block, scores, torch.from_numpy(rows), torch.from_numpy(columns))

    def new(self, histories: Mapping[str, Sequence[str]]) -> Iterator[Recommended]:
        """Lists for users given by the ids of their items, none of them empty."""
        tokens = list(histories)
        for start in range(0, len(tokens), self.block):
            block = tokens[start : start + self.block]
            items = [
                torch.tensor([self.scorer.column[name] for name in histories[token]])
                for token in block
            ]
            scores = self.scorer.new(items)
            rows = torch.repeat_interleave(torch.tensor([len(history) for history in items]))
            columns = torch.cat(items)
            if self.exclude == "none":
                rows, columns = rows[:0], columns[:0]
            yield self._ranked(block, scores, rows, columns)

    def _ranked(
        self, users: Sequence[str], scores: Tensor, rows: Tensor, columns: Tensor
    ) -> Recommended:
        scores[:, ~self.scorer.candidates] = -torch.inf
        scores[rows.long(), columns.long()] = -torch.inf
        values, best = top_k(scores, self.k)
        real = values > -torch.inf
        ranked = real.nonzero()
        return Recommended(
            np.asarray(users, dtype=object)[ranked[:, 0].numpy()],
            self.scorer.tokens[best[real].numpy()],
            (ranked[:, 1] + 1).numpy().astype(np.int32),
            values[real].numpy().astype(np.float32),
            len(users),
            int((real.sum(dim=1) < self.k).sum()),
        )


def block_size(n_items: int) -> int:
    """Users that are scored at a time, so that memory does not grow with their number."""
    return max(1, _BLOCK_SCORES // max(1, n_items))


def top_k(scores: Tensor, k: int) -> tuple[Tensor, Tensor]:
    """The k highest scores of every row, descending; among equal scores the first column wins.

    Args:
        scores: ``[B, n]``; -inf marks what is not to be ranked.
        k: at least 1; at most n are returned.

    Returns:
        ``(values [B, k], columns [B, k])``.
    """
    k = min(k, scores.shape[1])
    values, columns = torch.topk(scores, k, dim=1)
    # topk leaves open which of several equal scores it takes, and in which order.
    columns, order = columns.sort(dim=1)
    values, order = values.gather(1, order).sort(dim=1, descending=True, stable=True)
    columns = columns.gather(1, order)
    at_least = (scores >= values[:, -1:]).sum(dim=1)
    for row in torch.nonzero(at_least > k).flatten().tolist():
        ordered, order = scores[row].sort(descending=True, stable=True)
        values[row], columns[row] = ordered[:k], order[:k]
    return values, columns
