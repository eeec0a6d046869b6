"""Nearest neighbours of items by features, found once and kept beside the dataset if large."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from logging import getLogger
from pathlib import Path
from typing import Any

import numpy as np
import scipy.sparse as sp
import torch
from torch import Tensor

from recbole_painvrl.atomic import write_with
from recbole_painvrl.config.base import ConfigLike
from recbole_painvrl.errors import UserError, did_you_mean
from recbole_painvrl.functional.item_graph import (
    EdgeForm,
    ItemGraphNorm,
    mix_graphs,
    neighbour_graph,
)
from recbole_painvrl.functional.nearest import nearest_rows
from recbole_painvrl.models.base import TableRecommender
from recbole_painvrl.reading import read_arrays

# A search of more products than this is saved: reading its result is faster than repeating it.
_WORTH_KEEPING = 1e11
# Part of the name of a saved search; to be raised when `nearest_rows` finds other neighbours.
_VERSION = 1


def item_neighbours_by_features(
    model: TableRecommender, modality: str, k: int
) -> tuple[Tensor, Tensor]:
    """The k nearest items by cosine of the features of a modality, the item itself included.

    Returns:
        ``(indices [n_items, k], cosines [n_items, k])`` of
        :func:`recbole_painvrl.functional.nearest.nearest_rows`; an item without a row has no
        neighbours and is nobody's.
    """
    rows = model.features[:, model.modality_slices[modality]]
    present = model.has_row[:, list(model.modality_slices).index(modality)]
    return kept_neighbours(model.dataset_folder, rows, present, k, include_self=True)


def kept_neighbours(
    folder: Path | None, rows: Tensor, present: Tensor, k: int, include_self: bool
) -> tuple[Tensor, Tensor]:
    """:func:`recbole_painvrl.functional.nearest.nearest_rows`; a large search is done once.

    It is saved in the ``graphs/`` of the dataset's folder under a hash of everything it depends on.
    """
    if folder is None or len(rows) ** 2 * rows.shape[1] < _WORTH_KEEPING:
        return nearest_rows(rows, present, k, include_self)
    digest = hashlib.sha256(f"{_VERSION} {k} {include_self} {tuple(rows.shape)}".encode())
    for tensor in (rows, present):
        digest.update(tensor.cpu().contiguous().numpy().data)
    path = folder / "graphs" / f"neighbours-{digest.hexdigest()[:24]}.npz"
    kept = _read(path, (len(rows), k))
    if kept is None:
        getLogger("recbole_painvrl").info("nearest items by features (once, then cached)")
        kept = nearest_rows(rows, present, k, include_self)
        _write(path, *kept)
    indices, cosines = kept
    return indices.to(rows.device), cosines.to(rows.device)


def modality_graphs(
    model: TableRecommender, k: int, form: EdgeForm, norm: ItemGraphNorm
) -> list[sp.csr_matrix]:
    """The graph of nearest neighbours of every modality, each item its own neighbour, too."""
    return [
        neighbour_graph(*item_neighbours_by_features(model, name, k), form, norm)
        for name in model.modality_slices
    ]


def mixed_graph(
    model: TableRecommender,
    k: int,
    norm: ItemGraphNorm,
    weights: Mapping[str, float] | None,
) -> sp.csr_matrix:
    """``sum_m w_m S_m``, weights renormalised for items that lack a modality; CSR.

    Every neighbour has the same weight before the normalisation.

    Args:
        model: whose features.
        k: neighbours of an item, itself included.
        norm: see :func:`recbole_painvrl.functional.item_graph.neighbour_graph`.
        weights: weight of each modality, None for equal weights.

    Raises:
        UserError: ``modality_weights`` does not name the modalities in use.
    """
    names = list(model.modality_slices)
    return mix_graphs(
        modality_graphs(model, k, "binary", norm), modality_weights(names, weights), model.has_row
    )


def warn_of_equal_weights(model: TableRecommender, config: ConfigLike) -> None:
    """Warn that the preset cannot set the release's weights, and name the setting that can.

    The names of modalities depend on the data; those of the release are visual and textual.
    """
    released = config["preset"] == "released" and config["modality_weights"] is None
    if released and set(model.modality_slices) == {"visual", "textual"}:
        getLogger("recbole_painvrl").warning(
            "`preset: released` weighs the modalities in the item graph equally; the release's "
            "weights are --modality_weights='{visual: 0.1, textual: 0.9}'"
        )


def modality_weights(names: list[str], weights: Mapping[str, float] | None) -> list[float]:
    """The setting ``modality_weights`` in the order of the modalities; equal weights for None.

    Raises:
        UserError: it does not name exactly the modalities in use, all weights are 0, or one is
            negative.
    """
    if weights is None:
        return [1.0 / len(names)] * len(names)
    for name in weights:
        if name not in names:
            raise UserError(
                f"`modality_weights`: no modality `{name}` in use, found {', '.join(names)}"
                f"{did_you_mean(name, names)}"
            )
    missing = [name for name in names if name not in weights]
    if missing or not any(weights.values()) or min(weights.values()) < 0:
        why = "a negative weight" if any(weights.values()) else "only weights of 0"
        why = f"no weight for {', '.join(missing)}" if missing else why
        raise UserError(
            f"`modality_weights`: found {why}, expected a weight >= 0 for each of "
            f"{', '.join(names)}; ~ gives equal weights"
        )
    return [float(weights[name]) for name in names]


def _read(path: Path, shape: tuple[int, int]) -> tuple[Tensor, Tensor] | None:
    try:
        arrays = read_arrays(path, "the neighbours are found again")
        indices, cosines = arrays["indices"].astype(np.int64), arrays["cosines"].astype(np.float32)
        in_range = indices.min() >= -1 and indices.max() < shape[0]
        if indices.shape != shape or cosines.shape != shape or not in_range:
            raise UserError(f"{path}: not {shape} neighbours; they are found again")
    except FileNotFoundError:
        return None
    except (UserError, LookupError, ValueError) as error:
        getLogger("recbole_painvrl").warning("%s", error)
        return None
    return torch.from_numpy(indices), torch.from_numpy(cosines)


def _write(path: Path, indices: Tensor, cosines: Tensor) -> None:
    arrays: dict[str, Any] = {
        "indices": indices.cpu().int().numpy(),
        "cosines": cosines.cpu().numpy(),
    }
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_with(path, lambda stream: np.savez_compressed(stream, **arrays))
    except OSError as error:
        getLogger("recbole_painvrl").warning("the neighbours could not be cached: %s", error)
