"""What the models share: features, scores by two tables, and triples to learn from."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar

import scipy.sparse as sp
import torch
from recbole.data.dataset import Dataset
from recbole.model.abstract_recommender import GeneralRecommender
from recbole.utils import InputType
from torch import Tensor

from recbole_painvrl.config.base import ConfigLike, Settings
from recbole_painvrl.errors import UserError
from recbole_painvrl.functional.pairwise import vector_bpr
from recbole_painvrl.parallel.shards import Sharding, UserShard


class TableRecommender(GeneralRecommender):
    """A recommender that scores a pair by the product of a user's and an item's vector.

    A subclass sets ``settings_class`` and gives :meth:`tables`. In evaluation mode the tables
    are computed once and kept until the model is trained or loaded again. One whose scores are no
    such products has no tables, and its own :meth:`predict` and :meth:`full_sort_predict`.

    Args:
        config: RecBole configuration.
        dataset: the training dataset; its ``features`` are used if it has any.

    Attributes:
        settings: the model's checked settings.
        seed: the run's seed, from which every generator is derived.
        features: all modalities side by side, ``[n_items, d]``, times ``feature_mask`` if there is
            one; row 0 (padding) is zero.
        feature_mask: the mask on the features, ``[d]``; None without one.
        modality_slices: columns of each modality, empty without any.
        has_row: which items have a row of numbers other than 0 in each modality's file,
            ``[n_items, M]`` bool.
        dataset_folder: folder of the dataset's files, None where it has none.
        scores_are_products: whether the score of a pair is the product of its rows of
            :meth:`tables`; a model that scores otherwise overrides both ways of scoring.
        noted: dictionary in which :meth:`note` keeps the loss terms; None to keep none.
        shard: the users whose rows the tables have; all but in a run of several processes.
    """

    settings_class: type[Settings]
    settings: Settings
    features: Tensor
    has_row: Tensor
    # Whether a stage learns a mask on the feature columns.
    learns_mask = False
    # Whether the vector of a new user can be found by minimising the loss with all items frozen.
    folds_in = True
    # Whether an item's trained vector is made from its features, seen in training or not.
    content_only = False
    # Whether an item without a row lacks the modality, also where `missing_modality` fills the row.
    follows_has_row = False
    # How users are divided over the processes of a run; None if the model needs a single process.
    # A subclass must declare it again.
    sharding: ClassVar[Sharding | None] = None

    def __init__(self, config: ConfigLike, dataset: Dataset) -> None:
        super().__init__(config, dataset)
        self.settings = self.settings_class.from_config(config)
        self.shard: UserShard = getattr(dataset, "shard", None) or UserShard.whole(self.n_users)
        self.seed = int(config["seed"])
        features: Any = getattr(dataset, "features", None)
        self.modality_slices: dict[str, slice] = {} if features is None else features.slices
        table = features.matrix if self.modality_slices else torch.zeros(self.n_items, 0)
        mask: Tensor | None = getattr(features, "mask", None)
        if mask is not None:
            table = table * mask
        self.feature_mask = None if mask is None else mask.to(self.device)
        self.register_buffer("features", table.to(self.device), persistent=False)
        has_row = features.has_row if self.modality_slices else torch.zeros(self.n_items, 0).bool()
        has_row = has_row.clone()
        for m, columns in enumerate(self.modality_slices.values()):
            # A row of zeros, stored or made by a mask, has no direction: it counts as missing.
            has_row[:, m] &= table[:, columns].any(dim=1)
        self.register_buffer("has_row", has_row.to(self.device), persistent=False)
        self.dataset_folder: Path | None = getattr(dataset, "folder", None)
        self.scores_are_products = True
        self._tables: tuple[Tensor, Tensor] | None = None
        self.noted: dict[str, Tensor] | None = None

    def note(self, term: str, value: Tensor) -> Tensor:
        """The value of a term of the loss, a scalar; kept where ``noted`` is a dictionary."""
        if self.noted is not None:
            self.noted[term] = value.detach()
        return value

    def tables(self) -> tuple[Tensor, Tensor]:
        """Vectors of all users ``[n_users, D]`` and of all items ``[n_items, D]``.

        Raises:
            NotImplementedError: the scores are no products of two vectors.
        """
        raise NotImplementedError

    @classmethod
    def reads_features(cls, config: ConfigLike) -> bool:
        """Whether features have an effect with these settings, where the dataset has some."""
        return True

    def start_epoch(self, epoch: int) -> None:
        """Called before the first batch of every epoch, from 0, also after resuming.

        What is drawn here depends on the seed and the epoch alone, so that a resumed run equals
        an uninterrupted one.
        """

    def content_vectors(self, features: Tensor) -> Tensor | None:
        """Vectors, as of :meth:`tables`, of items unseen in training; None of a model without.

        Args:
            features: ``[n, d]``, normalised as in training, on the model's device.
        """
        return None

    def predict(self, interaction: Any) -> Tensor:
        """Scores of (user, item) pairs, ``[B]``."""
        users, items = self._evaluation_tables()
        rows = self.shard.local(interaction[self.USER_ID])
        return (users[rows] * items[interaction[self.ITEM_ID]]).sum(dim=-1)

    def full_sort_predict(self, interaction: Any) -> Tensor:
        """Scores of users with all items, ``[B * n_items]``."""
        users, items = self._evaluation_tables()
        return (users[self.shard.local(interaction[self.USER_ID])] @ items.T).view(-1)

    def train(self, mode: bool = True) -> Any:
        """Switch mode; the tables kept for evaluation are dropped, and nothing else."""
        self._tables = None
        return super().train(mode)

    def load_state_dict(self, *args: Any, **kwargs: Any) -> Any:
        """Load, and forget everything computed from the old parameters."""
        result = super().load_state_dict(*args, **kwargs)
        self.forget_tables()
        return result

    def _apply(self, *args: Any, **kwargs: Any) -> Any:
        """Move or convert all tensors (``.to``, ``.double``), and forget what was computed."""
        result = super()._apply(*args, **kwargs)
        self.forget_tables()
        return result

    def forget_tables(self) -> None:
        """Drop what was computed from features or a mask, and the tables kept for evaluation.

        Called after loading and after a move to another device or dtype, and to be called by code
        that changes features or parameters; not called in training.
        """
        self._tables = None

    def _evaluation_tables(self) -> tuple[Tensor, Tensor]:
        if self.training:
            return self.tables()
        if self._tables is None:
            with torch.no_grad():
                self._tables = self.tables()
        return self._tables


def binary_interactions(dataset: Dataset) -> sp.csr_matrix:
    """R of the training dataset, SciPy CSR ``[n_users, n_items]``, every entry 1."""
    matrix = dataset.inter_matrix(form="csr")
    matrix.sum_duplicates()
    matrix.data[:] = 1
    return matrix


def require_modalities(model: TableRecommender, config: ConfigLike, why: str) -> None:
    """Refuse a dataset without features.

    Args:
        model: the model under construction.
        config: RecBole configuration.
        why: what the model would lack, as a clause.

    Raises:
        UserError: the dataset has no modality.
    """
    if not model.modality_slices:
        raise UserError(
            f"dataset `{config['dataset']}`: {config['model']} needs at least one modality, found "
            f"none: {why}; add features/<modality>.npy with features/<modality>.items.tsv, or run "
            "--model=UltraGCN"
        )


class PairwiseRecommender(TableRecommender):
    """A table recommender whose batches bring a negative with every positive.

    RecBole's loader draws the negatives, by ``train_neg_sample_args``. A subclass whose
    ``input_type`` is POINTWISE learns from positives alone.

    Args:
        config: RecBole configuration.
        dataset: the training dataset.

    Raises:
        UserError: the loader is told to draw no negatives, or to draw some that are not wanted.
    """

    input_type = InputType.PAIRWISE

    def __init__(self, config: ConfigLike, dataset: Dataset) -> None:
        super().__init__(config, dataset)
        drawn = config["train_neg_sample_args"]["distribution"] != "none"
        if drawn and self.input_type == InputType.POINTWISE:
            # RecBole would add the negatives to a batch as rows, which count as positives here.
            raise UserError(
                f"`train_neg_sample_args`: {config['model']} learns from positives alone and needs "
                "no negatives; leave the setting out"
            )
        if not drawn and self.input_type == InputType.PAIRWISE:
            raise UserError(
                f"`train_neg_sample_args`: {config['model']} learns from pairs and needs "
                "negatives; leave the setting out, or set `distribution: uniform, sample_num: 1`"
            )

    def triples(self, interaction: Any) -> tuple[Tensor, Tensor, Tensor]:
        """Users (rows of their tables), positives and negatives of a batch, ``[B]`` each."""
        users, positives = self.shard.local(interaction[self.USER_ID]), interaction[self.ITEM_ID]
        return users, positives, interaction[self.NEG_ITEM_ID]

    def bpr(self, users: Tensor, positives: Tensor, negatives: Tensor) -> Tensor:
        """BPR of the vectors ``[B, k]`` of a batch's triples, noted as ``L_BPR``; a scalar."""
        return self.note("L_BPR", vector_bpr(users, positives, negatives))
