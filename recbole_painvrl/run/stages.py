"""What the multi-stage models leave in the run folder, and how it compares with planted truth."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor

from recbole_painvrl.evaluation.planted import (
    environment_scores,
    mask_scores,
    oracle_mask,
    planted_truth,
    true_environments,
)
from recbole_painvrl.run.folder import Array, write_arrays
from recbole_painvrl.run.logs import shows_bars
from recbole_painvrl.seeds import derive_seed


@dataclass
class StageReport:
    """Arrays for ``mask.npz`` and ``environments.npz``, and the ``planted`` part of the result.

    Attributes:
        mask: arrays of ``mask.npz``; empty for single-stage models.
        environments: arrays of ``environments.npz``.
        planted: scores against planted truth.
        oracle: weights of the final model trained with the true mask, or None.
    """

    mask: dict[str, Array] = field(default_factory=dict)
    environments: dict[str, Array] = field(default_factory=dict)
    planted: dict[str, Any] = field(default_factory=dict)
    oracle: dict[str, Tensor] | None = None

    def write(self, folder: Path) -> None:
        """Write the arrays there are."""
        for name in ("mask", "environments"):
            if getattr(self, name):
                write_arrays(folder / f"{name}.npz", getattr(self, name))


def report_stages(trainer: Any, train: Any, train_loader: Any, valid_loader: Any) -> StageReport:
    """Collect the stages of a trainer; empty for single-stage models."""
    report = StageReport()
    if getattr(trainer, "mask", None) is None:
        return report
    slices = trainer.model.modality_slices
    report.mask = _mask_arrays(trainer, slices)
    if trainer.found is not None:
        report.environments = _environment_arrays(trainer, train)
    truth = planted_truth(train)
    if truth is None:
        return report
    rng = np.random.default_rng(derive_seed(trainer.model.seed, "planted controls"))
    known = [name for name in slices if name in truth.columns]
    report.mask |= {f"truth/{name}": truth.columns[name] for name in known}
    scores = mask_scores(trainer.mask, truth, slices, rng)
    report.planted["mask"] = scores
    report.planted["mask_auc"] = {name: part["auc"] for name, part in scores.items()}
    report.planted["mask_auc_shuffled"] = {n: part["auc_shuffled"] for n, part in scores.items()}
    if trainer.found is not None and train.protocol == "files":
        true_labels = _true_labels(train)
        report.environments["truth"] = true_labels.numpy().astype(np.int16)
        report.planted.update(_environment_scores(trainer, train, true_labels, rng))
    if trainer.settings.oracle:
        report.oracle = _oracle_weights(trainer, truth, slices, train_loader, valid_loader)
    return report


def _mask_arrays(trainer: Any, slices: dict[str, slice]) -> dict[str, Array]:
    arrays = {}
    for number, (mask, trajectory) in enumerate(
        zip(trainer.masks, trainer.trajectories, strict=True), 1
    ):
        last = number == len(trainer.masks)
        for modality, columns in slices.items():
            values = mask[columns].cpu().numpy()
            arrays[f"round {number}/{modality}"] = values
            if last:
                arrays[modality] = values
        for name, steps in trajectory.steps.items():
            arrays[f"round {number}/trajectory/{name}"] = np.asarray(steps)
        for part in (*slices, "all"):
            for name in trajectory.epochs[0]["mask"][part]:
                values = np.asarray([epoch["mask"][part][name] for epoch in trajectory.epochs])
                arrays[f"round {number}/epochs/{part}/{name}"] = values
    return arrays


def _environment_arrays(trainer: Any, train: Any) -> dict[str, Array]:
    """User, item and environment of every training interaction; moves and sizes per round."""
    arrays = {"environment": trainer.found.labels.cpu().numpy().astype(np.int16)}
    for name, token_field in (("user_id", train.uid_field), ("item_id", train.iid_field)):
        tokens = np.asarray(train.field2id_token[token_field]).astype(str)
        arrays[name] = tokens[train.inter_feat[token_field].numpy()]
    for number, found in enumerate(trainer.partitions, 1):
        arrays[f"round {number}/environment"] = found.labels.cpu().numpy().astype(np.int16)
        arrays[f"round {number}/moved"] = np.asarray(found.moves)
        arrays[f"round {number}/sizes"] = np.asarray(found.sizes)
    return arrays


def _true_labels(train: Any) -> Tensor:
    """Planted environment of every training interaction, ``[n]``."""
    users, items = (train.inter_feat[name] for name in (train.uid_field, train.iid_field))
    truth = true_environments(train, users, items)
    assert truth is not None
    return truth


def _environment_scores(
    trainer: Any, train: Any, truth: Tensor, rng: np.random.Generator
) -> dict[str, float]:
    items, features = train.inter_feat[train.iid_field], train.features.matrix
    scores = environment_scores(trainer.found.labels, truth, items, features, rng)
    return {f"environment_{name}": value for name, value in scores.items()}


def _oracle_weights(
    trainer: Any, truth: Any, slices: dict[str, slice], train_loader: Any, valid_loader: Any
) -> dict[str, Tensor]:
    """Train the final model once more with the true mask; the trainer's model is put back."""
    model = trainer.model
    own = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    mask = oracle_mask(truth, slices, len(trainer.mask)).to(trainer.mask.device)
    trainer.fit_final(
        mask, "final with oracle mask", train_loader, valid_loader,
        shows_bars(trainer.config["show_progress"]), checkpoint="oracle",
    )  # fmt: skip
    weights = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    model.load_state_dict(own)
    return weights
