"""What a run is before it begins: hashes of its data, its configuration and its code."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

from recbole_painvrl.config import SafeConfig
from recbole_painvrl.data.feature_mask import mask_file
from recbole_painvrl.data.folder import dataset_hash, dataset_stamp, file_hash, read_manifest
from recbole_painvrl.errors import UserError
from recbole_painvrl.run.code import run_code
from recbole_painvrl.run.final_model import final_config
from recbole_painvrl.run.folder import config_hash

if TYPE_CHECKING:
    from recbole_painvrl.data.dataset import ModalityDataset

# Not part of a run's identity: the device depends on the machine, and of a mask only the content
# counts, which is hashed with the data.
_MACHINE = ("gpu_id", "feature_mask")


def identity(config: SafeConfig, data: str, code: str) -> dict[str, str]:
    """Identity of a run with this configuration: hashes of ``data``, ``config`` and ``code``.

    Args:
        config: of the run.
        data: hash of the dataset, see :func:`data_hash`.
        code: hash of the package's code.
    """
    if config["feature_mask"] is not None:
        mask = file_hash(mask_file(Path(config["feature_mask"])))
        data = hashlib.sha256(f"{data} {mask}".encode()).hexdigest()
    settings = _config_hash(config)
    final = final_config(config) if "final_model" in config else None
    if final is not None:
        settings = hashlib.sha256(f"{settings} {_config_hash(final)}".encode()).hexdigest()
    return {"data": data, "config": settings, "code": run_code(config, code)}


def data_hash(folder: Path) -> str:
    """SHA-256 of all that a run reads from a dataset folder: data, planted truth, protocol."""
    total = hashlib.sha256(dataset_hash(folder).encode())
    total.update(str(read_manifest(folder).get("default_protocol")).encode())
    total.update(_truth(folder))
    return total.hexdigest()


def data_origin(dataset: ModalityDataset) -> dict[str, str]:
    """The same, by name, of the data of a run that begins: each must be as it was to resume it.

    Raises:
        UserError: the files changed after the run began to read them.
    """
    data = dataset_hash(dataset.folder)
    if dataset_stamp(dataset.folder) != dataset.stamp:
        raise UserError(f"{dataset.folder}: changed while the run read it; start again")
    return {
        "data": data,
        "truth": hashlib.sha256(_truth(dataset.folder)).hexdigest(),
        # The manifest's, unless it is set.
        "protocol": dataset.protocol,
    }


def _truth(folder: Path) -> bytes:
    """Names and hashes of the files of planted truth."""
    paths = sorted((folder / "truth").glob("*.tsv"))
    return "".join(f"{path.name}\t{file_hash(path)}\n" for path in paths).encode()


def _config_hash(config: SafeConfig) -> str:
    values: dict[str, Any] = config.effective()
    return config_hash({name: v for name, v in values.items() if name not in _MACHINE})
