"""RecBole's training batches, made by a few products of whole columns in place of Python loops."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from recbole.data.dataloader import TrainDataLoader
from recbole.data.interaction import Interaction
from recbole.data.utils import get_dataloader
from recbole.utils import InputType
from torch import Tensor

from recbole_painvrl.errors import UserError
from recbole_painvrl.sampling import NegativeSampler, sorted_keys

Columns = dict[str, Tensor]

# Positives whose negatives are drawn at once: what a draw costs beside its numbers is then small.
_BLOCK = 2**15


def can_be_fast(config: Any) -> bool:
    """Whether :class:`FastTrainLoader` gives this model what RecBole's loader would.

    It knows batches without negatives, and uniform negatives of models that learn from pairs.
    """
    arguments = config["train_neg_sample_args"]
    uniform_pairs = (
        arguments["distribution"] == "uniform"
        and config["MODEL_INPUT_TYPE"] == InputType.PAIRWISE
        and not arguments.get("dynamic", False)
    )
    return bool(
        config["fast_loader"]
        and get_dataloader(config, "train") is TrainDataLoader
        and config["single_spec"]
        and not config["worker"]
        and config["transform"] is None
        and (uniform_pairs or arguments["distribution"] == "none")
    )


class FastTrainLoader(TrainDataLoader):
    """RecBole's training loader with whole-column indexing and vectorised negatives.

    The interactions come in RecBole's order, drawn from the same generator: batches without
    negatives are RecBole's, bit for bit. Negatives have the same law (uniform over the items that
    the user does not have in training) but another stream: RecBole's come from numpy's global
    generator, here every epoch has a generator seeded from the loader's. The loader's generator
    is therefore all that a resumed run needs.

    Args:
        config: RecBole configuration, for which :func:`can_be_fast` holds.
        dataset: the training dataset.
        shuffle: whether to draw a new order in every epoch.

    Raises:
        UserError: a user has every item, so that there are no negatives for them.
    """

    def __init__(self, config: Any, dataset: Any, shuffle: bool) -> None:
        super().__init__(config, dataset, None, shuffle=shuffle)
        self._device = torch.device(config["device"])
        self._columns = self._on_device(dataset.inter_feat)
        self._users = self._on_device(dataset.user_feat)
        self._items = self._on_device(dataset.item_feat)
        self._sampler: NegativeSampler | None = None
        if self.neg_sample_args["distribution"] != "none":
            self._sampler = self._negatives(dataset.item_num)

    def _negatives(self, n_items: int) -> NegativeSampler:
        keys = sorted_keys(self._columns[self.uid_field], self._columns[self.iid_field], n_items)
        owned = torch.bincount(keys // n_items)
        if int(owned.max()) >= n_items - 1:
            raise UserError(
                f"negative sampling: {int((owned >= n_items - 1).sum())} users have interacted "
                "with all items, and no negative is left for them; set `user_inter_num_interval` "
                "to filter those users"
            )
        source = torch.Generator(self._device)
        return NegativeSampler(n_items, self.times, "per_positive", source, keys)

    def _on_device(self, table: Any) -> Columns:
        if table is None:
            return {}
        return {name: table[name].to(self._device) for name in table.columns}

    def __iter__(self) -> Iterator[Any]:
        """Batches of one epoch: ``Interaction`` objects with RecBole's fields."""
        # What an iterator of PyTorch draws first; RecBole's order follows.
        seed = int(torch.empty((), dtype=torch.int64).random_(generator=self.generator).item())
        # To the end: PyTorch's sampler draws once more after the last number.
        order = np.fromiter(self.sampler, dtype=np.int64)
        if self._sampler is not None:
            self._sampler.generator.manual_seed(seed)
        rows = torch.from_numpy(order).to(self._device)
        for block in rows.split(self.step * max(1, _BLOCK // self.step)):
            negatives = None
            if self._sampler is not None:
                users = self._columns[self.uid_field].index_select(0, block)
                negatives = self._sampler.draw(users).split(self.step)
            for number, chosen in enumerate(block.split(self.step)):
                yield self._batch(chosen, None if negatives is None else negatives[number])

    def _batch(self, rows: Tensor, negatives: Tensor | None) -> Any:
        batch = {name: column.index_select(0, rows) for name, column in self._columns.items()}
        users, items = batch[self.uid_field], batch[self.iid_field]
        batch |= _rows(self._users, users) | _rows(self._items, items)
        if negatives is not None:
            if self.times > 1:
                batch = {
                    name: column.repeat(self.times, *[1] * (column.dim() - 1))
                    for name, column in batch.items()
                }
            # RecBole's arrangement: the whole batch with its first negatives, then with its second.
            flat = negatives.T.reshape(-1)
            own = {self.iid_field: flat} | _rows(self._items, flat)
            batch |= {self.neg_prefix + name: column for name, column in own.items()}
        return Interaction(batch)


def _rows(table: Columns, ids: Tensor) -> Columns:
    return {name: column.index_select(0, ids) for name, column in table.items()}
