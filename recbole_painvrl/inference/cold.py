"""Items that training has not seen, scored through their content."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor

from recbole_painvrl.data.features import aligned_features, available_modalities, load_modality
from recbole_painvrl.errors import UserError
from recbole_painvrl.functional.closed_form import map_to
from recbole_painvrl.inference.loading import LoadedRun
from recbole_painvrl.inference.vectors import score_tables, scores_by_content


@dataclass(frozen=True)
class NewItems:
    """Items that the dataset does not have.

    Attributes:
        tokens: their ids.
        features: all modalities side by side as in training, ``[n, d]``.
        has_row: which modalities the folder has of each, ``[n, M]`` bool.
        n_known: items of the folder that the dataset has; these keep their trained vectors.
    """

    tokens: list[str]
    features: Tensor
    has_row: Tensor
    n_known: int


def require_content(run: LoadedRun, option: str) -> None:
    """Refuse a model that cannot score an item by its features.

    Raises:
        UserError: naming the option that asked for it.
    """
    if not scores_by_content(run.model):
        raise UserError(
            f"`{option}`: this run of {run.config['model']} cannot score items that training has "
            "not seen; leave the option out, add `--map-features` if the run has modalities, or "
            "use a run of a model that scores them by their features (such as UltraGCN with "
            "modalities)"
        )


def mapped_vectors(run: LoadedRun, features: Tensor, degrees: Tensor, reg_weight: float) -> Tensor:
    """Vectors of items by a ridge regression from features to trained vectors, ``[n, D]``.

    The map of Gantner et al., ICDM '10 (``functional.closed_form.map_to``), is fitted on the
    run's own items, each weighted by its training interactions.

    Args:
        run: a run whose scores are products of a user's and an item's vector.
        features: ``[n, d]``, normalised as in training.
        degrees: training interactions of the run's items, ``[n_items]``.
        reg_weight: weight of the squared norm of the map.

    Raises:
        UserError: the run has no features or uses none, its model has no such vectors, or
            ``reg_weight`` is no positive number.
    """
    if not 0 < reg_weight < math.inf:
        raise UserError(f"`--map-features`: found {reg_weight}, expected a number above 0")
    _require_features(run)
    known: Tensor = run.dataset.features.matrix
    # The mask that was given, and the one that PaInvRL and InvRL learnt.
    for mask in (getattr(run.model, name, None) for name in ("feature_mask", "mask")):
        if isinstance(mask, Tensor):
            known, features = known * mask.cpu(), features * mask.cpu()
    if not known.any():
        raise UserError(
            f"`--map-features`: the mask of this run of {run.config['model']} leaves no features; "
            "leave the option out, or use another run"
        )
    return features @ map_to(known, score_tables(run.model)[1].detach(), degrees, reg_weight)


def read_new_items(folder: Path, run: LoadedRun) -> NewItems:
    """Features of items that the dataset lacks, checked and normalised as those of training.

    Args:
        folder: holds ``features/<modality>.npy`` and ``.items.tsv``, as a dataset folder does.
        run: the run whose modalities are needed; its ``missing_modality`` holds here, too.

    Raises:
        UserError: the run has no features, or a modality is absent, has other columns, or its
            files are faulty.
    """
    _require_features(run)
    slices = run.dataset.features.slices
    found = available_modalities(folder)
    absent = [name for name in slices if name not in found]
    if absent:
        raise UserError(
            f"{folder}: needs features/{absent[0]}.npy with features/{absent[0]}.items.tsv, found "
            f"modalities {', '.join(found) or 'none'}; the run uses {', '.join(slices)}"
        )
    tokens = dict.fromkeys(t for name in slices for t in load_modality(folder, name)[1])
    known = run.dataset.field2token_id[run.dataset.iid_field]
    new = [token for token in tokens if token not in known]
    if not new:
        raise UserError(f"{folder}: all of its {len(tokens)} items are in the dataset already")
    indices = {token: index for index, token in enumerate(tokens, 1)}
    matrices, has_row = zip(*(_columns(folder, name, indices, run) for name in slices), strict=True)
    rows = torch.tensor([indices[token] for token in new])
    features, known_rows = torch.cat(matrices, dim=1)[rows], torch.stack(has_row, dim=1)[rows]
    return NewItems(new, features, known_rows, len(tokens) - len(new))


def _require_features(run: LoadedRun) -> None:
    # Without `--map-features`, `require_content` has already refused a model without features.
    if not run.dataset.features.slices:
        raise UserError(
            f"`--map-features`: this run of {run.config['model']} has no features; train it with "
            "`--modalities`, or leave the option out"
        )


def _columns(
    folder: Path, modality: str, indices: dict[str, int], run: LoadedRun
) -> tuple[Tensor, Tensor]:
    """One modality of the new items, ``[1 + n, d]``, and which of them have it, ``[1 + n]``."""
    rule = run.dataset.run_settings.missing_modality
    columns = run.dataset.features.slices[modality]
    aligned = aligned_features(
        folder, modality, indices, len(indices) + 1, "error" if rule == "error" else "zero"
    )
    width = columns.stop - columns.start
    if aligned.matrix.shape[1] != width:
        raise UserError(
            f"{folder / 'features' / modality}.npy: has {aligned.matrix.shape[1]} columns, the "
            f"run was trained on {width}; extract the features as those of the dataset"
        )
    matrix, has_row = torch.from_numpy(aligned.matrix), torch.from_numpy(aligned.has_row)
    if rule == "mean":
        # Rows that were missing in training have this direction themselves and do not change it.
        mean = F.normalize(run.dataset.features.matrix[:, columns].double().sum(dim=0), dim=0)
        matrix[~has_row] = mean.float()
    return matrix, has_row
