"""The mathematics of MMSSL node by node: attention, rows of the discriminator, nearest items."""

from __future__ import annotations

import pytest
import torch
from oracles import draw, source
from torch import Tensor

from recbole_painvrl.functional.adversarial import gradient_penalty, real_rows, similarity_rows
from recbole_painvrl.functional.dropout import dropout
from recbole_painvrl.functional.modality_attention import ModalityAttention, fuse_modalities
from recbole_painvrl.functional.nearest import nearest_items


@pytest.mark.parametrize("form", ["modalities", "identity"])
@pytest.mark.parametrize("n_modalities", [1, 2, 3])
def test_attention_node_by_node(form: ModalityAttention, n_modalities: int) -> None:
    n_heads, k = 2, 4
    views = draw(n_modalities, 3, k)
    query, key, merge = draw(k, k, seed=1), draw(k, k, seed=2), draw(n_heads * k, k, seed=3)
    fused = fuse_modalities(views, query, key, merge, n_heads, form)
    for node in range(3):
        mean = torch.zeros(k, dtype=torch.float64)
        for m in range(n_modalities):
            heads = []
            for h in range(n_heads):
                part = slice(2 * h, 2 * h + 2)
                asked = (views[m, node] @ query)[part]
                products = torch.stack(
                    [asked @ (views[p, node] @ key)[part] / 2**0.5 for p in range(n_modalities)]
                )
                beta = products.exp() / products.exp().sum()
                # As released, the weights multiply the query's own vector.
                values = [views[m if form == "identity" else p, node] for p in range(n_modalities)]
                heads.append(sum(b * v for b, v in zip(beta, values, strict=True)))
            mean = mean + torch.cat(heads) @ merge / n_modalities
        torch.testing.assert_close(fused[node], mean)


def test_rows_of_the_discriminator() -> None:
    """What was seen is left out; real rows by hand and with noise."""
    users, items = draw(2, 3), draw(4, 3, seed=1)
    seen = torch.tensor([[True, False, False, True], [False, False, False, False]])
    rows = similarity_rows(users, items, seen)
    for u in range(2):
        raw = torch.stack([users[u] @ items[i] * (not seen[u, i]) for i in range(4)])
        torch.testing.assert_close(rows[u], raw / raw.norm())
    seen = torch.tensor([[True, False, False], [False, True, True]])
    similarity = draw(2, 3)
    quiet = real_rows(seen, similarity, 0.0, 7.0, source())
    for u in range(2):
        raw = seen[u].double().exp() / seen[u].double().exp().sum() + 7.0 * similarity[u]
        torch.testing.assert_close(quiet[u], raw / raw.norm())
    loud = real_rows(seen, similarity, 1.0, 7.0, source())
    assert not torch.allclose(loud, quiet)
    assert torch.equal(loud, real_rows(seen, similarity, 1.0, 7.0, source()))
    many = real_rows(torch.zeros(2000, 1000, dtype=torch.bool), torch.zeros(1, 1), 1.0, 0, source())
    assert many.isfinite().all()


def test_gradient_penalty() -> None:
    """Of a plane by hand; elsewhere between the rows."""
    weight = torch.tensor([3.0, 4.0], dtype=torch.float64, requires_grad=True)
    real, fake = draw(6, 2), draw(6, 2, seed=1)
    penalty = gradient_penalty(lambda x: x @ weight, real, fake, source())
    assert penalty.item() == pytest.approx((5 - 1) ** 2)
    (gradient,) = torch.autograd.grad(penalty, weight)
    # d/dw (|w| - 1)^2 = 2 (|w| - 1) w / |w|
    torch.testing.assert_close(gradient, 2 * 4 * weight.detach() / 5)
    seen = []

    def critic(x: Tensor) -> Tensor:
        seen.append(x.detach())
        return x.square().sum(dim=1)

    real, fake = torch.ones(50, 2), torch.zeros(50, 2)
    penalty = gradient_penalty(critic, real, fake, source())
    (points,) = seen
    assert torch.equal(points[:, 0], points[:, 1])
    assert 0 <= points.min() < 0.1
    assert 0.9 < points.max() <= 1
    expected = ((2 * points).norm(dim=1) - 1).square().mean()
    torch.testing.assert_close(penalty.detach(), expected)


@pytest.mark.parametrize("block", [1, 25, 1000])
def test_nearest_items_against_the_whole_matrix(block: int) -> None:
    users, items = draw(6, 3), draw(12, 3, seed=1)
    items[0] = 100 * users[0]
    pairs = [(0, 1), (0, 5), (2, 3), (2, 4), (2, 11), (5, 1)]
    rows, columns = (torch.tensor(part) for part in zip(*pairs, strict=True))
    dense = users @ items.T
    for u, i in pairs:
        dense[u, i] = 0
    dense[:, 0] = -torch.inf
    found = nearest_items(users, items, rows, columns, 4, block)
    assert torch.equal(found, dense.topk(4, dim=1).indices)
    assert (found > 0).all()


def test_dropout_draws_from_its_own_generator() -> None:
    x = torch.ones(200, 50, requires_grad=True)
    before = torch.get_rng_state()
    first, again = dropout(x, 0.25, source(1)), dropout(x, 0.25, source(1))
    assert torch.equal(torch.get_rng_state(), before)
    assert torch.equal(first, again)
    assert first.unique().tolist() == pytest.approx([0, 4 / 3])
    assert (first == 0).float().mean().item() == pytest.approx(0.25, abs=0.02)
    untouched = source(2)
    state = untouched.get_state()
    assert dropout(x, 0.0, untouched) is x
    assert torch.equal(untouched.get_state(), state)
