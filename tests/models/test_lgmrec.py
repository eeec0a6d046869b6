"""LGMRec: the formulas on dense matrices with the same noise, evaluation without any."""

from __future__ import annotations

from itertools import combinations
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from support import MakeConfig
from torch import Tensor
from zoo_support import (
    TRIPLES,
    adjacency,
    assert_same_gradients,
    batch_of,
    build,
    data_with_gaps,
    literal_layers,
    shaken,
)

from recbole_painvrl.functional.hypergraph import memberships
from recbole_painvrl.seeds import generator

SMALL = ("--embedding_size=6", "--n_hyperedges=3")


def literal(model: Any, noise: torch.Generator | None, rate: float) -> tuple[Tensor, list[Tensor]]:
    """The docstring's z of all nodes, users first, and G_m of every modality."""
    s, n = model.settings, model.n_users
    graph, r = adjacency(model), torch.from_numpy(model.interactions.toarray()).double()
    degrees = r.sum(dim=1, keepdim=True)
    c = literal_layers(model, graph, s.n_layers)
    z, views = c, []
    for m, columns in enumerate(model.modality_slices.values()):
        features = model.features[:, columns]
        projected = features @ model.content[m].weight.T
        g = torch.cat([r @ projected / degrees.clamp(min=1), projected])
        for _ in range(s.content_layers):
            g = graph @ g
        z = z + s.local_weight * F.normalize(g)
        by_item = s.feature_scale * features.shape[1] ** 0.5 * features
        by_item = by_item @ model.hyperedges[m].weight.T
        by_user = r @ by_item if s.user_logits == "sum" else r @ by_item / degrees.clamp(min=1)
        of_users = memberships(by_user, s.temperature, noise, rate)
        of_items = memberships(by_item, s.temperature, noise, rate)
        x = c[n:] * (torch.arange(model.n_items) > 0).unsqueeze(1)
        for _ in range(s.hyper_layers):
            # The padding is in no hyperedge.
            t = of_items[1:].T @ x[1:]
            x = of_items @ t
        views.append(torch.cat([of_users @ t, x]))
    return z + s.global_weight * F.normalize(torch.stack(views).sum(dim=0)), views


def contrast(first: Tensor, second: Tensor, rows: Tensor, tau: float) -> Tensor:
    """Mean over the rows, among all rows but the padding."""
    cosines = F.normalize(first)[rows] @ F.normalize(second)[1:].T / tau
    return (cosines.logsumexp(dim=1) - cosines.gather(1, rows[:, None] - 1)[:, 0]).mean()


@pytest.mark.parametrize(
    "form",
    [
        ("--hyper_layers=1", "--content_layers=2", "--user_logits=sum"),
        ("--hyper_layers=3", "--content_layers=1", "--user_logits=mean"),
        ("--hyper_layers=1", "--content_layers=0", "--user_logits=sum", "--hyperedge_dropout=0.0"),
    ],
)
def test_loss_and_scores_by_hand(
    form: tuple[str, ...], tiny_config: MakeConfig, tmp_path: Path
) -> None:
    words = (
        *("--contrastive_weight=1e-3", "--reg_weight=0.7", "--feature_scale=0.5", "--n_layers=2"),
        *("--temperature=0.5", "--local_weight=0.3", "--global_weight=0.4"),
    )
    model = shaken(
        tiny_config("LGMRec", *SMALL, *words, *form, data=data_with_gaps(tmp_path)), scale=0.2
    )
    s, n = model.settings, model.n_users
    model.start_epoch(4)
    source = generator(model.seed, "hyperedges of epoch 4")
    z, views = literal(model, source, s.hyperedge_dropout)
    u, i, j = (torch.tensor(part) for part in zip(*TRIPLES, strict=True))
    loss = F.softplus((z[u] * (z[n + j] - z[n + i])).sum(1)).mean()
    loss = loss + 0.7 * sum(z[rows].norm() for rows in (u, n + i, n + j)) / len(u)
    for first, second in combinations(views, 2):
        for part, rows in ((slice(None, n), u), (slice(n, None), i)):
            term = contrast(first[part], second[part], rows, s.temperature)
            loss = loss + 1e-3 * 2048 * term
    assert_same_gradients(model, model.calculate_loss(batch_of(model)), loss, atol=1e-7)
    expected = literal(model, None, 0.0)[0].split([n, model.n_items])
    torch.testing.assert_close(model.tables(), expected, rtol=1e-6, atol=1e-7)


def test_evaluation_is_deterministic(tiny_config: MakeConfig) -> None:
    quiet = build(tiny_config("LGMRec", *SMALL))
    noisy = build(tiny_config("LGMRec", *SMALL, "--gumbel_eval=True"))
    other = build(tiny_config("LGMRec", *SMALL, "--gumbel_eval=True", "--seed=5"))
    other.load_state_dict(noisy.state_dict())
    for model in (quiet, noisy):
        first = model.tables()[1]
        # What training draws has no influence.
        model.calculate_loss(batch_of(model))
        assert torch.equal(model.tables()[1], first)
    assert not torch.allclose(noisy.tables()[1], quiet.tables()[1])
    assert not torch.allclose(noisy.tables()[1], other.tables()[1])


def test_evaluation_has_no_dropout(tiny_config: MakeConfig) -> None:
    words = (*SMALL, "--gumbel_eval=True")
    one, other = (
        build(tiny_config("LGMRec", *words, f"--hyperedge_dropout={rate}")) for rate in (0.0, 0.5)
    )
    assert torch.equal(one.tables()[1], other.tables()[1])


def test_contrast_does_not_grow_with_the_batch(tiny_config: MakeConfig) -> None:
    model = build(tiny_config("LGMRec", *SMALL, "--reg_weight=0.0"))
    losses = []
    for times in (1, 4):
        model.start_epoch(0)
        losses.append(model.calculate_loss(batch_of(model, times * TRIPLES)))
    torch.testing.assert_close(*losses)


def test_one_modality_has_no_contrast(tiny_config: MakeConfig) -> None:
    words = (*SMALL, "--modalities=[acoustic]", "--contrastive_weight=1.0")
    model = build(tiny_config("LGMRec", *words))
    model.noted = {}
    assert float(model.calculate_loss(batch_of(model)).detach()) < 2
    assert "L_contrast" not in model.noted


@pytest.mark.parametrize("modalities", ["[visual]", "[visual,acoustic]"])
def test_many_hyper_layers(modalities: str, tiny_config: MakeConfig) -> None:
    """Vectors of hyperedges that float32 cannot hold have the scores of those that it can.

    After a few rounds they have the direction of the strongest, which further rounds keep.
    """
    words = (*SMALL, f"--modalities={modalities}", "--n_hyperedges=1", "--contrastive_weight=0.1")
    few, many = (build(tiny_config("LGMRec", *words, f"--hyper_layers={n}")) for n in (2, 60))
    torch.testing.assert_close(many.tables(), few.tables())
    without = build(tiny_config("LGMRec", *words, "--global_weight=0"))
    assert not torch.allclose(many.tables()[1], without.tables()[1], atol=1e-3)
    loss = many.calculate_loss(batch_of(many))
    loss.backward()
    assert all(torch.isfinite(p.grad).all() for p in many.parameters() if p.grad is not None)
