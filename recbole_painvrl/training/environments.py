"""The environment stage: heterogeneous identification on the training interactions (3.3)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from typing import Any

import torch
from torch import Tensor
from tqdm import tqdm

from recbole_painvrl.config import InvRLSettings, PaInvRLSettings
from recbole_painvrl.environments.content import ContentEnvironmentModel, FitSettings
from recbole_painvrl.environments.full import FullEnvironmentModel
from recbole_painvrl.environments.loop import (
    EnvironmentModel,
    Identification,
    LoopSettings,
    identify,
)
from recbole_painvrl.functional.gate import variant
from recbole_painvrl.functional.invariance import FrozenTables
from recbole_painvrl.functional.ultragcn import UltraGCNWeights
from recbole_painvrl.seeds import generator as purpose_generator
from recbole_painvrl.training.mask_guard import stopped_at

# Above this agreement with its random start a partition has identified nothing.
_UNMOVED = 0.9
_TO_LOWER = "`environment_learning_rate`"


def run_environment_stage(
    trainer: Any,
    name: str,
    users: Tensor,
    items: Tensor,
    tables: FrozenTables,
    mask: Tensor,
    show_progress: bool,
) -> Identification:
    """The stage of one outer round: progress, figures, warnings, taken over when already done.

    Args:
        trainer: the trainer with stages (model, settings, logs, progress).
        name: name of the stage.
        users: user of every training interaction, ``[n]``.
        items: item of every training interaction, ``[n]``.
        tables: the frozen backbone and its graph.
        mask: m learnt so far, ``[d]``.
        show_progress: whether to draw the bar.
    """
    if trainer.progress.is_done(name):
        labels = trainer.progress.tensors[f"{name}/labels"].cpu()
        return Identification(labels=labels, **trainer.progress.values[name])
    s, loop = trainer.settings, _loop(trainer.settings)
    spent = trainer.progress.begin_own_stage(name)
    n_done = 0
    n_rounds = loop.restarts * loop.scout_rounds + loop.rounds - loop.scout_rounds
    with (
        trainer.stage_log.measure(name, spent) as entry,
        tqdm(total=n_rounds, desc=name, disable=not show_progress, ncols=100) as bar,
    ):

        def on_round(start: int, number: int, moved: float, sizes: list[int]) -> None:
            nonlocal n_done
            n_done += 1
            bar.update(1)
            bar.set_postfix_str(f"start {start + 1} moved {moved:.1%}", refresh=False)
            _report_round(trainer, name, start, number, moved, sizes)

        source = purpose_generator(trainer.model.seed, name, "cpu")
        with stopped_at(
            lambda: f"stage {name}, round {n_done + 1}", trainer.model.modality_slices, _TO_LOWER
        ):
            found = identify_environments(
                users, items, tables, mask, trainer.model.weights, s, source, on_round
            )
        entry.update(environment_figures(found, items.cpu()))
    trainer.log.info("%s", trainer.stage_log.line(name))
    if s.n_environments > 1 and found.start_agreement > _UNMOVED:
        trainer.log.warning(
            "%s: %.0f %% of the interactions stayed where the random start put them; "
            "no environments were identified",
            name,
            100 * found.start_agreement,
        )
    values = asdict(found)
    trainer.progress.put(name, {"labels": values.pop("labels")}, values)
    trainer.progress.finish_stage(name)
    return found


def _report_round(
    trainer: Any, name: str, start: int, number: int, moved: float, sizes: list[int]
) -> None:
    trainer.log.debug("%s start %d round %d: %s %s", name, start, number, moved, sizes)
    step = start * trainer.settings.environment_rounds + number
    trainer.tensorboard.add_scalar(f"{name}/moved", moved, step)
    for environment, size in enumerate(sizes):
        trainer.tensorboard.add_scalar(f"{name}/size {environment}", size, step)


def _loop(settings: InvRLSettings | PaInvRLSettings) -> LoopSettings:
    return LoopSettings(
        settings.n_environments,
        settings.environment_rounds,
        settings.environment_tolerance,
        settings.environment_restarts,
    )


def identify_environments(
    users: Tensor,
    items: Tensor,
    tables: FrozenTables,
    mask: Tensor,
    weights: UltraGCNWeights,
    settings: InvRLSettings | PaInvRLSettings,
    generator: torch.Generator,
    on_round: Callable[[int, int, float, list[int]], None] | None = None,
) -> Identification:
    """Partition the training interactions with environment models on Psi (Eq. 2, 9, 25).

    With ``environment_features: full`` they see all of f, and the mask has no say.

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
    content = tables.features
    if settings.environment_features == "variant":
        content = variant(content, mask)
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
            settings.content_embedding_size,
            settings.init_std,
            settings.embedding_reg_weight,
            settings.environment_projection_reg_weight,
        )
    return identify(model, len(users), _loop(settings), generator, on_round)


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
        "history": [
            {"round": number, "moved": moved, "sizes": sizes}
            for number, (moved, sizes) in enumerate(zip(found.moves, found.sizes, strict=True), 1)
        ],
    }
