"""Attention of every node's modalities to one another, as released and as meant."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

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
