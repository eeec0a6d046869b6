"""The prepared data of a run, read by one process and mapped into memory by all.

RecBole's tables take 320 bytes per interaction. The first process alone makes them; it writes the
columns and features as plain arrays, of which all processes of a machine then share one copy.
"""

from __future__ import annotations

import copy
import shutil
import tempfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from recbole.data.interaction import Interaction
from torch import Tensor

from recbole_painvrl.data.splits.base import TRAIN
from recbole_painvrl.errors import UserError
from recbole_painvrl.parallel import group
from recbole_painvrl.parallel.shards import balanced_shards

if TYPE_CHECKING:
    from recbole_painvrl.config import SafeConfig
    from recbole_painvrl.data.dataset import ModalityDataset

Parts = dict[str, "ModalityDataset"]
_FEATURES = "features"
# Attributes that are not sent to the other processes: large ones, and ones of a single process.
_LEFT_OUT = dict.fromkeys(("inter_feat", "features", "config", "times", "filtered_pairs", "_parts"))


def shared_data(
    config: SafeConfig, build: Callable[[], tuple[ModalityDataset, Parts]], folder: Path
) -> tuple[ModalityDataset, Parts]:
    """Dataset and splits of all processes, with the users divided over them (``shard``).

    Only the first process has the users' and items' own ids (``field2id_token``).

    Args:
        config: of this process.
        build: makes dataset and splits; called in the first process.
        folder: in which a temporary folder is made, seen by all machines.
    """
    if group.size() == 1:
        return build()
    kept: list[tuple[ModalityDataset, Parts]] = []
    places: list[Path] = []

    def write() -> tuple[Path, dict[str, list[str]], Any, dict[str, Any]]:
        kept.append(build())
        folder.mkdir(parents=True, exist_ok=True)
        places.append(Path(tempfile.mkdtemp(prefix=".data-", dir=folder)))
        return _written(*kept[0], places[0])

    try:
        place, names, features, parts = group.from_first(write)
        if not place.is_dir():
            raise UserError(
                f"{folder}: not the same folder as in the first process; set `--output_dir` to a "
                "folder that all machines share"
            )
        features = replace(features, **_mapped(place, _FEATURES, names))
        for name, part in parts.items():
            part.inter_feat = Interaction(_mapped(place, name, names))
            part.features, part.config = features, config
            if kept:
                for ids in ("field2id_token", "field2token_id"):
                    setattr(part, ids, getattr(kept[0][0], ids))
        group.wait()
    finally:
        # Deleted at once: the system keeps mapped files readable until their processes end.
        for made in places:
            shutil.rmtree(made, ignore_errors=True)
    _divide(parts)
    dataset = kept[0][0] if kept else parts[TRAIN]
    dataset.features = features
    return dataset, parts


def _written(
    dataset: ModalityDataset, parts: Parts, place: Path
) -> tuple[Path, dict[str, list[str]], Any, dict[str, Any]]:
    """Folder of the arrays, names of the columns of each, and everything else that is small."""
    features = dataset.features
    tables = {name: part.inter_feat.interaction for name, part in parts.items()}
    tables[_FEATURES] = {"matrix": features.matrix, "has_row": features.has_row}
    for name, columns in tables.items():
        for number, values in enumerate(columns.values()):
            np.save(place / f"{name}.{number}.npy", values.numpy(), allow_pickle=False)
    bare = replace(features, matrix=features.matrix[:0], has_row=features.has_row[:0])
    names = {name: list(columns) for name, columns in tables.items()}
    return place, names, bare, {name: _skeleton(part) for name, part in parts.items()}


def _divide(parts: Parts) -> None:
    train = parts[TRAIN]
    counts = train.inter_feat[train.uid_field].bincount(minlength=train.user_num)
    shard: Any = balanced_shards(counts, group.size())[group.rank()]
    for part in parts.values():
        part.shard = shard


def _skeleton(part: ModalityDataset) -> Any:
    """A split without its arrays, and with the number of ids in place of the ids."""
    bare: Any = copy.copy(part)
    vars(bare).update({name: value for name, value in _LEFT_OUT.items() if hasattr(bare, name)})
    bare.field2id_token = {name: range(len(ids)) for name, ids in part.field2id_token.items()}
    bare.field2token_id = {}
    return bare


def _mapped(place: Path, name: str, names: dict[str, list[str]]) -> dict[str, Tensor]:
    columns = {}
    for number, column in enumerate(names[name]):
        # Copy on write: nothing that a process changes reaches the others.
        array = np.load(place / f"{name}.{number}.npy", mmap_mode="c", allow_pickle=False)
        columns[column] = torch.from_numpy(array)
    return columns
