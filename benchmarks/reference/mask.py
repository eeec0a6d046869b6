"""One joint step of the mask stage: every environment on its own, double backward."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from benchmarks.reference.net import neighbour_loss, pair_loss
from recbole_painvrl.functional.attention import PairAttention
from recbole_painvrl.functional.invariance import EnvironmentBatch, FrozenTables
from recbole_painvrl.functional.ultragcn import UltraGCNWeights


@dataclass(frozen=True)
class JointGradients:
    """Losses of a joint step and their gradients by (mask, projection, attention...)."""

    l_erm: Tensor
    l_irm: Tensor
    by_erm: tuple[Tensor, ...]
    by_irm: tuple[Tensor, ...]


def joint_gradients(
    mask: Tensor,
    noise: Tensor,
    projection: Tensor,
    attention: PairAttention | None,
    batches: Sequence[EnvironmentBatch],
    tables: FrozenTables,
    weights: UltraGCNWeights,
) -> JointGradients:
    """L_ERM and L_IRM of Eq. 11 and 12 with all gradients that Eq. 17 and the updates need.

    Args:
        mask: m, ``[d]``, a leaf.
        noise: one draw of eps, ``[d]``.
        projection: W, ``[k, d]``, a leaf.
        attention: the MLPs of Eq. 14, or None for the plain gate of InvRL.
        batches: one per environment, negatives ``[B, N]``.
        tables: the frozen backbone.
        weights: scalars of the loss.
    """
    losses, gradients = [], []
    for batch in batches:
        loss = _environment_loss(mask, noise, projection, attention, batch, tables, weights)
        (gradient,) = torch.autograd.grad(loss, projection, create_graph=True)
        losses.append(loss)
        gradients.append(gradient)
    l_erm = torch.stack(losses).mean()
    stacked = torch.stack(gradients)
    variance = ((stacked - stacked.mean(dim=0)) ** 2).mean(dim=0)
    gate = torch.clamp(mask + noise, 0.0, 1.0)
    l_irm = ((variance * gate) ** 2).sum()
    variables = [mask, projection, *([] if attention is None else attention.parameters())]
    by_erm = torch.autograd.grad(l_erm, variables, retain_graph=True)
    by_irm = torch.autograd.grad(l_irm, variables, materialize_grads=True)
    return JointGradients(l_erm.detach(), l_irm.detach(), by_erm, by_irm)


def _environment_loss(
    mask: Tensor,
    noise: Tensor,
    projection: Tensor,
    attention: PairAttention | None,
    batch: EnvironmentBatch,
    tables: FrozenTables,
    weights: UltraGCNWeights,
) -> Tensor:
    """Eq. 3 on the batch of one environment, with projections of the whole catalogue."""
    gate = torch.clamp(mask + noise, 0.0, 1.0)
    features = tables.features
    if attention is None:
        parts = [(features * gate) @ projection.T]
    else:
        inner = mask.clamp(0.0, 1.0)
        invariant, variant = features * inner, features * (1 - inner)
        parts = [(invariant * gate) @ projection.T, (variant * gate) @ projection.T]

    def scores(items: Tensor) -> Tensor:
        users = batch.users
        by_id = (tables.user_id[users][:, None, :] * tables.item_id[items]).sum(dim=-1)
        content = tables.user_content[users][:, None, :]
        terms = [(content * part[items]).sum(dim=-1) for part in parts]
        if attention is None:
            return by_id + terms[0]
        alphas = _attention(attention, users, items, tables)
        return by_id + alphas[0] * terms[0] + alphas[1] * terms[1]

    candidates = torch.cat([batch.positives[:, None], batch.negatives], dim=1)
    graph = tables.graph
    edge = graph.user_factor[batch.users][:, None] * graph.item_factor[candidates]
    loss = pair_loss(scores(candidates), edge, weights)
    if weights.item_item:
        neighbours = scores(graph.neighbours[batch.positives])
        loss = loss + neighbour_loss(neighbours, graph.neighbour_weight[batch.positives], weights)
    return loss


def _attention(
    attention: PairAttention, users: Tensor, items: Tensor, tables: FrozenTables
) -> tuple[Tensor, Tensor]:
    """Eq. 14 on ``[p^t, p^f, t, f]`` of every pair, concatenated; sigmoid output."""
    user = torch.cat([tables.user_id[users], tables.user_content[users]], dim=1)
    item = torch.cat([tables.item_id[items], tables.features[items]], dim=-1)
    pair = torch.cat([user[:, None, :].expand(*items.shape, -1), item], dim=-1)
    first_layer = torch.cat([attention.user_weight, attention.item_weight])
    hidden = torch.relu(pair @ first_layer + attention.bias)
    size = attention.hidden_size
    first = hidden[..., :size] @ attention.last_weight[0] + attention.last_bias[0]
    second = hidden[..., size:] @ attention.last_weight[1] + attention.last_bias[1]
    return torch.sigmoid(first), torch.sigmoid(second)
