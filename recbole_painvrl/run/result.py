"""What ``result.json`` says of a run."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import torch

from recbole_painvrl.data.feature_mask import LEARNT
from recbole_painvrl.data.folder import file_hash
from recbole_painvrl.parallel import group
from recbole_painvrl.run.command import command_again
from recbole_painvrl.run.feature_mask import training_hash
from recbole_painvrl.run.folder import versions
from recbole_painvrl.run.opening import edition
from recbole_painvrl.run.threads import is_small
from recbole_painvrl.seeds import run_seeds
from recbole_painvrl.specs import spec_of
from recbole_painvrl.training.checkpoint import weights_hash
from recbole_painvrl.training.pipeline import Artefacts

if TYPE_CHECKING:
    from recbole_painvrl.data.dataset import ModalityDataset
    from recbole_painvrl.run.runner import Run


def result_of(
    run: Run, metrics: Mapping[str, Mapping[str, float]], report: Artefacts
) -> dict[str, Any]:
    """The content of ``result.json``, without what the tests say about shift and mask.

    Args:
        run: a run whose training is complete.
        metrics: of validation and every test.
        report: what the stages leave.
    """
    config = run.config
    seconds, peak = run.trainer.pipeline.spent()
    # Threads that the user or the data chose, not the machine.
    chosen = config["n_threads"] or is_small(run.dataset.item_num, run.width)
    result = {
        "model": config["model"],
        **described(run.dataset),
        "seed": config["seed"],
        "valid_metric": config["valid_metric"],
        "train_batch_size": config["train_batch_size"],
        "metrics": metrics,
        "split": run.dataset.split_diagnostics,
        "modalities": run.dataset.features.counts,
        "stages": run.trainer.stage_log.entries,
        "seconds": seconds,
        "peak_memory_mb": peak,
        "threads": torch.get_num_threads(),
        "device": str(config["device"]),
        "versions": versions(),
        "seeds": _seeds(run),
        "hashes": _hashes(run),
        "command": command_again(run.folder, None if chosen else torch.get_num_threads()),
        "run_folder": str(run.folder),
    }
    if group.size() > 1:
        result["processes"] = group.size()
    if report.mask:
        result["mask"] = report.mask
    if report.planted:
        result["planted"] = report.planted
    return result


def described(dataset: ModalityDataset) -> dict[str, Any]:
    """Name, variant, protocol and sizes of the data."""
    return {
        "dataset": dataset.dataset_name,
        "edition": edition(dataset),
        "protocol": dataset.protocol,
        "data": dataset.sizes,
    }


def _hashes(run: Run) -> dict[str, str]:
    hashes = {
        "data": run.data_hash,
        "train": training_hash(run.train),
        "code": run.code_hash,
        "weights": weights_hash(run.folder / "checkpoint" / "best.safetensors"),
    }
    if run.final is not None:
        # It is trained on the learnt mask as on one that was given.
        hashes["feature_mask"] = file_hash(run.folder / LEARNT)
    return hashes | run.kept_hashes


def _seeds(run: Run) -> dict[str, int]:
    outer_rounds = getattr(getattr(run.model, "settings", None), "outer_rounds", 1)
    config = run.config
    spec = spec_of(config["model"])
    if spec is None:
        return run_seeds(config["seed"], config["split_seed"])
    purposes = spec.purposes(outer_rounds) if spec.purposes else ()
    return run_seeds(config["seed"], config["split_seed"], spec.own_generators, purposes)
