"""The mask stage of a run: progress, figures, warnings, and how to go on after an interruption."""

from __future__ import annotations

from dataclasses import fields, replace
from typing import Any

import torch
from torch import Tensor
from tqdm import tqdm

from recbole_painvrl.data.negatives import NegativeSampler
from recbole_painvrl.functional.invariance import FrozenTables
from recbole_painvrl.seeds import MASK_PURPOSES, generator
from recbole_painvrl.training.mask import MaskLearner, MaskSettings, Trajectory
from recbole_painvrl.training.mask_guard import check_state, stopped_at
from recbole_painvrl.training.state import Tensors, optimizer_state, part, restore_optimizer

# A mask below this everywhere has switched the content branch off.
_DEAD_MASK = 0.05
_TO_LOWER = "`projection_learning_rate` or `mask_step_size`"


def run_mask_stage(
    trainer: Any,
    outer: int,
    users: Tensor,
    items: Tensor,
    labels: Tensor,
    tables: FrozenTables,
    mask: Tensor,
    show_progress: bool,
) -> tuple[Tensor, Trajectory]:
    """Learn the mask of one outer round; returns it with its trajectory.

    Args:
        trainer: the trainer with stages (model, settings, logs, progress).
        outer: number of the outer round, from 1.
        users: user of every training interaction, ``[n]``.
        items: item of every training interaction, ``[n]``.
        labels: environment of every training interaction, ``[n]``.
        tables: the frozen backbone and its graph.
        mask: m to start from, ``[d]``.
        show_progress: whether to draw the bar.
    """
    s, name = trainer.settings, f"mask {outer}"
    learner = _learner(trainer, outer, users, items, labels, tables, mask)
    if name in trainer.progress.values:
        _restore(learner, part(trainer.progress.tensors, f"{name}/"), trainer.progress.values[name])
    if trainer.progress.is_done(name):
        return learner.result(), learner.trajectory
    spent = trainer.progress.begin_own_stage(name)
    first = len(learner.trajectory.epochs)
    with (
        trainer.stage_log.measure(name, spent) as entry,
        tqdm(
            total=s.mask_epochs, initial=first, desc=name, disable=not show_progress, ncols=100
        ) as bar,
    ):
        for epoch in range(first, s.mask_epochs):
            place = f"stage {name}, epoch {epoch + 1}"
            with stopped_at(place.__str__, trainer.model.modality_slices, _TO_LOWER):
                means = learner.run_epoch()
                check_state({"the mask": learner.mask, "W": learner.projection})
            statistics = mask_statistics(learner.result(), trainer.model.modality_slices)
            learner.trajectory.epochs.append({**means, "mask": statistics})
            _report(trainer, name, epoch, means, statistics)
            bar.update(1)
            bar.set_postfix_str(f"w_ERM {means['w_erm']:.3f}", refresh=False)
            trainer.progress.put(name, *_state(learner))
            trainer.progress.save_epoch(epoch + 1)
        entry.update(_figures(learner))
    trainer.log.info("%s", trainer.stage_log.line(name))
    trainer.progress.finish_stage(name)
    return learner.result(), learner.trajectory


def mask_statistics(mask: Tensor, slices: dict[str, slice]) -> dict[str, dict[str, float]]:
    """Mean, std, min and max of the mask, per modality and over ``all``."""
    parts = {name: mask[columns] for name, columns in slices.items()}
    return {
        name: {
            "mask_mean": float(values.mean()),
            "mask_std": float(values.std(unbiased=False)),
            "mask_min": float(values.min()),
            "mask_max": float(values.max()),
        }
        for name, values in {**parts, "all": mask}.items()
    }


def _figures(learner: MaskLearner) -> dict[str, Any]:
    """What the stage reports: weights that may grow from round to round, and the last epoch."""
    s, last = learner.settings, learner.trajectory.epochs[-1]
    figures: dict[str, Any] = {"epochs": s.mask_epochs}
    if s.loss_weighting == "fixed":
        figures |= {"irm_weight": s.irm_weight, "mask_decay": s.mask_decay}
    means = {key: value for key, value in last.items() if key != "mask"}
    history = [
        {"epoch": number, **epoch} for number, epoch in enumerate(learner.trajectory.epochs, 1)
    ]
    return {**figures, **means, **last["mask"]["all"], "history": history}


def _learner(
    trainer: Any,
    outer: int,
    users: Tensor,
    items: Tensor,
    labels: Tensor,
    tables: FrozenTables,
    mask: Tensor,
) -> MaskLearner:
    s, model, name = trainer.settings, trainer.model, f"mask {outer}"
    negatives = NegativeSampler(
        model.n_items,
        s.mask_negatives,
        s.negative_sampling,
        generator(model.seed, f"{name} negatives", trainer.device),
    )
    settings = MaskSettings(
        **{field.name: getattr(s, field.name) for field in fields(MaskSettings)}
    )
    growth = s.weight_growth ** (outer - 1)
    settings = replace(
        settings,
        irm_weight=growth * settings.irm_weight,
        mask_decay=growth * settings.mask_decay,
    )
    initial, order, noise = (
        generator(model.seed, f"{name} {purpose}", "cpu") for purpose in MASK_PURPOSES
    )
    return MaskLearner(
        users, items, labels, tables, model.weights, mask, settings, negatives, initial, order,
        noise,
    )  # fmt: skip


def _report(
    trainer: Any,
    name: str,
    epoch: int,
    means: dict[str, float],
    statistics: dict[str, dict[str, float]],
) -> None:
    """TensorBoard, log file, and warnings where a loss or the content is switched off."""
    trainer.log.debug("%s epoch %d: %s %s", name, epoch + 1, means, statistics)
    for key, value in means.items():
        trainer.tensorboard.add_scalar(f"{name}/{key}", value, epoch)
    for modality, figures in statistics.items():
        for key, value in figures.items():
            trainer.tensorboard.add_scalar(f"{name}/{modality}/{key}", value, epoch)
    if means["norm_irm"] == 0.0:
        trainer.log.warning(
            "%s epoch %d: L_IRM has no gradient (one environment?); only L_ERM moves the mask",
            name,
            epoch + 1,
        )
    elif means["w_erm"] in (0.0, 1.0) and trainer.settings.loss_weighting == "pareto":
        trainer.log.warning(
            "%s epoch %d: w_ERM was %.0f in every step; one of the two losses is switched off "
            "(see `gradient_normalization`)",
            name,
            epoch + 1,
            means["w_erm"],
        )
    if statistics["all"]["mask_max"] < _DEAD_MASK:
        trainer.log.warning(
            "%s epoch %d: the largest mask entry is %.3g; the content is switched off "
            "(see `mask_decay` and `mask_center`)",
            name,
            epoch + 1,
            statistics["all"]["mask_max"],
        )


def _state(learner: MaskLearner) -> tuple[Tensors, dict[str, Any]]:
    """Everything of the learner that changes between epochs."""
    tensors = {"mask": learner.mask.detach().clone(), "order": learner.order.get_state()}
    tensors["noise"] = learner.noise.get_state()
    tensors["negatives"] = learner.negatives.generator.get_state()
    for number, variable in enumerate(learner.learnt):
        tensors[f"learnt/{number}"] = variable.detach().clone()
    for key, steps in learner.trajectory.steps.items():
        tensors[f"steps/{key}"] = torch.tensor(steps, dtype=torch.float64)
    state: dict[str, Any] = {"epochs": learner.trajectory.epochs}
    for key, optimizer in _optimizers(learner).items():
        own, state[key] = optimizer_state(optimizer)
        tensors.update({f"{key}/{name}": tensor.clone() for name, tensor in own.items()})
    return tensors, state


def _restore(learner: MaskLearner, tensors: Tensors, state: dict[str, Any]) -> None:
    """Inverse of :func:`_state`."""
    with torch.no_grad():
        learner.mask.copy_(tensors["mask"])
        for number, variable in enumerate(learner.learnt):
            variable.copy_(tensors[f"learnt/{number}"])
    learner.order.set_state(tensors["order"].cpu())
    learner.noise.set_state(tensors["noise"].cpu())
    learner.negatives.generator.set_state(tensors["negatives"].cpu())
    learner.trajectory.epochs = list(state["epochs"])
    learner.trajectory.steps = {
        key: values.tolist() for key, values in part(tensors, "steps/").items()
    }
    for key, optimizer in _optimizers(learner).items():
        restore_optimizer(optimizer, part(tensors, f"{key}/"), state[key])


def _optimizers(learner: MaskLearner) -> dict[str, torch.optim.Optimizer]:
    optimizers: dict[str, torch.optim.Optimizer] = {"learnt_optimizer": learner.optimizer}
    if learner.mask_optimizer is not None:
        optimizers["mask_optimizer"] = learner.mask_optimizer
    return optimizers
