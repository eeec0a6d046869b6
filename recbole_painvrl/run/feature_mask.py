"""Which learnt mask a run may use: one that has not seen the run's tests."""

from __future__ import annotations

import hashlib
from logging import getLogger
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from recbole_painvrl.data.feature_mask import COPY, mask_file
from recbole_painvrl.errors import UserError
from recbole_painvrl.models.base import TableRecommender
from recbole_painvrl.reading import parse_json
from recbole_painvrl.run import RESULT
from recbole_painvrl.run.folder import CONFIG, write_arrays
from recbole_painvrl.specs import spec_of

if TYPE_CHECKING:
    from recbole_painvrl.config import SafeConfig
    from recbole_painvrl.data.dataset import ModalityDataset


def training_hash(train: ModalityDataset) -> str:
    """SHA-256 of the training interactions, whatever their order; users and items by their ids."""
    digest = hashlib.sha256()
    columns = []
    for field in (train.uid_field, train.iid_field):
        tokens = np.asarray(train.field2id_token[field]).astype(str)
        # Internal numbers depend on the order of the files; ranks of the ids do not.
        rank = np.argsort(np.argsort(tokens[1:], kind="stable"), kind="stable")
        columns.append(rank[train.inter_feat[field].numpy() - 1])
        digest.update("\t".join(sorted(tokens[1:])).encode())
    users, items = columns
    digest.update(np.sort(users.astype(np.int64) * (int(items.max()) + 1) + items).tobytes())
    return digest.hexdigest()


def check_feature_mask(config: SafeConfig, train: ModalityDataset) -> None:
    """Refuse a mask that the model would ignore, or that was learnt on other interactions.

    A mask learnt on another split may have seen this run's tests. A file that is not in a run
    folder is the user's own and is not checked.

    Args:
        config: of the run.
        train: its training split.

    Raises:
        UserError: naming the reason.
    """
    given = config["feature_mask"]
    if given is None or config["feature_mask_file"] is not None:
        return
    spec = spec_of(config["model"])
    if not takes_feature_mask(config):
        why = "uses no features here; leave it out"
        if spec is not None and getattr(spec.model, "learns_mask", False):
            why = "learns its own mask; leave it out, or train --model=UltraGCN on it"
        raise UserError(f"`feature_mask`: found {given}, but {config['model']} {why}")
    folder = mask_file(Path(given)).parent
    if not (folder / CONFIG).is_file():
        return
    try:
        result = parse_json((folder / RESULT).read_text(encoding="utf-8"))
        learnt_on = result["hashes"]["train"]
    except (OSError, ValueError, LookupError, TypeError) as error:
        raise UserError(
            f"`feature_mask`: {folder} is not a complete run of this version; run it again"
        ) from error
    if learnt_on != training_hash(train):
        raise UserError(
            f"`feature_mask`: the mask of {folder} was learnt on other training interactions than "
            "this run has, and may have seen its tests; learn it with the same data, `protocol` "
            "and settings of the split (with protocol random also the same `seed`)"
        )


def warn_of_other_files(config: SafeConfig, data_hash: str) -> None:
    """A warning if the mask was learnt on other files of the dataset, such as other features.

    The same number of columns does not say that they are the same.

    Args:
        config: of the run, whose mask :func:`check_feature_mask` has accepted.
        data_hash: of the files of its dataset.
    """
    given = config["feature_mask"]
    folder = None if given is None else mask_file(Path(given)).parent
    if folder is None or not (folder / CONFIG).is_file() or not (folder / RESULT).is_file():
        return
    result = parse_json((folder / RESULT).read_text(encoding="utf-8"))
    if result["hashes"].get("data") != data_hash:
        getLogger("recbole_painvrl").warning(
            "`feature_mask`: files of %s have changed since the mask of %s was learnt, or it was "
            "learnt on another folder; make sure that its features have the same columns, or "
            "learn the mask again",
            config["data_path"],
            folder,
        )


def takes_feature_mask(config: SafeConfig) -> bool:
    """Whether the scores or the loss of the configured model depend on the features."""
    spec = spec_of(config["model"])
    return (
        spec is not None
        and issubclass(spec.model, TableRecommender)
        and not spec.model.learns_mask
        and config["modalities"] != []
        and spec.model.reads_features(config)
    )


def keep_feature_mask(dataset: ModalityDataset, folder: Path) -> None:
    """Copy the mask in use into the run folder, which needs nothing else to be opened again."""
    mask = dataset.features.mask
    if mask is not None:
        slices = dataset.features.slices
        arrays = {name: mask[columns].numpy() for name, columns in slices.items()}
        write_arrays(folder / COPY, arrays)


def use_kept_mask(config: SafeConfig, folder: Path) -> None:
    """Read the mask from the run folder's copy, wherever the original is now.

    Raises:
        UserError: the copy is missing.
    """
    if config["feature_mask"] is None:
        return
    if not (folder / COPY).is_file():
        raise UserError(f"{folder}: {COPY} is missing; put it back, or train again")
    config["feature_mask_file"] = str(folder / COPY)
