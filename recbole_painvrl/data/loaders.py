"""Vectorized versions of RecBole's loaders.

RecBole's loaders iterate over users and interactions in Python. These give the same batches (for
negatives: the same distribution); RecBole's loaders are used in unsupported cases.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from logging import getLogger
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from recbole.data.dataloader import FullSortEvalDataLoader, TrainDataLoader
from recbole.data.dataloader.abstract_dataloader import AbstractDataLoader
from recbole.data.interaction import Interaction
from recbole.data.utils import get_dataloader
from recbole.sampler import Sampler
from recbole.utils import EvaluatorType, InputType
from torch import Tensor
from torch.utils.data import RandomSampler

from recbole_painvrl.data.negatives import NegativeSampler, sorted_keys
from recbole_painvrl.errors import UserError
from recbole_painvrl.parallel.shards import OwnRows, UserShard
from recbole_painvrl.seeds import separate_draws

Columns = dict[str, Tensor]
IntArray = npt.NDArray[np.int64]

# Positives whose negatives are drawn at once, to amortize the fixed cost of a draw.
_BLOCK = 2**15


def liked(config: Any, train: Any) -> Any:
    """The training dataset of a labelled run, without label 0 if negatives are sampled.

    RecBole's samplers give label 1 to every row, even with a ``threshold``. Without sampled
    negatives a model learns from the labels, and all rows are kept.

    Raises:
        UserError: no row has a label above 0.
    """
    sampled = config["train_neg_sample_args"]["distribution"] != "none"
    labelled = config["eval_type"] == EvaluatorType.VALUE
    if not (sampled and labelled) or train.label_field not in train.inter_feat:
        return train
    positive = train.inter_feat[train.label_field] > 0
    if not positive.any():
        raise UserError(
            f"{train.folder}: no training interaction has `{train.label_field}` above 0; lower the "
            "`threshold` or correct the labels"
        )
    if positive.all():
        return train
    getLogger("recbole_painvrl").info(
        "%d of %d training interactions have label 0 and are not used as positives",
        int((~positive).sum()),
        len(positive),
    )
    return train.copy(train.inter_feat[positive])


def training_loader(config: Any, train: Any) -> Any:
    """RecBole's training loader; negatives avoid the user's training items only.

    With ``fast_loader``, the fast version for supported models.
    """
    if can_be_fast(config):
        return FastTrainLoader(config, train, shuffle=config["shuffle"])
    arguments, sampler = config["train_neg_sample_args"], None
    if arguments["distribution"] != "none":
        sampler = _sampler([train], "train", arguments["distribution"], arguments["alpha"])
    return get_dataloader(config, "train")(config, train, sampler, shuffle=config["shuffle"])


def evaluation_loader(config: Any, history: Sequence[Any], dataset: Any, phase: str) -> Any:
    """RecBole's evaluation loader of one split.

    Args:
        config: RecBole configuration.
        history: splits whose items are not recommended again (training, and what is known).
        dataset: the split to evaluate.
        phase: ``valid`` or ``test``, whose evaluation mode applies.
    """
    loader = get_dataloader(config, phase)
    if loader is FullSortEvalDataLoader and config["single_spec"]:
        return FastEvaluationLoader(config, history, dataset)
    distribution, sampler = config[f"{phase}_neg_sample_args"]["distribution"], None
    if distribution != "none":
        sampler = _sampler([*history, dataset], phase, distribution, 1.0, FixedCandidates)
        sampler.split_seed = config["split_seed"]
    return loader(config, dataset, sampler, shuffle=False)


class FixedCandidates(Sampler):
    """RecBole's sampler of candidates, with fixed candidates for each user and test.

    RecBole draws from numpy's global generator, so that the candidates depend on the model and
    on the training before.

    Attributes:
        split_seed: seed of the split, to which the candidates belong.
    """

    split_seed = 0

    def sample_by_user_ids(self, user_ids: Any, item_ids: Any, num: int) -> Any:
        """Candidates of one user; see RecBole."""
        with separate_draws(self.split_seed, f"{self.phase} candidates of user {user_ids[0]}"):
            return super().sample_by_user_ids(user_ids, item_ids, num)


def _sampler(
    datasets: list[Any],
    phase: str,
    distribution: str,
    alpha: float,
    sampler_class: type[Sampler] = Sampler,
) -> Any:
    phases = [f"history {index}" for index in range(len(datasets) - 1)] + [phase]
    try:
        return sampler_class(phases, datasets, distribution, alpha).set_phase(phase)
    except ValueError as error:
        raise UserError(f"negative sampling: {' '.join(str(error).split())}") from error


def can_be_fast(config: Any) -> bool:
    """Whether :class:`FastTrainLoader` supports this configuration.

    It supports batches without negatives, and uniform negatives of pairwise models.
    """
    none = config["train_neg_sample_args"]["distribution"] == "none"
    return bool(
        config["fast_loader"]
        and get_dataloader(config, "train") is TrainDataLoader
        and config["single_spec"]
        and not config["worker"]
        and config["transform"] is None
        and (none or draws_uniform_pairs(config))
    )


def draws_uniform_pairs(config: Any) -> bool:
    """Whether the loader draws uniform negatives of pairs, which the fast one draws otherwise."""
    arguments = config["train_neg_sample_args"]
    return (
        arguments["distribution"] == "uniform"
        and config["MODEL_INPUT_TYPE"] == InputType.PAIRWISE
        and not arguments.get("dynamic", False)
    )


class FastTrainLoader(TrainDataLoader):
    """RecBole's training loader with whole-column indexing and vectorised negatives.

    The interactions come in RecBole's order, drawn from the same generator: batches without
    negatives are RecBole's, bit for bit. Negatives have the same distribution (uniform over the
    items that the user does not have in training) but another random sequence: RecBole's come
    from numpy's global generator, here every epoch has a generator seeded from the loader's. The
    loader's generator is therefore all that a resumed run needs.

    Where users are divided over processes (``dataset.shard``), all processes draw the same batch
    with the same negatives, and each yields the rows of its own users; these may be none.

    Args:
        config: RecBole configuration, for which :func:`can_be_fast` holds.
        dataset: the training dataset.
        shuffle: whether to draw a new order in every epoch.

    Attributes:
        n_rows: rows of the present batch in all processes.

    Raises:
        UserError: a user has every item, so that there are no negatives for them.
    """

    def __init__(self, config: Any, dataset: Any, shuffle: bool) -> None:
        super().__init__(config, dataset, None, shuffle=shuffle)
        self._device = torch.device(config["device"])
        self.n_rows = 0
        self._own = own_rows(dataset)
        self._columns = self._on_device(dataset.inter_feat, self._own)
        self._users = self._on_device(dataset.user_feat)
        self._items = self._on_device(dataset.item_feat)
        self._sampler: NegativeSampler | None = None
        if self.neg_sample_args["distribution"] != "none":
            # From the rows of all processes: the negatives of a row depend on the draws before it.
            fields = (self.uid_field, self.iid_field)
            users, items = (dataset.inter_feat[field].to(self._device) for field in fields)
            self._all_users = users
            self._sampler = self._negatives(users, items, dataset.item_num)

    def _negatives(self, users: Tensor, items: Tensor, n_items: int) -> NegativeSampler:
        keys = sorted_keys(users, items, n_items)
        n_positives = torch.bincount(keys // n_items)
        if int(n_positives.max()) >= n_items - 1:
            raise UserError(
                f"negative sampling: {int((n_positives >= n_items - 1).sum())} users have "
                "interacted with all items, and no negative is left for them; set "
                "`user_inter_num_interval` to filter those users"
            )
        source = torch.Generator(self._device)
        return NegativeSampler(n_items, self.times, "per_positive", source, keys)

    def _on_device(self, table: Any, own: OwnRows | None = None) -> Columns:
        if table is None:
            return {}
        columns = {name: table[name] for name in table.columns}
        if own is not None:
            columns = {name: column[own.rows] for name, column in columns.items()}
        return {name: column.to(self._device) for name, column in columns.items()}

    def __iter__(self) -> Iterator[Any]:
        """Batches of one epoch: ``Interaction`` objects with RecBole's fields."""
        # PyTorch's iterator draws this first; the next draw gives RecBole's order.
        seed = int(torch.empty((), dtype=torch.int64).random_(generator=self.generator).item())
        order = self._order()
        if self._sampler is not None:
            self._sampler.generator.manual_seed(seed)
        for block in order.split(self.step * max(1, _BLOCK // self.step)):
            sizes = [len(batch) for batch in block.split(self.step)]
            negatives, rows, counts = None, block, sizes
            if self._sampler is not None:
                users = self._all_users.index_select(0, block.to(self._device))
                negatives = self._sampler.draw(users)
            if self._own is not None:
                rows, positions, counts = self._own.pick(block, self.step)
                if negatives is not None:
                    negatives = negatives.index_select(0, positions.to(self._device))
            chosen = rows.to(self._device).split(counts)
            drawn = [None] * len(sizes) if negatives is None else negatives.split(counts)
            for size, batch, one in zip(sizes, chosen, drawn, strict=True):
                self.n_rows = size
                yield self._batch(batch, one)

    def _order(self) -> Tensor:
        """Row numbers of an epoch, on the CPU."""
        if type(self.sampler) is not RandomSampler:
            return torch.arange(self.sample_size)
        order = torch.randperm(self.sample_size, generator=self.generator)
        # PyTorch's sampler draws once more after the last index.
        torch.randperm(self.sample_size, generator=self.generator)
        return order

    def _batch(self, rows: Tensor, negatives: Tensor | None) -> Any:
        batch = _rows(self._columns, rows)
        batch |= _rows(self._users, batch[self.uid_field])
        batch |= _rows(self._items, batch[self.iid_field])
        if negatives is not None:
            if self.times > 1:
                batch = {
                    name: column.repeat(self.times, *[1] * (column.dim() - 1))
                    for name, column in batch.items()
                }
            # As in RecBole: the whole batch with its first negatives, then with its second.
            flat = negatives.T.reshape(-1)
            columns = {self.iid_field: flat} | _rows(self._items, flat)
            batch |= {self.neg_prefix + name: column for name, column in columns.items()}
        return Interaction(batch)


def own_rows(dataset: Any) -> OwnRows | None:
    """Which interactions are of this process's users; None where it has all users."""
    shard: UserShard | None = getattr(dataset, "shard", None)
    if shard is None or shard.is_whole:
        return None
    return OwnRows(shard.has(dataset.inter_feat[dataset.uid_field]))


def _rows(table: Columns, indices: Tensor) -> Columns:
    return {name: column.index_select(0, indices) for name, column in table.items()}


class FastEvaluationLoader(FullSortEvalDataLoader):
    """The batches of RecBole's loader: the same users, positives and history, in blocks.

    Where users are divided over processes, only the users of this process are evaluated here.

    Args:
        config: RecBole configuration; ``eval_batch_size`` counts scores, so that a block has the
            same bytes whatever the number of items.
        history: splits whose items are not recommended again.
        dataset: the split to evaluate.
    """

    def __init__(self, config: Any, history: Sequence[Any], dataset: Any) -> None:
        self.uid_field, self.iid_field = dataset.uid_field, dataset.iid_field
        self.is_sequential = False
        self._shard: UserShard | None = getattr(dataset, "shard", None)
        if self._shard is None:
            dataset.sort(by=self.uid_field, ascending=True)
        n_items = dataset.item_num
        positives = self._keys(dataset, n_items)
        known = np.concatenate([self._keys(split, n_items) for split in history] or [positives[:0]])
        users = np.unique(positives // n_items)
        self.uid_list = torch.from_numpy(users)
        self.user_df = dataset.join(Interaction({self.uid_field: self.uid_list}))
        self._positives = _Lists(positives, users, n_items)
        self._history = _Lists(np.setdiff1d(known, positives), users, n_items)
        self.uid2items_num = np.zeros(dataset.user_num, dtype=np.int64)
        self.uid2items_num[users] = self._positives.lengths.numpy()
        self.sample_size = len(users)
        # Skips FullSortEvalDataLoader.__init__, which builds its lists user by user.
        AbstractDataLoader.__init__(self, config, dataset, None, shuffle=False)

    def _keys(self, dataset: Any, n_items: int) -> IntArray:
        users, items = (dataset.inter_feat[name] for name in (self.uid_field, self.iid_field))
        if self._shard is not None:
            own = self._shard.has(users)
            users, items = users[own], items[own]
        return sorted_keys(users, items, n_items).numpy()

    def __bool__(self) -> bool:
        """Whether there is something to evaluate, in another process if not in this."""
        return True

    def collate_fn(self, index: Sequence[int]) -> tuple[Any, Any, Tensor, Tensor]:
        """Users, their history, and row and item of their positives; ``index`` is consecutive."""
        first, last = int(index[0]), int(index[-1]) + 1
        users = Interaction({name: self.user_df[name][first:last] for name in self.user_df.columns})
        rows, items = self._positives.rows(first, last)
        return users, self._history.rows(first, last), rows, items


class _Lists:
    """A list of items per user, as one array with the bounds of each user's items.

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
        return row, self.items[torch.arange(len(row)) + (starts - before)[row]]
