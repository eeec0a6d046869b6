"""Fusion of the vectors that a node has in its modalities: self-attention and query attention."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn

ModalityAttention = Literal["modalities", "identity"]


def fuse_modalities(
    views: Tensor, query: Tensor, key: Tensor, merge: Tensor, n_heads: int, form: ModalityAttention
) -> Tensor:
    """Mean over modalities m of ``[sum_m' beta^1_mm' e_m', ..., sum_m' beta^H_mm' e_m'] C``.

    ``beta^h_m. = softmax_m'( <e_m Q^h, e_m' K^h> / sqrt(k / H) )`` for every node by itself.

    Args:
        views: e, a node's vector in every modality, ``[M, n, k]``.
        query: Q, ``[k, k]``; head h has the h-th part of its columns.
        key: K, like Q.
        merge: C, ``[H k, k]``.
        n_heads: H, a divisor of k.
        form: ``identity`` is the released code, which multiplies the weights of a query with the
            query's own e_m: as they add up to 1, what is left is ``mean_m e_m`` times the sum of
            C's blocks, and Q and K have no effect.

    Returns:
        The fused vectors, ``[n, k]``.
    """
    n_modalities, n_nodes, width = views.shape
    blocks = merge.view(n_heads, width, -1)
    if form == "identity" or n_modalities == 1:
        return views.mean(dim=0) @ blocks.sum(dim=0)
    heads = (n_modalities, n_nodes, n_heads, width // n_heads)
    asked, offered = (views @ query).view(heads), (views @ key).view(heads)
    products = torch.einsum("mnhd,pnhd->nhmp", asked, offered) / (width / n_heads) ** 0.5
    # The mean over the queries m commutes with everything that follows the softmax.
    weights = products.softmax(dim=3).mean(dim=2)
    fused = torch.zeros_like(views[0])
    for head in range(n_heads):
        blend = torch.einsum("np,pnd->nd", weights[:, head], views)
        fused = fused + blend @ blocks[head]
    return fused


class QueryAttention(nn.Module):
    """Score of a vector, ``w^T tanh(W x + b)``, shared by all modalities (MICRO, MGCN).

    Args:
        size: k, width of the vectors.
    """

    def __init__(self, size: int) -> None:
        super().__init__()
        self.hidden = nn.Linear(size, size)
        self.output = nn.Linear(size, 1, bias=False)

    def forward(self, views: Tensor) -> Tensor:
        """Scores of vectors, ``[..., k] -> [...]``."""
        scores: Tensor = self.output(self.hidden(views).tanh()).squeeze(-1)
        return scores


def fuse(views: Tensor, scores: Tensor, present: Tensor | None = None) -> Tensor:
    """``sum_m alpha_m e_m`` with ``alpha = softmax_m(score_m)`` over the modalities a node has.

    Args:
        views: e, ``[M, n, k]``.
        scores: ``[M, n]``.
        present: which modalities a node has, ``[M, n]`` bool; None for all.

    Returns:
        ``[n, k]``; zero for a node without any modality.
    """
    if present is not None:
        scores = scores.masked_fill(~present, -torch.inf)
    weights = scores.softmax(dim=0)
    if present is not None:
        # A node without any modality has no softmax.
        weights = torch.where(present.any(dim=0), weights, 0.0)
    return (weights.unsqueeze(2) * views).sum(dim=0)
