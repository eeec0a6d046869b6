"""A mask on the feature columns, read from the run that learnt it or from a file."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from recbole_painvrl.errors import UserError
from recbole_painvrl.reading import read_arrays

# The copy that a run keeps of the mask it was given.
COPY = "feature_mask.npz"
LEARNT = "mask.npz"
# In that file the mask of the final model stands under this, beside the learnt one.
USED = "used"


def mask_file(given: Path) -> Path:
    """The file that ``feature_mask`` names: itself, or ``mask.npz`` of a run folder.

    Raises:
        UserError: neither exists.
    """
    path = given / LEARNT if given.is_dir() else given
    if not path.is_file():
        raise UserError(
            f"`feature_mask`: {path} does not exist, expected the folder of a complete run of "
            "PaInvRL or InvRL, or an .npz file with an array of one number per column for each "
            "modality"
        )
    return path


def read_feature_mask(given: Path, slices: Mapping[str, slice]) -> Tensor:
    """The mask of the modalities in use, ``[d]``, numbers in [0, 1].

    Of a run it is the mask of its final model.

    Args:
        given: a run folder or an .npz file with an array per modality.
        slices: columns of each modality in use.

    Raises:
        UserError: a modality is missing, has other columns, or a number is not in [0, 1].
    """
    path = mask_file(given)
    arrays = read_arrays(path, "name another run, or write the mask again")
    mask = torch.zeros(max((columns.stop for columns in slices.values()), default=0))
    for name, columns in slices.items():
        width = columns.stop - columns.start
        if name not in arrays:
            raise UserError(
                f"`feature_mask`: {path} has no mask of modality `{name}`; train the mask with "
                "the same `modalities`"
            )
        values = arrays.get(f"{USED}/{name}", arrays[name])
        if values.shape != (width,):
            raise UserError(
                f"`feature_mask`: {path} has shape {values.shape} for modality `{name}`, expected "
                f"({width},), one number per column"
            )
        values = values.astype(np.float32)
        if not bool(np.all((values >= 0) & (values <= 1))):
            raise UserError(f"`feature_mask`: {path}: `{name}` has values outside [0, 1]")
        mask[columns] = torch.from_numpy(values)
    return mask
