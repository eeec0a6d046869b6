"""Batches of distinct users with one random positive and one random negative each."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import scipy.sparse as sp
import torch
from recbole.data.dataloader.abstract_dataloader import AbstractDataLoader as Loader
from recbole.data.interaction import Interaction
from torch import Tensor

from recbole_painvrl.config.base import ConfigLike
from recbole_painvrl.data.negatives import NegativeSampler, sorted_keys
from recbole_painvrl.seeds import derive_seed
from recbole_painvrl.training.base import RunTrainer


class UserBatches:
    """Draws ``n // batch_size + 1`` batches an epoch, n the number of training interactions.

    Stands where RecBole's training loader does. A user comes up at most once in a batch, however
    many interactions the user has; negatives avoid the user's training items.

    Args:
        interactions: R, SciPy CSR, ``[n_users, n_items]``; row and column 0 are padding.
        batch_size: users in a batch; all of them if there are fewer.
        source: generator of users and positives, on the device of the run.
        fields: names of the user, positive and negative in a batch.
        negative_source: generator of the negatives; None for ``source``.
    """

    def __init__(
        self,
        interactions: sp.csr_matrix,
        batch_size: int,
        source: torch.Generator,
        fields: tuple[str, str, str],
        negative_source: torch.Generator | None = None,
    ) -> None:
        self.generator, self.fields = source, fields
        device = source.device
        n_items = interactions.shape[1]
        self._starts = torch.from_numpy(interactions.indptr).long().to(device)
        self._items = torch.from_numpy(interactions.indices).long().to(device)
        self._degrees = self._starts.diff()
        self._users = self._degrees.nonzero().squeeze(1)
        self.batch_size = min(batch_size, len(self._users))
        self._n_batches = len(self._items) // batch_size + 1
        owners = torch.repeat_interleave(self._degrees)
        keys = sorted_keys(owners, self._items, n_items)
        self._negatives = NegativeSampler(
            n_items, 1, "per_positive", negative_source or source, keys
        )

    def __len__(self) -> int:
        return self._n_batches

    def __iter__(self) -> Iterator[Interaction]:
        for _ in range(self._n_batches):
            yield self.draw()

    def draw(self) -> Interaction:
        """One batch."""
        device = self.generator.device
        order = torch.randperm(len(self._users), generator=self.generator, device=device)
        users = self._users[order[: self.batch_size]]
        share = torch.rand(len(users), generator=self.generator, device=device, dtype=torch.float64)
        places = (share * self._degrees[users]).long()
        positives = self._items[self._starts[users] + places]
        negatives = self._negatives.draw(users).squeeze(1)
        return Interaction(dict(zip(self.fields, (users, positives, negatives), strict=True)))

    def seen(self, users: Tensor) -> tuple[Tensor, Tensor]:
        """Training items of users ``[B]``: rows in the batch (ascending) and items, ``[p]``."""
        degrees = self._degrees[users]
        rows = torch.repeat_interleave(degrees)
        offsets = torch.arange(len(rows), device=rows.device) - (degrees.cumsum(0) - degrees)[rows]
        return rows, self._items[self._starts[users][rows] + offsets]


class SampledUsersTrainer(RunTrainer):
    """Trains on :class:`UserBatches` where ``sampling`` is ``users``, else on RecBole's loader.

    The draws of an epoch depend on the seed and the epoch alone.

    Args:
        config: RecBole configuration.
        model: with ``seed``, ``interactions`` and the setting ``sampling``.
    """

    def __init__(self, config: ConfigLike, model: Any) -> None:
        super().__init__(config, model)
        self._users: UserBatches | None = None
        if model.settings.sampling == "users":
            fields = model.USER_ID, model.ITEM_ID, model.NEG_ITEM_ID
            source = torch.Generator(model.device)
            size = config["train_batch_size"]
            self._users = UserBatches(model.interactions, size, source, fields)

    def _train_epoch(
        self, train_data: Loader, epoch_idx: int, loss_func: Any = None, show_progress: bool = False
    ) -> Any:
        batches: Any = train_data
        if self._users is not None:
            batches, model = self._users, self.model
            batches.generator.manual_seed(derive_seed(model.seed, f"users of epoch {epoch_idx}"))
        return super()._train_epoch(batches, epoch_idx, loss_func, show_progress)
