"""RecBole's collector of top-K lists without a matrix of users x items."""

from __future__ import annotations

from typing import Any

import torch
from recbole.data.dataloader.abstract_dataloader import AbstractDataLoader as Loader
from recbole.evaluator.collector import Collector
from torch import Tensor

from recbole_painvrl.parallel import group

_PER_USER = ("rec.topk", "rec.items", "rec.meanrank")


def top_hits(top_items: Tensor, rows: Tensor, items: Tensor, n_items: int) -> Tensor:
    """Which of the recommended items are positives, and how many positives each user has.

    Args:
        top_items: ``[n_users, K]``.
        rows: row of the user of every positive, ``[n]``.
        items: every positive, ``[n]``.
        n_items: number of items, padding included.

    Returns:
        ``[n_users, K + 1]`` int64, as RecBole's ``rec.topk``.
    """
    users = torch.arange(len(top_items), device=top_items.device)[:, None]
    hits = torch.isin(users * n_items + top_items, rows * n_items + items)
    counts = torch.bincount(rows, minlength=len(top_items))[:, None]
    return torch.cat([hits.long(), counts], dim=1)


class FastCollector(Collector):
    """RecBole's collector; what the top-K metrics need is found by one search per block.

    ``rec.items`` has 0, the padding item, where a user has fewer than K candidates; RecBole fills
    such a list with items that are excluded.
    """

    def data_collect(self, train_data: Loader) -> None:
        """Collect what metrics need of the training data; see RecBole."""
        super().data_collect(train_data)
        dataset = train_data._dataset
        counts = dataset.inter_feat[dataset.iid_field].bincount(minlength=dataset.item_num)
        self.data_struct.set("data.popularity", counts)

    def get_data_struct(self) -> Any:
        """What was collected, with the users of all processes in the first process alone."""
        struct = super().get_data_struct()
        if group.size() > 1:
            for name in filter(self.register.need, _PER_USER):
                self._gather(struct, name)
        return struct

    def _gather(self, struct: Any, name: str) -> None:
        own = struct.get(name) if name in struct else None
        forms = group.every(None if own is None else (list(own.shape[1:]), own.dtype))
        shape, dtype = next(form for form in forms if form is not None)
        # A process may have no users to evaluate.
        whole = group.gather_rows(torch.empty(0, *shape, dtype=dtype) if own is None else own)
        if whole is not None:
            struct.set(name, whole)

    def eval_batch_collect(
        self, scores_tensor: Tensor, interaction: Any, positive_u: Tensor, positive_i: Tensor
    ) -> None:
        """Collect one block of scores, ``[B, n_items]``; the same ``rec.topk`` as RecBole's."""
        need = self.register.need
        if any(need(name) for name in ("rec.meanrank", "rec.score", "data.label")):
            super().eval_batch_collect(scores_tensor, interaction, positive_u, positive_i)
            if need("rec.items"):
                items = self.data_struct.get("rec.items")
                items[-len(scores_tensor) :] = self._top_items(scores_tensor)
            return
        if not (need("rec.items") or need("rec.topk")):
            return
        top_items = self._top_items(scores_tensor)
        if need("rec.items"):
            self.data_struct.update_tensor("rec.items", top_items)
        if need("rec.topk"):
            device = scores_tensor.device
            rows, items = positive_u.to(device), positive_i.to(device)
            hits = top_hits(top_items, rows, items, scores_tensor.shape[1])
            self.data_struct.update_tensor("rec.topk", hits)

    def _top_items(self, scores: Tensor) -> Tensor:
        values, items = torch.topk(scores, max(self.topk), dim=-1)
        return items.masked_fill(values == -torch.inf, 0)
