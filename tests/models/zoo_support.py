"""Builders and laws that the tests of the multimodal models share."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from recbole.data.interaction import Interaction
from support import TINY, killing, result_of, run_main
from torch import Tensor

from recbole_painvrl.cli.run import main
from recbole_painvrl.config import SafeConfig
from recbole_painvrl.data.dataset import ModalityDataset
from recbole_painvrl.data.folder import write_dataset
from recbole_painvrl.data.planted import generate_planted
from recbole_painvrl.data.splits.base import TRAIN
from recbole_painvrl.run.build import build_model
from recbole_painvrl.testing.fixed_draws import as_double

# Repeated and single triples of the tiny dataset.
TRIPLES = [(1, 1, 2), (1, 3, 2), (5, 7, 60), (9, 3, 1), (9, 3, 1), (80, 44, 45)]


def build(config: SafeConfig) -> Any:
    """The model of a configuration with its initial values."""
    return build_model(config, ModalityDataset(config).build_parts()[TRAIN], fast=False)


def shaken(config: SafeConfig, scale: float = 0.3) -> Any:
    """In float64 with random values everywhere, also where training starts from zero."""
    model = as_double(build(config))
    source = torch.Generator().manual_seed(3)
    with torch.no_grad():
        for parameter in model.parameters():
            values = torch.randn(parameter.shape, generator=source, dtype=torch.float64)
            parameter.copy_(scale * values)
    model.forget_tables()
    return model


def batch_of(model: Any, triples: Sequence[tuple[int, int, int]] = TRIPLES) -> Interaction:
    """A batch of (user, positive, negative)."""
    users, positives, negatives = (torch.tensor(part) for part in zip(*triples, strict=True))
    return Interaction(
        {model.USER_ID: users, model.ITEM_ID: positives, model.NEG_ITEM_ID: negatives}
    )


def literal_bpr(
    users: Tensor, items: Tensor, triples: Sequence[tuple[int, int, int]] = TRIPLES
) -> Tensor:
    """Mean of ``softplus(<u, j> - <u, i>)``, triple by triple."""
    gaps = [users[u] @ (items[j] - items[i]) for u, i, j in triples]
    return F.softplus(torch.stack(gaps)).mean()


def literal_layers(model: Any, operator: Tensor, n_layers: int) -> Tensor:
    """Mean of the layers of the ID vectors on a dense operator, users first."""
    layers = [torch.cat([model.user_embedding.weight, model.item_embedding.weight])]
    for _ in range(n_layers):
        layers.append(operator @ layers[-1])
    return torch.stack(layers).mean(dim=0)


def adjacency(model: Any, matrix: Any = None) -> Tensor:
    """``D^-1/2 A D^-1/2`` of the bipartite graph, dense float64, users first."""
    r = torch.from_numpy((model.interactions if matrix is None else matrix).toarray()).double()
    n_users, n_items = r.shape
    a = torch.zeros(n_users + n_items, n_users + n_items, dtype=torch.float64)
    a[:n_users, n_users:], a[n_users:, :n_users] = r, r.T
    scale = torch.where(a.sum(1) > 0, a.sum(1) ** -0.5, 0.0)
    return scale[:, None] * a * scale


def assert_same_gradients(
    model: Any, loss: Tensor, by_hand: Tensor, atol: float = 1e-9, of_largest: float = 0.0
) -> None:
    """A loss and its gradients by all parameters equal those of an oracle.

    Item graphs are float32, of cosines in float32: with them ``atol`` is about 1e-7, or
    ``of_largest`` a tolerance in units of a gradient's largest entry.
    """
    torch.testing.assert_close(loss, by_hand, rtol=1e-6, atol=1e-9)
    named = [(name, p) for name, p in model.named_parameters() if p.requires_grad and p.numel()]
    one, other = (
        torch.autograd.grad(value, [p for _, p in named], allow_unused=True, retain_graph=True)
        for value in (loss, by_hand)
    )
    for (name, parameter), first, second in zip(named, one, other, strict=True):
        zero = torch.zeros_like(parameter)
        first, second = (zero if g is None else g for g in (first, second))
        allowed = max(atol, of_largest * float(second.abs().max()))
        torch.testing.assert_close(first, second, rtol=1e-5, atol=allowed, msg=name)


def data_with_gaps(folder: Path) -> Path:
    """A data path whose dataset ``tiny`` has items without one modality, and without any.

    Items have other internal numbers than in the tiny dataset; TRIPLES are in range.
    """
    content = generate_planted(TINY, "tiny")
    n_th = {"visual": 3, "acoustic": 4}
    features = {}
    for name, (matrix, tokens) in content.features.items():
        rows = [i for i in range(len(tokens)) if i % n_th[name]]
        features[name] = (matrix[rows], [tokens[i] for i in rows])
    write_dataset(replace(content, features=features), folder / "tiny")
    return folder


def as_stored(propagation: Any, exact: Tensor) -> Tensor:
    """An exact matrix, rounded to float32 as the model rounds it."""
    stored: Tensor = propagation.matrix.to_dense()
    torch.testing.assert_close(stored, exact, rtol=1e-6, atol=1e-12)
    return stored


def dense_neighbours(rows: Tensor, present: Tensor, k: int) -> Tensor:
    """Cosines above 0 of every row with its k nearest of the rows present, dense ``[n, n]``."""
    unit = F.normalize(rows)
    cosines = unit @ unit.T
    kept = torch.zeros_like(cosines)
    candidates = [j for j in range(1, len(rows)) if present[j]]
    for i in candidates:
        by_cosine = dict(enumerate(cosines[i].tolist()))
        kept[i, sorted(candidates, key=lambda j: -by_cosine[j])[:k]] = 1
    return kept * cosines.clamp(min=0)


def laplacian(graph: Tensor, norm: str = "out") -> Tensor:
    """``D^-1/2 S D^-1/2``, or ``D^-1 S`` of a random walk, with the row sums D; 0 for sums of 0."""
    sums = graph.sum(dim=1)
    scale = torch.where(sums > 0, sums.clamp(min=1e-12) ** -0.5, 0.0)
    return scale[:, None] * graph * (scale if norm == "out" else scale[:, None])


def assert_resumes(model: str, argv: Sequence[str], save: int, data: Path, place: Path) -> None:
    """A run killed at a save and resumed has the metrics, history and weights of a whole one."""
    whole = run_main(data, place, model, *argv, name="whole")
    assert whole.code == 0, whole.err
    with killing(save):
        run_main(data, place, model, *argv, name="killed")
    killed = place / "runs" / "killed"
    assert main([f"--resume={killed}", "--show_progress=False"]) == 0
    results = [result_of(run) for run in (whole.folder, killed)]
    for result in results:
        for stage in result["stages"]:
            stage.pop("seconds"), stage.pop("peak_memory_mb")
    assert all(results[0][key] == results[1][key] for key in ("metrics", "stages"))
    best = [(run / "checkpoint/best.safetensors").read_bytes() for run in (whole.folder, killed)]
    assert best[0] == best[1]


def edges_of(model: Any) -> Tensor:
    """Whether two nodes are connected, users first, ``[N, N]`` bool."""
    n = model.n_users
    edges = torch.zeros(n + model.n_items, n + model.n_items, dtype=torch.bool)
    edges[:n, n:] = torch.from_numpy(model.interactions.toarray()) > 0
    return edges | edges.T


def lose_modalities(model: Any) -> None:
    """Three items of a model of edges lose modality 1, the most popular one modality 0 as well."""
    popular = torch.from_numpy(model.interactions.getnnz(axis=0)).topk(3).indices
    model.has_row[popular, 1] = False
    model.has_row[popular[0], 0] = False
    model.lacking_by_user = ~model.has_row[model.by_user.columns]
    model.lacking_by_item = ~model.has_row[model.by_item.rows]
