"""Soft hypergraphs: memberships, vectors of hyperedges and their contrast."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from recbole_painvrl.functional.hypergraph import (
    hyperedge_vectors,
    hypergraph_contrast,
    memberships,
)


def table(rows: int, columns: int, seed: int) -> Tensor:
    source = torch.Generator().manual_seed(seed)
    return torch.randn(rows, columns, generator=source, dtype=torch.float64).requires_grad_()


def test_memberships_add_up_to_one() -> None:
    logits = table(7, 3, 0)
    torch.testing.assert_close(memberships(logits, 0.5), (logits / 0.5).softmax(dim=1))
    noisy = memberships(logits, 0.5, torch.Generator().manual_seed(1))
    torch.testing.assert_close(noisy.sum(dim=1), torch.ones(7, dtype=torch.float64))
    assert not torch.allclose(noisy, memberships(logits, 0.5))
    dropped = memberships(logits, 0.5, torch.Generator().manual_seed(1), rate=0.5)
    kept = dropped > 0
    assert 0 < int(kept.sum()) < kept.numel()
    # The noise is drawn before the dropout.
    torch.testing.assert_close(dropped[kept], 2 * noisy[kept])


def test_noise_is_gumbel() -> None:
    """The nearest to hard memberships follow the softmax of the logits."""
    logits = torch.tensor([0.0, 1.0, 2.0]).expand(20000, 3)
    chosen = memberships(logits, 0.01, torch.Generator().manual_seed(1)).argmax(dim=1)
    frequencies = torch.bincount(chosen, minlength=3) / 20000
    torch.testing.assert_close(frequencies, logits[0].softmax(dim=0), rtol=0, atol=0.01)


def test_denormal_numbers_are_zero() -> None:
    members = memberships(torch.tensor([[0.0, -9.0, -19.0]]), 0.2)
    assert members[0, 1:].tolist() == [0.0, 0.0]


@pytest.mark.parametrize("n_layers", [1, 3])
def test_vectors_round_by_round(n_layers: int) -> None:
    members, x = table(6, 3, 0), table(6, 4, 1)
    kept = torch.cat([torch.zeros(1, 3), torch.ones(5, 3)]) * members
    vectors = torch.zeros(3, 4).double()
    state = x
    for _ in range(n_layers):
        vectors = kept.T @ state
        state = kept @ vectors
    torch.testing.assert_close(hyperedge_vectors(members, x, n_layers), vectors)


def test_contrast_against_dense_vectors() -> None:
    """Factors against vectors of all nodes, with repeated nodes and a node in no hyperedge."""
    tables = [table(9, 3, 0), table(3, 5, 1), table(9, 4, 2), table(4, 5, 3)]
    with torch.no_grad():
        tables[0][2] = 0
    h_one, t_one, h_other, t_other = tables
    nodes, counts = torch.tensor([1, 2, 5, 8]), torch.tensor([2, 1, 1, 3])
    loss = hypergraph_contrast((h_one, t_one), (h_other, t_other), nodes, 0.3, counts)
    rows = nodes.repeat_interleave(counts)
    cosines = F.normalize(h_one @ t_one)[rows] @ F.normalize(h_other @ t_other)[1:].T / 0.3
    by_hand = (cosines.logsumexp(dim=1) - cosines.gather(1, rows[:, None] - 1)[:, 0]).mean()
    torch.testing.assert_close(loss, by_hand)
    for one, other in zip(
        torch.autograd.grad(loss, tables[1:]), torch.autograd.grad(by_hand, tables[1:]), strict=True
    ):
        torch.testing.assert_close(one, other)
    gradient = torch.autograd.grad(
        hypergraph_contrast((h_one, t_one), (h_other, t_other), nodes, 0.3), tables
    )
    assert all(torch.isfinite(g).all() for g in gradient)
