"""InfoNCE in all its forms against the formula, and the maths of MMSSL node by node."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from recbole_painvrl.functional import contrastive
from recbole_painvrl.functional.adversarial import gradient_penalty, real_rows, similarity_rows
from recbole_painvrl.functional.contrastive import bootstrap_loss, info_nce
from recbole_painvrl.functional.dropout import dropout
from recbole_painvrl.functional.modality_attention import (
    ModalityAttention,
    QueryAttention,
    fuse,
    fuse_modalities,
)
from recbole_painvrl.functional.nearest import nearest_items


def table(rows: int, seed: int, width: int = 4) -> Tensor:
    source = torch.Generator().manual_seed(seed)
    return torch.randn(rows, width, generator=source, dtype=torch.float64).requires_grad_()


def literal(
    a: Tensor, z: Tensor, tau: float, own_view: bool, normalise: bool, targets: Tensor
) -> Tensor:
    if normalise:
        a, z = F.normalize(a), F.normalize(z)
    losses = []
    for b in range(len(a)):
        negatives = (a[b] @ z.T / tau).exp().sum()
        if own_view:
            negatives = negatives + sum((a[b] @ a[c] / tau).exp() for c in range(len(a)) if c != b)
        losses.append(negatives.log() - a[b] @ z[targets[b]] / tau)
    return torch.stack(losses).mean()


@pytest.fixture(params=[1, 20, 1000])
def _blocks(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(contrastive, "_ROWS_PER_COLUMN", 0)
    monkeypatch.setitem(contrastive._BLOCK, "cpu", request.param)


@pytest.mark.usefixtures("_blocks")
@pytest.mark.parametrize("own_view", [True, False])
@pytest.mark.parametrize("normalise", [True, False])
@pytest.mark.parametrize("among", [False, True])
@pytest.mark.parametrize("width", [4, 9])
def test_info_nce_row_by_row(own_view: bool, normalise: bool, among: bool, width: int) -> None:
    """A row of zeros and a small temperature included."""
    a, z, tau = table(5, 0, width), table(9 if among else 5, 1, width), 0.05 if normalise else 0.7
    a.data[3] = 0
    targets = torch.tensor([8, 2, 2, 0, 5]) if among else None
    loss = info_nce(a, z, tau, own_view, normalise, targets)
    by_hand = literal(a, z, tau, own_view, normalise, targets if among else torch.arange(5))
    torch.testing.assert_close(loss, by_hand)
    torch.testing.assert_close(
        torch.autograd.grad(loss, [a, z]), torch.autograd.grad(by_hand, [a, z])
    )


@pytest.mark.usefixtures("_blocks")
@pytest.mark.parametrize("among", [False, True])
def test_info_nce_of_repeated_rows(among: bool) -> None:
    a, z = table(4, 0), table(9 if among else 4, 1)
    targets = torch.tensor([8, 2, 2, 0]) if among else None
    counts = torch.tensor([1, 3, 2, 1])
    of_targets = torch.tensor([1, 2, 4, 1, 3, 1, 1, 2, 5]) if among else counts
    loss = info_nce(a, z, 0.7, False, targets=targets, counts=counts, target_counts=of_targets)
    rows = torch.arange(4).repeat_interleave(counts)
    first_copy = of_targets.cumsum(0) - of_targets
    by_hand = info_nce(
        a[rows],
        z.repeat_interleave(of_targets, dim=0),
        0.7,
        own_view=False,
        targets=None if targets is None else first_copy[targets[rows]],
    )
    torch.testing.assert_close(loss, by_hand)
    torch.testing.assert_close(
        torch.autograd.grad(loss, [a, z]), torch.autograd.grad(by_hand, [a, z])
    )
    for counted in ({"counts": counts}, {"target_counts": of_targets}):
        with pytest.raises(ValueError, match="own_view"):
            info_nce(a, z, 0.7, **counted)


@pytest.mark.usefixtures("_blocks")
@pytest.mark.parametrize("own_view", [True, False])
def test_pairs_that_are_no_negatives(own_view: bool) -> None:
    """They are left out of the sum, whatever the blocks of rows."""
    a, z = table(5, 0), table(5, 1)
    rows, columns = torch.tensor([0, 0, 2, 3, 4]), torch.tensor([1, 4, 0, 4, 3])
    b, c = torch.meshgrid(torch.arange(5), torch.arange(5), indexing="ij")
    allowed = torch.ones(5, 5, dtype=torch.bool)
    allowed[rows, columns] = False
    terms = (F.normalize(a) @ F.normalize(z).T / 0.7).exp()
    total = (terms * allowed).sum(dim=1)
    if own_view:
        total = total + ((F.normalize(a) @ F.normalize(a).T / 0.7).exp() * (b != c)).sum(dim=1)
    by_hand = (total.log() - terms.diagonal().log()).mean()
    loss = info_nce(a, z, 0.7, own_view, excluded=(rows, columns))
    torch.testing.assert_close(loss, by_hand)
    torch.testing.assert_close(
        torch.autograd.grad(loss, [a, z]), torch.autograd.grad(by_hand, [a, z])
    )


def test_info_nce_known_values() -> None:
    one = table(1, 2)
    assert float(info_nce(one, table(1, 3), 0.2, own_view=False).detach()) == pytest.approx(0.0)
    eye = torch.eye(4, dtype=torch.float64)
    # Orthogonal rows: log(1 + 3 e^{-1 / tau}).
    expected = torch.log(1 + 3 * torch.exp(torch.tensor(-2.0, dtype=torch.float64)))
    torch.testing.assert_close(info_nce(eye, eye, 0.5, own_view=False), expected)


def test_bootstrap_loss() -> None:
    online, target = table(6, 0), table(6, 1)
    loss = bootstrap_loss(online, target)
    torch.testing.assert_close(loss, 1 - (F.normalize(online) * F.normalize(target)).sum(1).mean())
    by_online, by_target = torch.autograd.grad(loss, [online, target], allow_unused=True)
    assert by_online.any()
    assert by_target is None
    assert float(bootstrap_loss(online, 10 * online).detach()) == pytest.approx(0.0)


def test_fusion_weighs_the_modalities_that_a_node_has() -> None:
    views, scores = torch.stack([table(3, 0), table(3, 1)]), torch.zeros(2, 3).double()
    torch.testing.assert_close(fuse(views, scores), views.mean(dim=0))
    present = torch.tensor([[True, True, False], [True, False, False]])
    fused = fuse(views, scores, present)
    torch.testing.assert_close(fused[0], views[:, 0].mean(dim=0))
    torch.testing.assert_close(fused[1], views[0, 1])
    assert not fused[2].any()
    assert torch.isfinite(torch.autograd.grad(fused.sum(), [views])[0]).all()


def test_query_attention_by_hand() -> None:
    attention = QueryAttention(4).double()
    views = torch.stack([table(3, 0), table(3, 1)])
    scores = attention(views)
    assert scores.shape == (2, 3)
    x = views[1, 2]
    hidden = torch.tanh(attention.hidden.weight @ x + attention.hidden.bias)
    torch.testing.assert_close(scores[1, 2], attention.output.weight[0] @ hidden)


def source(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def draw(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=source(seed), dtype=torch.float64)


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
