"""Gradients of both losses of a mask step, in one process or in several.

With losses ``L^e`` and gradients ``g_e = dL^e/dW`` of the environments on the whole batch::

    L_ERM = mean_e L^e        L_IRM = || Var_e(g_e) (.) mu ||_F^2

``L^e`` and ``g_e`` are sums over the rows of a batch, so each process has a part of them. ``L_ERM``
is linear in its part. ``L_IRM`` is not: the processes first sum their ``g_e`` to ``G_e``, then pull
the derivative of ``L_IRM`` by ``G_e`` back through their own ``g_e`` (the chain rule), and sum the
results. The derivative of ``L_IRM`` by the gate itself is equal in all processes and is added once.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from recbole_painvrl.functional.invariance import VarianceForm, irm_loss
from recbole_painvrl.parallel import group

Gradients = tuple[Tensor, ...]
Step = tuple[tuple[float, float], Gradients, Gradients]


def joint_gradients(
    losses: Tensor,
    gradients: Tensor,
    gate: Tensor,
    form: VarianceForm,
    variables: Sequence[Tensor],
    wanted: Sequence[Tensor],
) -> Step:
    """Values of L_ERM and L_IRM, and their gradients.

    Args:
        losses: L^e, ``[E]``.
        gradients: g_e, ``[E, k, d]``.
        gate: mu in L_IRM, ``[d]``.
        form: of the variance.
        variables: what L_ERM is differentiated by, the mask first.
        wanted: what L_IRM is differentiated by, the mask first.
    """
    l_erm, l_irm = losses.mean(), irm_loss(gradients, gate, form)
    by_erm = torch.autograd.grad(l_erm, variables, retain_graph=True)
    by_irm = torch.autograd.grad(l_irm, wanted, allow_unused=True)
    erm, irm = torch.stack([l_erm, l_irm]).detach().tolist()
    return (erm, irm), by_erm, _filled(by_irm, wanted)


def sharded_gradients(
    losses: Tensor,
    gradients: Tensor,
    gate: Tensor,
    form: VarianceForm,
    variables: Sequence[Tensor],
    wanted: Sequence[Tensor],
) -> Step:
    """The same, of losses and gradients on this process's rows; equal in all processes."""
    total, whole = losses.detach().clone(), gradients.detach().clone()
    group.sum_step([total, whole])
    whole.requires_grad_()
    mask = variables[0]
    l_irm = irm_loss(whole, gate, form)
    pull, direct = torch.autograd.grad(l_irm, [whole, mask], retain_graph=True)
    by_erm = torch.autograd.grad(losses.mean(), variables, retain_graph=True, allow_unused=True)
    by_irm = torch.autograd.grad(gradients, wanted, grad_outputs=pull, allow_unused=True)
    by_erm, by_irm = _filled(by_erm, variables), _filled(by_irm, wanted)
    group.sum_([*by_erm, *by_irm])
    erm, irm = torch.stack([total.mean(), l_irm]).detach().tolist()
    group.raise_flags()
    return (erm, irm), by_erm, (by_irm[0] + direct, *by_irm[1:])


def _filled(gradients: Sequence[Tensor | None], variables: Sequence[Tensor]) -> Gradients:
    """Zeros where a loss does not depend on a variable."""
    return tuple(
        torch.zeros_like(variable) if gradient is None else gradient
        for variable, gradient in zip(variables, gradients, strict=True)
    )
