"""Opens a complete run with nothing but its folder, in any process, without training."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from logging import getLogger
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from recbole.data.dataloader import FullSortEvalDataLoader
from recbole.data.dataloader.abstract_dataloader import AbstractDataLoader as Loader
from recbole.model.abstract_recommender import GeneralRecommender
from recbole.utils import init_seed

from recbole_painvrl.config import SafeConfig
from recbole_painvrl.config.loading import YAML_ERRORS
from recbole_painvrl.data.dataset import ModalityDataset
from recbole_painvrl.data.feature_mask import mask_file
from recbole_painvrl.data.folder import dataset_hash, file_hash
from recbole_painvrl.data.loaders import liked, training_loader
from recbole_painvrl.data.splits.base import OOD, OOD_VALID, TEST, TRAIN, VALID
from recbole_painvrl.errors import UserError, did_you_mean
from recbole_painvrl.reading import parse_json, reason
from recbole_painvrl.run import RESULT
from recbole_painvrl.run.build import build_model
from recbole_painvrl.run.feature_mask import training_hash, use_kept_mask
from recbole_painvrl.run.folder import CONFIG, FINAL_CONFIG, experiment_runs, versions
from recbole_painvrl.run.program import shell_command
from recbole_painvrl.run.resume import data_path_from_here, settings_hash, stored_settings
from recbole_painvrl.training.checkpoint import load_model, weights_hash
from recbole_painvrl.training.state import global_rng, restore_global_rng

if TYPE_CHECKING:
    from recbole_painvrl.training.protocols import Recommender

_VISIBLE = "CUDA_VISIBLE_DEVICES"


@dataclass(frozen=True)
class LoadedRun:
    """A complete run, ready to score.

    Attributes:
        folder: the run folder.
        config: the configuration of the run.
        dataset: all interactions, ids and features; ``field2id_token`` has the user's own ids.
        parts: the datasets of the split (``train``, ``valid``, ``test``, ``ood``...).
            ``train_data``, ``valid_data`` and ``test_data`` are loaders of them, and RecBole's
            ``data_preparation(run.config, run.dataset)`` makes its own of the same splits.
        model: the model with the weights of its best epoch, in evaluation mode.
        result: content of ``result.json``.
    """

    folder: Path
    config: SafeConfig
    dataset: ModalityDataset
    parts: dict[str, ModalityDataset]
    model: GeneralRecommender
    result: dict[str, Any]

    @cached_property
    def train_data(self) -> Loader:
        """The loader of the training split."""
        return training_loader(self.config, liked(self.config, self.parts[TRAIN]))

    @cached_property
    def valid_data(self) -> FullSortEvalDataLoader:
        """RecBole's loader of the validation split; see :meth:`full_sort_data`."""
        return self.full_sort_data(VALID)

    @cached_property
    def test_data(self) -> FullSortEvalDataLoader:
        """RecBole's loader of the test split, of the OOD test where there is no other."""
        return self.full_sort_data(TEST if TEST in self.parts else OOD)

    def full_sort_data(self, split: str) -> FullSortEvalDataLoader:
        """RecBole's loader of a split by all items, which its case study functions take.

        Args:
            split: name of a validation or test split in ``parts``. The items that its scores
                leave out are those of training, for a test also those of validation.

        Raises:
            UserError: the run has no such split.
        """
        known = [name for name in self.parts if name != TRAIN]
        if split not in known:
            raise UserError(f"{self.folder}: no evaluation split `{split}`, found {known}")
        seen = (TRAIN, split) if split in (VALID, OOD_VALID) else (TRAIN, VALID, split)
        used = np.array([set() for _ in range(self.dataset.user_num)])
        for table in (self.parts[name].inter_feat for name in seen if name in self.parts):
            users, items = (table[f] for f in (self.dataset.uid_field, self.dataset.iid_field))
            for user, item in zip(users.tolist(), items.tolist(), strict=True):
                used[user].add(item)
        # The loader reads only `used_ids`; a real sampler refuses users who have seen all items.
        sampler = SimpleNamespace(used_ids=used)
        loader = FullSortEvalDataLoader(self.config, self.parts[split], sampler)
        for user, items in enumerate(loader.uid2history_item):
            # RecBole has no entry for a user without items in the split, and fails without it.
            if items is None:
                loader.uid2history_item[user] = torch.tensor(sorted(used[user]), dtype=torch.int64)
        return loader


def load_run(folder: str | Path, data_path: str | Path | None = None) -> LoadedRun:
    """Open a complete run: its configuration, dataset, split and trained model.

    RecBole's ``load_data_and_model`` reads pickled checkpoints, which this plugin neither writes
    nor reads; this takes its place, for the plugin's models and for RecBole's own::

        run = recbole_painvrl.load_run("runs/PaInvRL-ml-trailers-20260101-120000-000")
        scores = run.model.full_sort_predict({run.dataset.uid_field: torch.tensor([1, 2])})
        scores, items = full_sort_topk([1, 2], run.model, run.test_data, k=10)

    Nothing is trained; the global generators of Python, numpy and torch, cuDNN's flags and
    ``CUDA_VISIBLE_DEVICES`` are left as they were.

    Args:
        folder: the run folder.
        data_path: folder that holds the dataset's folder, where it has moved since the run.

    Raises:
        UserError: no complete run, a damaged file, or settings, a mask, a dataset, a split or
            weights that are not those of the run.
    """
    folder = Path(folder)
    result = _read_result(folder)
    path = folder / CONFIG
    if (folder / FINAL_CONFIG).is_file():
        # The run evaluated another final model, which has its own settings.
        path = folder / FINAL_CONFIG
    values = stored_settings(path)
    _check_settings(path, result)
    values["data_path"] = str(_data_path(folder, values, result, data_path))
    with _callers_state():
        config = SafeConfig(overrides=values, overrides_from=str(path))
        if path.name == FINAL_CONFIG:
            config["feature_mask_file"] = str(mask_file(folder))
        else:
            use_kept_mask(config, folder)
        _check_mask(config["feature_mask_file"], result)
        config["opened_modalities"] = list(result.get("modalities", ()))
        # The split of protocol `random` is drawn from the global generators.
        init_seed(config["seed"], config["reproducibility"])
        dataset = ModalityDataset(config)
        parts = _build_splits(folder, dataset, result)
        # RecBole's own classes: new users and items are propagated by them.
        train = liked(config, parts[TRAIN])
        _check_training(folder, train, result)
        model = build_model(config, train, fast=False)
    _load_weights(folder / "checkpoint" / "best.safetensors", model, config["device"], result)
    model.eval()
    _warn_of_versions(folder, result)
    return LoadedRun(folder, config, dataset, parts, model, result)


def _build_splits(
    folder: Path, dataset: ModalityDataset, result: dict[str, Any]
) -> dict[str, ModalityDataset]:
    """The splits of the run; other data or another split would give wrong scores."""
    if dataset_hash(dataset.folder) != result["hashes"]["data"]:
        raise UserError(
            f"{dataset.folder}: the dataset is not the one of {folder} (its files have changed), "
            "so its ids no longer belong to the trained vectors; restore the files, name the "
            "folder of the old ones by `--data-path`, or train again"
        )
    splits = dataset.build_parts()
    sizes, now = result.get("split", {}).get("sizes"), dataset.split_diagnostics["sizes"]
    if sizes != now:
        raise UserError(
            f"{folder}: the split of the run had {sizes} interactions, made again it has {now}; "
            f"restore {dataset.folder / 'splits'}, or train again"
        )
    return splits


def _check_training(folder: Path, train: ModalityDataset, result: dict[str, Any]) -> None:
    """Refuse a training split unlike the run's: other library versions may shuffle otherwise."""
    recorded = result["hashes"].get("train")
    if recorded is not None and training_hash(train) != recorded:
        raise UserError(
            f"{folder}: the training split, made again, has other interactions than that of the "
            f"run; install its versions of the libraries (`versions` in {RESULT}), or train again"
        )


def _check_settings(path: Path, result: dict[str, Any]) -> None:
    """Refuse settings that are not the run's: its weights may fit them and give other scores."""
    recorded = result["hashes"].get("config" if path.name == CONFIG else FINAL_CONFIG)
    try:
        same = recorded is None or settings_hash(path) == recorded
    except (OSError, *YAML_ERRORS):
        # A value that no run writes, such as a date.
        same = False
    if not same:
        raise UserError(
            f"{path}: has other settings than {RESULT} was made with; restore the file or train "
            "again"
        )


def _check_mask(given: str | None, result: dict[str, Any]) -> None:
    """Refuse a mask on the features that is not the run's."""
    recorded = result["hashes"].get("feature_mask")
    if given is not None and recorded is not None and file_hash(Path(given)) != recorded:
        raise UserError(
            f"{given}: is not the mask that {RESULT} was made with; restore the file or train again"
        )


def _read_result(folder: Path) -> dict[str, Any]:
    path = folder / RESULT
    if not folder.is_dir():
        siblings = [entry.name for entry in folder.parent.glob("*") if entry.is_dir()]
        raise UserError(
            f"{folder}: no such folder{did_you_mean(folder.name, siblings)}; name the folder of a "
            "complete run, such as runs/<model>-<dataset>-<time>"
        )
    if not path.is_file():
        if (folder / CONFIG).is_file():
            raise UserError(
                f"{folder}: the run is not complete, there is no {RESULT}; go on with "
                f"`{shell_command(resume=folder)}`"
            )
        inside = [*experiment_runs(folder), *sorted(folder.glob("*"))]
        complete = [path for path in inside if (path / RESULT).is_file()]
        instead = f"name a run in it, such as {complete[0]}" if complete else "name that of a run"
        raise UserError(
            f"{folder}: not a run folder, there is neither config.yaml nor {RESULT}; {instead}"
        )
    try:
        result = parse_json(path.read_text(encoding="utf-8"))
        result["hashes"]["data"], result["versions"]["torch"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UserError(f"{path}: not readable as the result of a run; run it again") from error
    assert isinstance(result, dict)
    return result


def _data_path(
    folder: Path, values: dict[str, Any], result: dict[str, Any], given: str | Path | None
) -> Path:
    """Where the dataset's folder is; a relative path is that of the directory of the run."""
    path = data_path_from_here(folder, values["data_path"], str(result.get("run_folder", ".")))
    path = path if given is None else Path(given)
    if not (path / str(values["dataset"])).is_dir():
        raise UserError(
            f"{path / str(values['dataset'])}: no such folder, and the run was made with the data "
            "in it; name the folder that holds it by `--data-path` (`data_path=` in Python)"
        )
    return path


def _load_weights(
    path: Path, model: Recommender, device: torch.device, result: dict[str, Any]
) -> None:
    advice = "restore the file or train again"
    try:
        known = weights_hash(path) == result["hashes"].get("weights")
    except UserError as error:
        raise UserError(f"{str(error).rpartition('; ')[0]}; {advice}") from error
    if not known:
        raise UserError(f"{path}: is not the checkpoint that {RESULT} was made with; {advice}")
    try:
        load_model(path, model, device)
    except (RuntimeError, KeyError, TypeError, AttributeError, ValueError) as error:
        raise UserError(
            f"{path}: does not fit the model of config.yaml ({reason(error)}); {advice}"
        ) from error


def _warn_of_versions(folder: Path, result: dict[str, Any]) -> None:
    now = versions()
    differing = [
        f"{name} {then} (now {now.get(name, 'missing')})"
        for name, then in result["versions"].items()
        if now.get(name) != then
    ]
    if differing:
        getLogger("recbole_painvrl").warning(
            "%s was made with %s; scores may differ in the last digits",
            folder,
            ", ".join(differing),
        )


@contextmanager
def _callers_state() -> Iterator[None]:
    """Restore afterwards what RecBole sets for the whole process, which other code may rely on."""
    state = global_rng()
    cudnn = torch.backends.cudnn
    flags = cudnn.benchmark, cudnn.deterministic
    visible = os.environ.get(_VISIBLE)
    try:
        yield
    finally:
        restore_global_rng(state)
        if not state["cuda"] and torch.cuda.is_initialized():
            # The caller had not used the GPUs, whose generators begin with the seed of the CPU's.
            torch.cuda.manual_seed_all(torch.initial_seed())
        cudnn.benchmark, cudnn.deterministic = flags
        os.environ.pop(_VISIBLE, None)
        if visible is not None:
            os.environ[_VISIBLE] = visible
