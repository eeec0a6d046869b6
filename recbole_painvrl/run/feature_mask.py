"""Which learnt mask a run may use: one that has not seen the run's tests."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from recbole_painvrl.config.mappings import DatasetSettings
from recbole_painvrl.config.settings import DATA_SETTINGS
from recbole_painvrl.data.feature_mask import COPY, mask_file
from recbole_painvrl.data.folder import dataset_hash
from recbole_painvrl.errors import UserError
from recbole_painvrl.models.base import TableRecommender
from recbole_painvrl.reading import parse_json
from recbole_painvrl.run.folder import CONFIG, RESULT, write_arrays
from recbole_painvrl.run.resume import stored_entries
from recbole_painvrl.specs import spec_of

if TYPE_CHECKING:
    from recbole_painvrl.config import SafeConfig
    from recbole_painvrl.data.dataset import ModalityDataset

# Settings that decide which interactions are in the training split; those of features are free.
_SPLIT = (
    *(set(DATA_SETTINGS) - {"modalities", "missing_modality", "unknown_items"}),
    *DatasetSettings.model_fields,
    "eval_args",
)


def check_feature_mask(config: SafeConfig) -> None:
    """Refuse a mask that the model would ignore, or that was learnt on other interactions.

    A mask learnt on another split may have seen this run's tests. A file that is not in a run
    folder is the user's own and is not checked.

    Raises:
        UserError: naming the reason.
    """
    given = config["feature_mask"]
    if given is None or config["feature_mask_file"] is not None:
        return
    spec = spec_of(config["model"])
    if spec is None or not issubclass(spec.model, TableRecommender) or config["modalities"] == []:
        raise UserError(
            f"`feature_mask`: found {given}, but {config['model']} uses no features here; leave "
            "it out"
        )
    if spec.model.learns_mask:
        raise UserError(
            f"`feature_mask`: found {given}, but {config['model']} learns its own mask; leave it "
            "out, or train the final model on it by --model=UltraGCN"
        )
    folder = mask_file(Path(given)).parent
    if (folder / CONFIG).is_file():
        _check_run(config, folder)


def _check_run(config: SafeConfig, folder: Path) -> None:
    try:
        result = parse_json((folder / RESULT).read_text(encoding="utf-8"))
        learnt_on = result["hashes"]["data"]
    except (OSError, ValueError, LookupError, TypeError) as error:
        raise UserError(
            f"`feature_mask`: {folder} is not a complete run; name one with a {RESULT}"
        ) from error
    if learnt_on != dataset_hash(Path(config["data_path"])):
        raise UserError(
            f"`feature_mask`: the mask of {folder} was learnt on other data than "
            f"{config['data_path']}, so its columns and its training interactions are others; "
            "learn a mask on this dataset"
        )
    stored: dict[str, Any] = {n: e["value"] for n, e in stored_entries(folder / CONFIG).items()}
    names = [*_SPLIT, *(("seed",) if result["protocol"] == "random" else ())]
    for name in names:
        if name in stored and stored[name] != config[name]:
            raise UserError(
                f"`feature_mask`: {folder} has `{name}: {stored[name]}`, this run "
                f"`{config[name]}`: its mask was learnt on another split and may have seen this "
                "run's tests; set both alike"
            )


def keep_feature_mask(dataset: ModalityDataset, folder: Path) -> None:
    """Copy the mask in use into the run folder, which needs nothing else to be opened again."""
    mask = dataset.features.mask
    if mask is not None:
        slices = dataset.features.slices
        arrays = {name: mask[columns].numpy() for name, columns in slices.items()}
        write_arrays(folder / COPY, arrays)


def use_kept_mask(config: SafeConfig, folder: Path) -> None:
    """Read the mask from the run folder's copy, wherever the original is now."""
    if config["feature_mask"] is not None and (folder / COPY).is_file():
        config["feature_mask_file"] = str(folder / COPY)
