"""EliMRec: the formulas on dense matrices, and the effects."""

from __future__ import annotations

from itertools import product

import pytest
import torch
import torch.nn.functional as F
from recbole.data.interaction import Interaction
from support import MakeConfig
from test_slmrec import SMALL, literal_fused, literal_views
from torch import Tensor
from zoo_support import (
    TRIPLES,
    assert_same_gradients,
    batch_of,
    shaken,
)

from recbole_painvrl.models import elimrec
from recbole_painvrl.testing.laws import scores


def literal_effects(
    fusion: str, score: str, plain: Tensor, cosines: list[Tensor], present: Tensor
) -> Tensor:
    """The docstring's TE or TIE of ``<u, i>`` and the cosines of all users and items."""
    g = plain.sigmoid()
    factors = [
        torch.where(known, c.sigmoid(), 0.5) for c, known in zip(cosines, present.T, strict=True)
    ]

    def f(fused: Tensor) -> Tensor:
        if fusion == "sum":
            terms = [
                torch.where(known, c, 0.0) for c, known in zip(cosines, present.T, strict=True)
            ]
            return torch.stack([fused.expand_as(g), *terms]).sum(dim=0).sigmoid().log()
        if fusion == "hm":
            p = torch.stack([fused.expand_as(g).sigmoid(), *factors]).prod(dim=0)
            return (p / (1 + p)).log()
        return torch.stack([fused.expand_as(g), *factors]).prod(dim=0)

    return f(g) - f(g[:, 1:].mean(dim=1, keepdim=True)) if score == "TIE" else f(g)


@pytest.mark.parametrize(
    ("score", "fusion"),
    [*product(("TIE", "TE"), ("product", "hm", "sum")), ("plain", "product")],
)
def test_loss_and_scores_by_hand(
    score: str, fusion: str, tiny_config: MakeConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    form = (
        f"--score={score}",
        f"--score_fusion={fusion}",
        "--modality_loss_weight=0.7",
        "--n_layers=2",
    )
    model = shaken(tiny_config("EliMRec", *SMALL, *form))
    model.has_row[[3, 44], 0] = False
    model.has_row[60] = False
    views = literal_views(model)
    pairs = [(1.0, *literal_fused(model, views))]
    pairs += [(0.7, *map(head, view)) for head, view in zip(model.heads, views[1:], strict=True)]
    loss = torch.zeros((), dtype=torch.float64)
    for weight, user, item in pairs:
        cosine = F.normalize(user) @ F.normalize(item).T
        for u, i, j in TRIPLES:
            loss = loss + weight * F.softplus(cosine[u, j] - cosine[u, i]) / len(TRIPLES)
    assert_same_gradients(model, model.calculate_loss(batch_of(model)), loss)
    expected = pairs[0][1] @ pairs[0][2].T
    if score != "plain":
        cosines = [F.normalize(user) @ F.normalize(item).T for _, user, item in pairs[1:]]
        expected = literal_effects(fusion, score, expected, cosines, model.has_row)
    # Blocks of two users.
    monkeypatch.setattr(elimrec, "_BLOCK", 2 * model.n_items + 5)
    torch.testing.assert_close(
        scores(model)[:, 1:], expected[1:, 1:].detach(), rtol=1e-6, atol=1e-9
    )
    users = torch.tensor([5, 7, 5, 80, 1])
    items = torch.tensor([3, 60, 44, 1, 89])
    batch = Interaction({model.USER_ID: users, model.ITEM_ID: items})
    found = model.predict(batch).detach()
    torch.testing.assert_close(found, expected[users, items].detach(), rtol=1e-6, atol=1e-9)
