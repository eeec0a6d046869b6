"""RecBole's full-sort evaluation loader without a Python loop per user and interaction."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from recbole.data.dataloader import FullSortEvalDataLoader
from recbole.data.dataloader.abstract_dataloader import AbstractDataLoader
from recbole.data.interaction import Interaction
from torch import Tensor

IntArray = npt.NDArray[np.int64]


class _Lists:
    """A list of items per user, as one array with the bounds of each user's part.

    Args:
        keys: sorted, distinct ``user * n_items + item``.
        users: users in the order of the loader.
        n_items: number of items, padding included.
    """

    def __init__(self, keys: IntArray, users: IntArray, n_items: int) -> None:
        self.items = torch.from_numpy(keys % n_items)
        self.starts = torch.from_numpy(np.searchsorted(keys, users * n_items))
        self.lengths = torch.from_numpy(np.searchsorted(keys, (users + 1) * n_items)) - self.starts

    def rows(self, first: int, last: int) -> tuple[Tensor, Tensor]:
        """Row in the batch and item of every entry of the users ``first`` to ``last - 1``."""
        lengths, starts = self.lengths[first:last], self.starts[first:last]
        row = torch.repeat_interleave(torch.arange(last - first), lengths)
        before = torch.cumsum(lengths, 0) - lengths
        places = torch.arange(len(row)) + (starts - before)[row]
        return row, self.items[places]


class FastEvaluationLoader(FullSortEvalDataLoader):
    """The batches of RecBole's loader: the same users, positives and history, in blocks.

    Args:
        config: RecBole configuration; ``eval_batch_size`` counts scores, so that a block has the
            same bytes whatever the number of items.
        history: parts whose items are not recommended again.
        dataset: the part to evaluate.
    """

    def __init__(self, config: Any, history: Sequence[Any], dataset: Any) -> None:
        self.uid_field, self.iid_field = dataset.uid_field, dataset.iid_field
        self.is_sequential = False
        dataset.sort(by=self.uid_field, ascending=True)
        n_items = dataset.item_num
        positives = self._keys(dataset, n_items)
        known = np.concatenate([self._keys(part, n_items) for part in history] or [positives[:0]])
        seen = np.setdiff1d(known, positives)
        users = np.unique(positives // n_items)
        self.uid_list = torch.from_numpy(users)
        self.user_df = dataset.join(Interaction({self.uid_field: self.uid_list}))
        self._positives = _Lists(positives, users, n_items)
        self._history = _Lists(seen, users, n_items)
        self.uid2items_num = np.zeros(dataset.user_num, dtype=np.int64)
        self.uid2items_num[users] = self._positives.lengths.numpy()
        self.sample_size = len(users)
        # Past FullSortEvalDataLoader, which would make its lists user by user.
        AbstractDataLoader.__init__(self, config, dataset, None, shuffle=False)

    def _keys(self, dataset: Any, n_items: int) -> IntArray:
        users, items = (
            dataset.inter_feat[name].numpy() for name in (self.uid_field, self.iid_field)
        )
        keys: IntArray = np.unique(users.astype(np.int64) * n_items + items)
        return keys

    def collate_fn(self, index: Sequence[int]) -> tuple[Any, Any, Tensor, Tensor]:
        """Users, their history, and row and item of their positives; ``index`` is consecutive."""
        first, last = int(index[0]), int(index[-1]) + 1
        users = Interaction({name: self.user_df[name][first:last] for name in self.user_df.columns})
        rows, items = self._positives.rows(first, last)
        return users, self._history.rows(first, last), rows, items
