"""The environment stage: heterogeneous identification on the training interactions (3.3)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from recbole_painvrl.config import PaInvRLSettings
from recbole_painvrl.functional.gate import variant
from recbole_painvrl.functional.invariance import FrozenTables
from recbole_painvrl.functional.ultragcn import UltraGCNWeights
from recbole_painvrl.identification.content import ContentEnvironmentModel, FitSettings
from recbole_painvrl.identification.full import FullEnvironmentModel
from recbole_painvrl.identification.loop import (
    EnvironmentModel,
    Identification,
    LoopSettings,
    identify,
)


def identify_environments(
    users: Tensor,
    items: Tensor,
    tables: FrozenTables,
    mask: Tensor,
    weights: UltraGCNWeights,
    settings: PaInvRLSettings,
    generator: torch.Generator,
    on_round: Callable[[int, int, float, list[int]], None] | None = None,
) -> Identification:
    """Partition the training interactions with environment models on Psi (Eq. 2, 9, 25).

    Args:
        users: user of every training interaction, ``[n]``.
        items: item of every training interaction, ``[n]``.
        tables: the frozen backbone and its graph.
        mask: m learnt so far (0.5 in the first round), ``[d]``.
        weights: scalars of the UltraGCN loss (``environment_model: full``).
        settings: the ``environment_*`` settings.
        generator: every draw of the stage.
        on_round: called with (start, round, share moved, sizes).
    """
    content = variant(tables.features, mask)
    fit = FitSettings(
        settings.environment_epochs,
        settings.environment_learning_rate,
        settings.environment_batch_size,
        settings.environment_negatives,
        settings.environment_learner,
    )
    size = settings.n_environments
    model: EnvironmentModel
    if settings.environment_model == "content":
        model = ContentEnvironmentModel(users, items, tables.user_content, content, size, fit)
    else:
        model = FullEnvironmentModel(
            users,
            items,
            len(tables.user_id),
            content,
            tables.graph,
            weights,
            size,
            fit,
            settings.embedding_size,
            settings.init_std,
            settings.embedding_reg_weight,
        )
    loop = LoopSettings(
        size,
        settings.environment_rounds,
        settings.environment_tolerance,
        settings.environment_restarts,
    )
    return identify(model, len(users), loop, generator, on_round)


def environment_figures(found: Identification, items: Tensor) -> dict[str, Any]:
    """What the stage reports: sizes, moves, agreement with the start, degree shift, stability."""
    degree = torch.bincount(items).float()
    n_environments = len(found.sizes[-1])
    return {
        "rounds": len(found.moves),
        "sizes": found.sizes[-1],
        "moved": found.moves[-1],
        "start_agreement": found.start_agreement,
        "mean_item_degree": [
            float(degree[items[found.labels == e]].mean()) for e in range(n_environments)
        ],
        "stability": found.stability,
        "likelihoods": found.likelihoods,
        "reseeded": sum(len(empty) for empty in found.reseeded),
    }
