"""What the multi-stage models leave in the run folder, and how it compares with planted truth."""

from __future__ import annotations

from collections.abc import Sequence
from logging import getLogger
from typing import TYPE_CHECKING

import numpy as np
from torch import Tensor

from recbole_painvrl.data.feature_mask import USED
from recbole_painvrl.environments.loop import Identification
from recbole_painvrl.errors import UserError
from recbole_painvrl.evaluation.planted import (
    environment_scores,
    mask_scores,
    oracle_mask,
    planted_truth,
    true_environments,
)
from recbole_painvrl.models.painvrl.final_stage import other_weights
from recbole_painvrl.models.painvrl.mask_stage import MaskStage
from recbole_painvrl.parallel import group
from recbole_painvrl.seeds import derive_seed
from recbole_painvrl.training.pipeline import Array, Artefacts, Context

if TYPE_CHECKING:
    from recbole_painvrl.data.dataset import ModalityDataset
    from recbole_painvrl.data.folder import Truth
    from recbole_painvrl.models.painvrl.trainer import StagedTrainer


def collect(trainer: StagedTrainer, context: Context[StagedTrainer]) -> Artefacts:
    """Masks and environments of a finished run, and their scores where the truth is planted."""
    train, slices = context.train_data._dataset, trainer.model.modality_slices
    truth = group.from_first(lambda: planted_truth(train))
    # Of several processes the first writes.
    found = _arrays_and_scores(trainer, train, truth) if group.is_first() else Artefacts()
    if truth is not None and trainer.settings.oracle and trainer.evaluated is trainer:
        width = len(trainer.mask_stages[-1].mask)
        oracle = oracle_mask(truth, slices, width)
        # Where no column in use is known to be spurious, that would be a model with all features.
        if not bool(oracle.all()):
            stage = "final with oracle mask"
            found.oracle = other_weights(trainer, context, stage, oracle, "oracle")
    return found


def _arrays_and_scores(
    trainer: StagedTrainer, train: ModalityDataset, truth: Truth | None
) -> Artefacts:
    slices, mask = trainer.model.modality_slices, trainer.mask_stages[-1].mask
    partitions = [stage.found for stage in trainer.environment_stages if stage.found is not None]
    found = Artefacts({"mask": _mask_arrays(trainer.mask_stages, slices)})
    form = trainer.form_stage
    assert form is not None
    used = {name: form.mask[columns].cpu().numpy() for name, columns in slices.items()}
    found.arrays["mask"] |= {f"{USED}/{name}": values for name, values in used.items()}
    if form.scores is not None:
        scores = {name: form.scores[columns].cpu().numpy() for name, columns in slices.items()}
        found.arrays["mask"] |= {f"agreement/{name}": values for name, values in scores.items()}
    dropped = {name: int((values == 0).sum()) for name, values in used.items()}
    found.mask = {**form.figures, "dropped": {**dropped, "overall": form.figures["dropped"]}}
    if partitions:
        found.arrays["environments"] = _environment_arrays(partitions, train)
    if truth is None:
        return found
    rng = np.random.default_rng(derive_seed(trainer.model.seed, "planted controls"))
    known = [name for name in slices if name in truth.columns]
    found.arrays["mask"] |= {f"truth/{name}": truth.columns[name] for name in known}
    against = mask_scores(mask, truth, slices, rng)
    if against:
        found.planted["mask"] = against
        found.planted["mask_auc"] = {name: one["auc"] for name, one in against.items()}
        found.planted["mask_auc_shuffled"] = {n: one["auc_shuffled"] for n, one in against.items()}
    labels = _planted_labels(train) if partitions and train.protocol == "files" else None
    if labels is not None:
        items, matrix = train.inter_feat[train.iid_field], train.features.matrix
        found.arrays["environments"]["truth"] = labels.numpy().astype(np.int16)
        agreement = environment_scores(partitions[-1].labels, labels, items, matrix, rng)
        found.planted |= {f"environment_{name}": value for name, value in agreement.items()}
    return found


def _planted_labels(train: ModalityDataset) -> Tensor | None:
    """Planted environment of every training interaction; None where there is nothing to find."""
    users, items = (train.inter_feat[name] for name in (train.uid_field, train.iid_field))
    try:
        labels = true_environments(train, users, items)
    except UserError as error:
        # At the end of a run: its results do not depend on these labels.
        getLogger("recbole_painvrl").warning("the environments are not scored: %s", error)
        return None
    assert labels is not None
    return labels if len(labels.unique()) > 1 else None


def _mask_arrays(stages: Sequence[MaskStage], slices: dict[str, slice]) -> dict[str, Array]:
    arrays: dict[str, Array] = {}
    for number, stage in enumerate(stages, 1):
        trajectory = stage.trajectory
        values = {name: stage.mask[columns].cpu().numpy() for name, columns in slices.items()}
        arrays |= {f"round {number}/{name}": one for name, one in values.items()}
        if stage is stages[-1]:
            arrays |= values
        for name, steps in trajectory.steps.items():
            arrays[f"round {number}/trajectory/{name}"] = np.asarray(steps)
        for modality in (*slices, "all"):
            for name in trajectory.epochs[0]["mask"][modality]:
                arrays[f"round {number}/epochs/{modality}/{name}"] = np.asarray(
                    [epoch["mask"][modality][name] for epoch in trajectory.epochs]
                )
    return arrays


def _environment_arrays(
    partitions: Sequence[Identification], train: ModalityDataset
) -> dict[str, Array]:
    """User, item and environment of every training interaction; moves and sizes per round."""
    arrays = {"environment": partitions[-1].labels.cpu().numpy().astype(np.int16)}
    for name, token_field in (("user_id", train.uid_field), ("item_id", train.iid_field)):
        tokens = np.asarray(train.field2id_token[token_field]).astype(str)
        arrays[name] = tokens[train.inter_feat[token_field].numpy()]
    for number, found in enumerate(partitions, 1):
        arrays[f"round {number}/environment"] = found.labels.cpu().numpy().astype(np.int16)
        arrays[f"round {number}/moved"] = np.asarray(found.moves)
        arrays[f"round {number}/sizes"] = np.asarray(found.sizes)
    return arrays
