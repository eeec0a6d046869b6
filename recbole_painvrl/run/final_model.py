"""A final model other than UltraGCN: its configuration, and its trainer on the masked features."""

from __future__ import annotations

import copy
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from recbole.data.dataloader.abstract_dataloader import AbstractDataLoader as Loader
from torch import Tensor

from recbole_painvrl.config import RunSettings, SafeConfig
from recbole_painvrl.config.layers import merge
from recbole_painvrl.config.validation import OF_LOG, known_settings
from recbole_painvrl.data.loaders import liked, training_loader
from recbole_painvrl.data.splits.base import TRAIN
from recbole_painvrl.errors import UserError, did_you_mean
from recbole_painvrl.models.base import TableRecommender
from recbole_painvrl.run.build import build_model, build_trainer
from recbole_painvrl.run.checks import check_run, check_saved, check_settings
from recbole_painvrl.run.feature_mask import takes_feature_mask
from recbole_painvrl.run.folder import FINAL_CONFIG, write_config
from recbole_painvrl.run.resume import stored_settings
from recbole_painvrl.specs import spec_of, specs

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from recbole_painvrl.data.dataset import ModalityDataset
    from recbole_painvrl.training.base import RunTrainerMixin

_OWN = "UltraGCN"
# Settings that the final model has in common with the run, whose result names the run's values.
_OF_THE_RUN = frozenset({"model", "dataset", "data_path", "eval_args", *RunSettings.model_fields})
_OF_THE_RUN |= {"seed", "reproducibility", "use_gpu", "gpu_id", "repeatable"}
_OF_THE_RUN |= {"metrics", "topk", "valid_metric", "valid_metric_bigger", "metric_decimal_place"}
_OF_THE_RUN -= {"preset", "select_on", "fast_loader", "ndcg_hits"}
# Settings of the run that do not apply to another model, or of which the run warns.
_NOT_HANDED_ON = frozenset({"model", "model_from", "preset", "feature_mask", *OF_LOG})


def final_config(config: Any, folder: Path | None = None) -> SafeConfig | None:
    """Configuration of the final model; None for UltraGCN, whose settings are those of the run.

    In ascending precedence: the defaults of its own property file, those settings of the user that
    this model has, ``final_settings``.

    Args:
        config: of the run.
        folder: of the run, which keeps it in a file of its own; it is read again from there.

    Raises:
        UserError: no such model, one without features, or a wrong setting of it.
    """
    name, given = config["final_model"], config["final_settings"] or {}
    if name is None or name == _OWN:
        if given:
            raise UserError(
                f"`final_settings`: found {given}, but the final model is {_OWN}, whose settings "
                "are those of the run; set them there, or name another `final_model`"
            )
        return None
    _check(config, str(name))
    of_run = sorted(_OF_THE_RUN & given.keys())
    if of_run:
        raise UserError(
            f"`final_settings: {of_run[0]}`: has no effect, since the final model has the data, "
            "seed, device, metrics and folder of the run; leave it out, or set it for the run"
        )
    path = None if folder is None else folder / FINAL_CONFIG
    if path is not None and path.is_file():
        return _in_folder(
            SafeConfig(overrides=stored_settings(path), overrides_from=str(path)), folder
        )
    values, _ = merge(config._external)
    known = known_settings(str(name), []) - _NOT_HANDED_ON
    handed_on = {key: value for key, value in values.items() if key in known}
    own = {**handed_on, **given, "model": name}
    found = SafeConfig(overrides=own, overrides_from="final_settings and command line")
    if not takes_feature_mask(found):
        raise UserError(f"`final_model`: found {name}, which uses no features with these settings")
    if folder is not None:
        write_config(folder, found.effective(), FINAL_CONFIG)
    return _in_folder(found, folder)


def check_final(
    config: SafeConfig, parts: Mapping[str, ModalityDataset], said: Collection[str] = ()
) -> None:
    """Refuse at once what would end the run when its last stage begins.

    The model is built and dropped: every model checks its settings when it is built. As the mask is
    not known yet, it is one of zeros, with which no nearest items are searched. A model of the
    features alone has all of them, since its ridge may be too small for them.

    Args:
        config: of the final model.
        parts: all splits.
        said: warnings about settings of the run, which are not repeated.

    Raises:
        UserError: the first setting that cannot work.
    """
    check_saved(config)
    check_settings(config, said)
    spec = spec_of(config["model"])
    keeps = spec is not None and getattr(spec.model, "content_only", False)
    mask = torch.full((parts[TRAIN].features.matrix.shape[1],), float(keeps))
    train = _masked(parts[TRAIN], mask)
    # Nothing is saved in the dataset's folder: with the learnt mask other items are nearest.
    train.folder = None
    check_run(config, build_model(config, train), parts)
    training_loader(config, liked(config, parts[TRAIN]))


def final_trainer(
    config: Any, folder: Path, train: ModalityDataset, mask: Tensor
) -> tuple[RunTrainerMixin, Loader]:
    """Trainer and training loader of the final model, as of a run of that model.

    Args:
        config: of the run.
        folder: of the run.
        train: the training split.
        mask: m, ``[d]``.
    """
    found = final_config(config, folder)
    assert found is not None
    masked = _masked(train, mask.cpu())
    trainer = build_trainer(found, build_model(found, masked))
    return trainer, training_loader(found, liked(found, masked))


def _masked(train: ModalityDataset, mask: Tensor) -> Any:
    masked: Any = copy.copy(train)
    masked.features = replace(train.features, mask=mask)
    return masked


def _in_folder(config: SafeConfig, folder: Path | None) -> SafeConfig:
    if folder is not None:
        config["run_folder"] = str(folder)
        config["checkpoint_dir"] = str(folder / "checkpoint")
    return config


def _check(config: Any, name: str) -> None:
    """Refuse what cannot be a final model."""
    if not isinstance(config, SafeConfig):
        raise UserError(
            f"`final_model`: found {name}, which RecBole's own run_recbole cannot train; use "
            "`python run_recbole.py` of this project"
        )
    spec = spec_of(name)
    possible = [
        one.name
        for one in specs().values()
        if issubclass(one.model, TableRecommender) and not one.model.learns_mask
    ]
    if spec is None or name not in possible:
        raise UserError(
            f"`final_model`: found {name}, expected a model with features, one of "
            f"{', '.join(possible)}{did_you_mean(name, possible)}"
        )
    if config["mask_form"] == "validation":
        raise UserError(
            f"`mask_form: validation`: compares masks for {_OWN} alone; with `final_model: {name}` "
            "set auto, soft or binary"
        )
