"""Masks to compare a learnt one with: what of its effect is order, and what is only size."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

Masks = dict[str, Tensor]


def control_masks(
    mask: Mapping[str, Tensor], truth: Mapping[str, Tensor] | None, generator: torch.Generator
) -> dict[str, Masks]:
    """The learnt mask and its controls.

    ``uniform`` keeps the mean over all columns and no order, ``permuted`` the values of every
    modality and no order, ``ones`` is the model with all features, ``zeros`` the model with ids
    alone, and ``oracle`` keeps the columns that are not spurious.

    Args:
        mask: the learnt mask by modality, ``[d_m]``, numbers in [0, 1].
        truth: which columns are invariant by modality, ``[d_m]``; a modality that it lacks keeps
            all its columns. None where nothing is known; there is no ``oracle`` then.
        generator: draws the permutations, on the CPU.
    """
    mean = torch.cat([values.reshape(-1) for values in mask.values()]).mean()
    controls = {
        "learnt": {name: values.clone() for name, values in mask.items()},
        "uniform": {name: mean.expand_as(values).clone() for name, values in mask.items()},
        "permuted": {
            name: values[torch.randperm(len(values), generator=generator).to(values.device)]
            for name, values in mask.items()
        },
        "ones": {name: torch.ones_like(values) for name, values in mask.items()},
        "zeros": {name: torch.zeros_like(values) for name, values in mask.items()},
    }
    if truth is not None:
        controls["oracle"] = {
            name: truth[name].to(values) if name in truth else torch.ones_like(values)
            for name, values in mask.items()
        }
    return controls
