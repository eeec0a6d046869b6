"""The run folder: who made this result, from what, with which figures."""

from __future__ import annotations

import hashlib
import importlib.metadata
import io
import json
import platform
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import yaml

from recbole_painvrl.atomic import make_folder, write_bytes, write_json, write_with
from recbole_painvrl.config.base import ConfigLike
from recbole_painvrl.errors import UserError
from recbole_painvrl.reading import Array
from recbole_painvrl.run import RESULT

_DUMPER = yaml.CSafeDumper if yaml.__with_libyaml__ else yaml.SafeDumper
CONFIG = "config.yaml"
PER_USER = "per_user.parquet"
# Of the final model, where it is another than that of the run.
FINAL_CONFIG = "final.yaml"

# Where a run is written and how it is shown does not change what it computes, nor does reading
# `feature_mask` from the copy in its folder.
_NOT_HASHED = frozenset(
    [
        "output_dir",
        "run_name",
        "run_folder",
        "feature_mask_file",
        "show_progress",
        "checkpoint_dir",
        "data_path",
        "state",
        "resume",
        "memory_check",
        "profile",
    ]
)
_PACKAGES = ("recbole", "torch", "numpy", "pandas", "scipy", "scikit-learn", "safetensors")


def create_run_folder(output_dir: str, run_name: str | None, model: str, dataset: str) -> Path:
    """Make the folder of a new run.

    Raises:
        UserError: a folder of that name exists, or it cannot be made.
    """
    stamp = datetime.now().strftime("%Y%m%d-%H%M%S-%f")[:-3]
    folder = Path(output_dir) / (run_name or f"{model}-{dataset}-{stamp}")
    try:
        make_folder(folder, "--output_dir", exist_ok=False)
    except FileExistsError as error:
        raise UserError(
            f"{folder}: the run folder exists; choose another `--run_name` or remove it"
        ) from error
    return folder


def is_run(folder: Path) -> bool:
    """Whether a folder has what every run has from its beginning or at its end."""
    return (folder / RESULT).is_file() or (folder / CONFIG).is_file()


def experiment_runs(folder: Path) -> list[Path]:
    """The run folders in a folder of ``benchmark``, ``ablate`` or ``tune``."""
    found = [*sorted(folder.glob("cells/*")), *sorted(folder.glob("trial-*"))]
    return [path for path in found if is_run(path)]


def write_config(folder: Path, effective: Mapping[str, Any], name: str = CONFIG) -> None:
    """Write ``config.yaml``: every setting with its source."""
    text = yaml.dump(_plain(effective), Dumper=_DUMPER, sort_keys=True, allow_unicode=True)
    write_bytes(folder / name, text.encode())


def config_hash(effective: Mapping[str, Any]) -> str:
    """SHA-256 of every setting that changes what a run computes."""
    values = {k: v["value"] for k, v in effective.items() if k not in _NOT_HASHED}
    return hashlib.sha256(json.dumps(_plain(values), sort_keys=True).encode()).hexdigest()


def write_per_user(folder: Path, frame: pd.DataFrame) -> None:
    """Write ``per_user.parquet``: one row per test set and user."""
    write_with(folder / PER_USER, lambda stream: frame.to_parquet(stream, index=False))


def write_arrays(path: Path, arrays: Mapping[str, Array]) -> None:
    """Write a compressed npz of plain arrays, by name: the same arrays give the same bytes."""
    buffer = io.BytesIO()
    np.savez_compressed(buffer, **dict(sorted(arrays.items())))  # type: ignore[arg-type]
    write_bytes(path, buffer.getvalue())


def write_result(folder: Path, result: Mapping[str, Any]) -> None:
    """Write ``result.json``, the last file of a run."""
    write_json(folder / RESULT, _plain(result))


def versions() -> dict[str, str]:
    """Python and the packages that figures depend on."""
    from recbole_painvrl import __version__

    packages = {name: importlib.metadata.version(name) for name in _PACKAGES}
    return {"recbole_painvrl": __version__, "python": platform.python_version(), **packages}


def origin(
    config: ConfigLike, data: Mapping[str, str], settings_hash: str, code: str, threads: int
) -> dict[str, str]:
    """What the figures of a run depend on, by name: data, settings, code, versions and machine."""
    # The number of CPU threads does not change what a GPU computes.
    on_cpu = {"threads": str(threads)} if str(config["device"]) == "cpu" else {}
    return on_cpu | {
        **data,
        "settings": settings_hash,
        "code": code,
        **versions(),
        "device": str(config["device"]),
        "processor": platform.machine(),
    }


def _plain(value: Any) -> Any:
    """Plain Python values; NaN and infinities become None, since JSON has no name for them."""
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, float) and not np.isfinite(value):
        return None
    return value
