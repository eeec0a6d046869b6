"""InfoNCE in all its forms against the formula."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from oracles import table
from torch import Tensor

from recbole_painvrl.functional import contrastive
from recbole_painvrl.functional.contrastive import info_nce


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


def assert_same(loss: Tensor, by_hand: Tensor, tables: list[Tensor]) -> None:
    """Also the gradients by the tables."""
    torch.testing.assert_close(loss, by_hand)
    gradients = [torch.autograd.grad(one, tables) for one in (loss, by_hand)]
    torch.testing.assert_close(*gradients)


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
    a, z = table(5, width), table(9 if among else 5, width, seed=1)
    tau = 0.05 if normalise else 0.7
    a.data[3] = 0
    targets = torch.tensor([8, 2, 2, 0, 5]) if among else None
    loss = info_nce(a, z, tau, own_view, normalise, targets)
    by_hand = literal(a, z, tau, own_view, normalise, targets if among else torch.arange(5))
    assert_same(loss, by_hand, [a, z])


@pytest.mark.usefixtures("_blocks")
@pytest.mark.parametrize("among", [False, True])
def test_info_nce_of_repeated_rows(among: bool) -> None:
    a, z = table(4, 4), table(9 if among else 4, 4, seed=1)
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
    assert_same(loss, by_hand, [a, z])
    for counted in ({"counts": counts}, {"target_counts": of_targets}):
        with pytest.raises(ValueError, match="own_view"):
            info_nce(a, z, 0.7, **counted)


@pytest.mark.usefixtures("_blocks")
@pytest.mark.parametrize("own_view", [True, False])
def test_pairs_that_are_no_negatives(own_view: bool) -> None:
    """They are left out of the sum, whatever the blocks of rows."""
    a, z = table(5, 4), table(5, 4, seed=1)
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
    assert_same(loss, by_hand, [a, z])


def test_info_nce_known_values() -> None:
    one, other = table(1, 4, seed=2), table(1, 4, seed=3)
    assert float(info_nce(one, other, 0.2, own_view=False).detach()) == pytest.approx(0.0)
    eye = torch.eye(4, dtype=torch.float64)
    # Orthogonal rows: log(1 + 3 e^{-1 / tau}).
    expected = torch.log(1 + 3 * torch.exp(torch.tensor(-2.0, dtype=torch.float64)))
    torch.testing.assert_close(info_nce(eye, eye, 0.5, own_view=False), expected)
