"""The clipped gaussian gate (Eq. 10) and the two representations (Eq. 24, 25)."""

from __future__ import annotations

import torch
from torch import Tensor


def clipped_gate(mask: Tensor, noise: Tensor | None = None) -> Tensor:
    """Eq. 10, ``mu = clip(m + eps, 0, 1)``; the gradient passes inside (0, 1) and is 0 outside.

    Args:
        mask: the learnt ``m``, ``[d]``.
        noise: one draw of ``eps ~ N(0, sigma^2)``, ``[d]``; None in evaluation.

    Deviations:
        One draw per joint step serves all environments; otherwise the noise itself would be
        variance over the environments, and the projection could not be shared.
    """
    return torch.clamp(mask if noise is None else mask + noise, 0.0, 1.0)


def invariant(features: Tensor, mask: Tensor) -> Tensor:
    """Eq. 24, ``Phi = m (.) f``, with ``m`` clipped to [0, 1]; ``[n_items, d]``."""
    return features * mask.clamp(0.0, 1.0)


def variant(features: Tensor, mask: Tensor) -> Tensor:
    """Eq. 25, ``Psi = (1 - m) (.) f``, with ``m`` clipped to [0, 1]; ``[n_items, d]``."""
    return features * (1.0 - mask.clamp(0.0, 1.0))
