"""Pareto weights of two losses (Eq. 16 to 18) and the mask step (Eq. 19)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

GradientNormalization = Literal["none", "l2", "loss", "loss+"]

# Below this relative squared distance the gradients count as equal: every weight is optimal.
_SAME_GRADIENT = 1e-12


@dataclass(frozen=True)
class ParetoWeights:
    """Weights of Eq. 18 for the *normalised* gradients, with what led to them.

    Attributes:
        w_erm: weight of the ERM gradient, in [0, 1]; the IRM gradient has ``1 - w_erm``.
        scale_erm: factor that normalisation put on the ERM gradient.
        scale_irm: factor that normalisation put on the IRM gradient.
        cosine: cosine of the two gradients, 0 where one of them is 0.
        norm_erm: norm of the ERM gradient before normalisation.
        norm_irm: norm of the IRM gradient before normalisation.
        stationarity: norm of the combined normalised gradient; 0 is Pareto-stationary.
    """

    w_erm: float
    scale_erm: float
    scale_irm: float
    cosine: float
    norm_erm: float
    norm_irm: float
    stationarity: float

    @property
    def w_irm(self) -> float:
        """Weight of the IRM gradient."""
        return 1.0 - self.w_erm

    @property
    def effective_w_erm(self) -> float:
        """Weight of the raw ERM gradient, both raw weights scaled to sum to 1.

        The direction is ``w a / |a| + (1 - w) b / |b|`` with ``l2``: a weight of 0.5 for the
        normalised gradients is one of ``|b| / (|a| + |b|)`` for the raw ones.
        """
        erm, irm = self.w_erm * self.scale_erm, self.w_irm * self.scale_irm
        return erm / (erm + irm)


def min_norm_weight(squared_erm: float, squared_irm: float, dot: float) -> float:
    """Eq. 17 and 18: the weight that makes ``w a + (1 - w) b`` shortest, in closed form.

    Args:
        squared_erm: ``a . a`` with ``a`` the gradient of L_ERM.
        squared_irm: ``b . b`` with ``b`` the gradient of L_IRM.
        dot: ``a . b``.

    Returns:
        The weight of ``a``, in [0, 1].

    Deviations:
        Where Eq. 17 is 0 / 0 (equal gradients) the weight is 0.5. Where ``b`` is 0 and ``a``
        is not, Eq. 17 gives 0 and freezes ERM; this happens exactly when there is nothing to
        be invariant to (one environment), and the weight is 1.
    """
    largest = max(squared_erm, squared_irm)
    distance = squared_erm + squared_irm - 2 * dot
    if largest == 0 or distance <= _SAME_GRADIENT * largest:
        return 0.5
    if squared_irm == 0:
        return 1.0
    return min(1.0, max(0.0, (squared_irm - dot) / distance))


def pareto_weights(
    grad_erm: Tensor,
    grad_irm: Tensor,
    loss_erm: float,
    loss_irm: float,
    normalization: GradientNormalization = "none",
    fixed_weight: float | None = None,
) -> ParetoWeights:
    """Weights of Eq. 17 and 18 after an optional normalisation of both gradients.

    Args:
        grad_erm: gradient of L_ERM by the mask, ``[d]``.
        grad_irm: gradient of L_IRM by the mask, ``[d]``.
        loss_erm: value of L_ERM (used by ``loss`` and ``loss+``).
        loss_irm: value of L_IRM.
        normalization: ``none`` is the paper; ``l2`` divides each gradient by its norm,
            ``loss`` by its loss, ``loss+`` by both. The min-norm point favours the smaller
            gradient, and L_IRM is quartic in the scale of the loss: without normalisation the
            batch size decides the weights.
        fixed_weight: use this weight for L_ERM in place of Eq. 17 (ablation).
    """
    # float64: nearly equal gradients cancel in float32.
    a, b = grad_erm.double(), grad_irm.double()
    aa, bb, ab = torch.stack([a @ a, b @ b, a @ b]).tolist()
    norm_erm, norm_irm = aa**0.5, bb**0.5
    scale_erm = _scale(norm_erm, loss_erm, normalization)
    scale_irm = _scale(norm_irm, loss_irm, normalization)
    aa, bb, ab = aa * scale_erm**2, bb * scale_irm**2, ab * scale_erm * scale_irm
    weight = min_norm_weight(aa, bb, ab) if fixed_weight is None else fixed_weight
    squared = weight**2 * aa + (1 - weight) ** 2 * bb + 2 * weight * (1 - weight) * ab
    cosine = ab / (aa * bb) ** 0.5 if aa > 0 and bb > 0 else 0.0
    return ParetoWeights(
        weight, scale_erm, scale_irm, cosine, norm_erm, norm_irm, max(squared, 0.0) ** 0.5
    )


def _scale(norm: float, loss: float, normalization: GradientNormalization) -> float:
    divisor = {
        "none": 1.0,
        "l2": norm,
        "loss": abs(loss),
        "loss+": norm * abs(loss),
    }[normalization]
    return 1.0 / divisor if divisor > 0 else 1.0


def mask_direction(grad_erm: Tensor, grad_irm: Tensor, weights: ParetoWeights) -> Tensor:
    """Combined direction of Eq. 16, ``w a + (1 - w) b`` on the normalised gradients, ``[d]``."""
    # float64: 1 / norm of a tiny gradient is infinite in float32.
    erm = (weights.w_erm * weights.scale_erm) * grad_erm.double()
    irm = (weights.w_irm * weights.scale_irm) * grad_irm.double()
    return (erm + irm).to(grad_erm.dtype)


def mask_step(
    mask: Tensor,
    direction: Tensor,
    step_size: float,
    decay: float,
    center: float,
    project: bool = True,
) -> Tensor:
    """Eq. 19, ``m - s (direction + lambda (m - center))``, projected on [0, 1]^d.

    Deviations:
        The projection: Eq. 24 needs ``m`` in [0, 1], which Eq. 19 does not keep. The paper's
        ``lambda m`` is ``center = 0``; the released InvRL pulls to 0.5 and does not ``project``.
    """
    stepped = mask - step_size * (direction + decay * (mask - center))
    return torch.clamp(stepped, 0.0, 1.0) if project else stepped
