"""Hypergraphs of few hyperedges to which nodes belong softly (LGMRec), without tables of nodes.

What a hypergraph gives to a node is ``H t``, with the memberships H ``[n, a]`` and the vectors of
the hyperedges t ``[a, k]``. As a is small, products of two nodes are computed from H and ``t t^T``.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from recbole_painvrl.functional.contrastive import info_nce
from recbole_painvrl.functional.dropout import dropout

# The squares of vectors below 2 to this power, times the size of a hyperedge, fit into float32.
_LARGEST_EXPONENT = 40
# Vectors smaller by this power of two add nothing to larger ones; their directions still count.
_NEGLIGIBLE = 30


def memberships(
    logits: Tensor, temperature: float, source: torch.Generator | None = None, rate: float = 0.0
) -> Tensor:
    """``dropout(softmax((logits + Gumbel noise) / temperature))`` of nodes, ``[n, a] -> [n, a]``.

    Memberships below 1e-12 are 0: denormal numbers make the products many times slower.

    Args:
        logits: of every node for every hyperedge, ``[n, a]``.
        temperature: divisor.
        source: generator of noise and dropout on the device of the logits; None for neither.
        rate: of the dropout.
    """
    if source is None:
        return _softmax(logits / temperature)
    noise = torch.empty_like(logits).exponential_(generator=source).log_()
    return dropout(_softmax((logits - noise) / temperature), rate, source)


def hyperedge_vectors(members: Sequence[Tensor], table: Tensor, n_layers: int) -> list[Tensor]:
    """Vectors t of several hypergraphs after ``n_layers`` rounds of ``t = H^T x, x = H t``.

    They grow by the size of a hyperedge with every round. Where they would leave the range of
    their squares, all are divided by the same power of two: only their directions and relative
    lengths count.

    Args:
        members: H of every hypergraph, ``[n, a]``; row 0, the padding, does not count.
        table: x at the start, ``[n, k]``.
        n_layers: number of rounds, at least 1.

    Returns:
        ``(H^T H)^(n_layers - 1) H^T x`` of every hypergraph, ``[a, k]``, over a common divisor.
    """
    vectors, exponents = [], []
    for one in members:
        one = one[1:]
        found = one.T @ table[1:]
        exponent = torch.zeros((), dtype=torch.int32, device=found.device)
        if n_layers > 1:
            overlap = one.T @ one
            for _ in range(n_layers - 1):
                found = overlap @ found
                largest = found.detach().abs().amax().float()
                excess = (torch.frexp(largest).exponent - _LARGEST_EXPONENT).clamp(min=0)
                found, exponent = _divided(found, excess), exponent + excess
        vectors.append(found)
        exponents.append(exponent)
    if n_layers == 1:
        return vectors
    highest = torch.stack(exponents).max()
    below = [(highest - own).clamp(max=_NEGLIGIBLE) for own in exponents]
    return [_divided(*pair) for pair in zip(vectors, below, strict=True)]


def _divided(table: Tensor, exponent: Tensor) -> Tensor:
    """The table over ``2^exponent``, exactly."""
    return table * torch.pow(2.0, -exponent.double()).to(table.dtype)


def hypergraph_contrast(
    first: tuple[Tensor, Tensor],
    second: tuple[Tensor, Tensor],
    nodes: Tensor,
    temperature: float,
    counts: Tensor | None = None,
) -> Tensor:
    """InfoNCE between what two hypergraphs give to nodes, among all nodes but the padding.

    ``mean_b -log( exp(cos(u_b, v_b) / tau) / sum_(s >= 1) exp(cos(u_b, v_s) / tau) )`` with
    ``u = H t`` of the first, ``v = H t`` of the second hypergraph, rows b the given nodes; see
    :func:`recbole_painvrl.functional.contrastive.info_nce`.

    Args:
        first: ``(H [n, a], t [a, k])``.
        second: like ``first``.
        nodes: which nodes the mean runs over, at least 1 each, ``[B]``.
        temperature: tau.
        counts: how often each of ``nodes`` occurs, ``[B]``; None for once each.
    """
    chosen = _unit(first[0][nodes], first[1]) @ (first[1] @ second[1].T)
    everybody = _unit(second[0][1:], second[1])
    return info_nce(
        *(chosen, everybody, temperature),
        own_view=False,
        normalise=False,
        targets=nodes - 1,
        counts=counts,
    )


def _unit(members: Tensor, vectors: Tensor) -> Tensor:
    """Rows of H divided by the lengths of ``H t``; zero rows stay zero."""
    squares = (members @ (vectors @ vectors.T) * members).sum(dim=1, keepdim=True)
    return members * squares.clamp(min=1e-24).rsqrt()


def _softmax(logits: Tensor) -> Tensor:
    return F.threshold(logits.softmax(dim=1), 1e-12, 0.0)
