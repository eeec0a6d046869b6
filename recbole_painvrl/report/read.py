"""Reads run folders, which may be untrusted: nothing is unpickled, types are checked."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import pandas as pd
import yaml
from pydantic import BaseModel, ConfigDict, TypeAdapter, ValidationError

from recbole_painvrl.config.loading import BoundedLoader
from recbole_painvrl.errors import UserError
from recbole_painvrl.reading import Array, is_number, parse_json, read_arrays, reason
from recbole_painvrl.run import RESULT
from recbole_painvrl.run.folder import CONFIG, FINAL_CONFIG, PER_USER, is_run

T = TypeVar("T")
Metrics = dict[str, dict[str, float | None]]
# Bytes of a log in which its last line is looked for.
_LOG_TAIL = 1 << 16
_ADVICE = "restore the file or run again"


class Stage(BaseModel):
    """One entry of ``stages``; its other values differ by stage, see :meth:`numbers`."""

    model_config = ConfigDict(extra="allow")
    name: str
    seconds: float = 0.0
    peak_memory_mb: float = 0.0
    epochs: int | None = None
    best_epoch: int | None = None
    history: list[dict[str, Any]] = []

    def numbers(self, name: str) -> list[float]:
        """Another value of the entry as a list of numbers; empty if it is not numeric."""
        value: Any = (self.model_extra or {}).get(name)
        values = value if isinstance(value, list) else [value]
        return [float(v) for v in values if is_number(v)]


# Start of the `edition` in a manifest -> name of the variant.
_VARIANTS = {"embedded": "embedded variant", "real features": "real features"}


class _Record(BaseModel):
    """What ``result.json`` and ``trial.json`` have in common."""

    model_config = ConfigDict(extra="allow")
    dataset: str
    metrics: Metrics
    edition: str = "not recorded"
    data: dict[str, int] = {}
    versions: dict[str, str] = {}

    @property
    def data_name(self) -> str:
        """The dataset, with its variant where two have the same name (``ml-trailers``)."""
        variant = _VARIANTS.get(self.edition.partition(" (")[0])
        return f"{self.dataset}, {variant}" if variant else self.dataset


class Result(_Record):
    """The values of ``result.json`` that a report reads."""

    model: str
    protocol: str
    seed: int
    valid_metric: str = ""
    split: dict[str, Any] = {}
    modalities: dict[str, dict[str, int]] = {}
    stages: list[Stage] = []
    seconds: float = 0.0
    peak_memory_mb: float = 0.0
    threads: int | None = None
    device: str = ""
    hashes: dict[str, str] = {}
    command: list[str] = []
    mask: dict[str, Any] = {}
    planted: dict[str, Any] = {}
    shift: dict[str, Any] = {}
    answer: dict[str, Any] = {}

    @property
    def n_compared(self) -> int:
        """Number of modalities in which the shift was measured."""
        modalities = self.shift.get("modalities")
        return len(modalities) if isinstance(modalities, dict) else -1


class TrialRecord(_Record):
    """The values of ``trial.json`` that a report reads; a trial of ``tune`` has no test."""

    dataset: str = "?"
    trial: int = 0
    protocol: str = "not recorded"
    seconds: float | None = None
    peak_memory_mb: float | None = None


def mapping(value: Any) -> dict[str, Any]:
    """The value if it is a mapping, else an empty one: files may hold anything."""
    return value if isinstance(value, dict) else {}


@dataclass(frozen=True)
class RunData:
    """Everything a report reads from one run folder.

    Attributes:
        folder: the run folder, as the user named it.
        config: ``config.yaml``: setting -> ``{"value", "from"}``.
        result: ``result.json``; None if the run is not complete.
        mask: arrays of ``mask.npz``; empty if it is missing.
        environments: arrays of ``environments.npz``; empty if it is missing.
        per_user: ``per_user.parquet``; None if it is missing.
        last_line: last line of ``train.log``.
        trial: ``trial.json`` of a trial of ``tune``; without metrics for all other runs.
        final: ``final.yaml``, of another final model; empty if it is missing.
    """

    folder: Path
    config: dict[str, dict[str, Any]]
    result: Result | None
    mask: dict[str, Array]
    environments: dict[str, Array]
    per_user: pd.DataFrame | None
    last_line: str
    trial: TrialRecord = field(default_factory=lambda: TrialRecord(metrics={}))
    final: dict[str, dict[str, Any]] = field(default_factory=dict)

    def value(self, name: str) -> Any:
        """A setting of the run, or None."""
        return self.config.get(name, {}).get("value")

    def final_value(self, name: str) -> Any:
        """A setting of the final model, which may be another one with its own; or None."""
        return (self.final or self.config).get(name, {}).get("value")

    @property
    def done(self) -> Result:
        """The result of a complete run."""
        assert self.result is not None
        return self.result

    @property
    def modalities(self) -> list[str]:
        """Modalities of the mask."""
        return [name for name in self.mask if "/" not in name]

    def rounds(self) -> int:
        """Outer rounds of the mask stage."""
        return len({name.split("/")[0] for name in self.mask if name.startswith("round ")})


def read_run(folder: Path) -> RunData:
    """Read one run folder, complete or not.

    Raises:
        UserError: not a run folder, or one of its files cannot be read; the message names it.
    """
    if not is_run(folder):
        raise UserError(
            f"{folder}: not a run folder, there is neither {CONFIG} nor {RESULT}; name a run folder"
        )

    def read(name: str, reader: Callable[[Path], T], absent: T) -> T:
        path = folder / name
        return read_file(path, reader) if path.is_file() else absent

    return RunData(
        folder,
        read(CONFIG, _read_config, {}),
        read(RESULT, _read_result, None),
        read("mask.npz", _read_mask, {}),
        read("environments.npz", _read_environments, {}),
        read(PER_USER, read_per_user, None),
        read("train.log", _read_last_line, ""),
        read("trial.json", _read_trial, TrialRecord(metrics={})),
        read(FINAL_CONFIG, _read_config, {}),
    )


def read_file(path: Path, reader: Callable[[Path], T]) -> T:
    """Result of a reader.

    Raises:
        UserError: the file is damaged; the message names it.
    """
    try:
        return reader(path)
    except ValidationError as error:
        first = error.errors()[0]
        name = ".".join(map(str, first["loc"]))
        raise UserError(f"{path}: damaged: `{name}`: {first['msg'].lower()}; {_ADVICE}") from error
    except UserError:
        raise
    # Any exception of the parsers means that the file is damaged.
    except Exception as error:
        raise UserError(f"{path}: damaged ({reason(error)}); {_ADVICE}") from error


def _read_result(path: Path) -> Result | None:
    return Result.model_validate(parse_json(path.read_text(encoding="utf-8")))


def _read_config(path: Path) -> dict[str, dict[str, Any]]:
    content = yaml.load(path.read_text(encoding="utf-8"), Loader=BoundedLoader)
    config = TypeAdapter(dict[str, dict[str, Any]]).validate_python(content)
    if not all({"value", "from"} <= set(entry) for entry in config.values()):
        raise ValueError("expected settings with `value` and `from`")
    return config


def _read_trial(path: Path) -> TrialRecord:
    return TrialRecord.model_validate(parse_json(path.read_text(encoding="utf-8")))


def read_per_user(path: Path) -> pd.DataFrame | None:
    """``per_user.parquet``; None where the run has only metrics without values per user.

    Raises:
        ValueError: it does not have the columns of such a file.
    """
    frame = pd.read_parquet(path)
    # Metrics over all interactions, such as AUC, have no value per user.
    if frame.empty and set(frame.columns) <= {"test_set", "user_id"}:
        return None
    for name in ("test_set", "user_id"):
        if name not in frame:
            raise ValueError(f"there is no column `{name}`")
    for name in frame.columns.difference(["test_set", "user_id"]):
        if not pd.api.types.is_numeric_dtype(frame[name]):
            raise ValueError(f"`{name}` is not numeric")
    return frame


def _read_mask(path: Path) -> dict[str, Array]:
    arrays = read_arrays(path, _ADVICE)
    for name, array in arrays.items():
        numbers = array.ndim == 1 and array.size > 0 and array.dtype.kind in "biuf"
        if not numbers or not np.isfinite(array).all():
            raise ValueError(f"`{name}` is not a vector of finite numbers")
    return arrays


def _read_environments(path: Path) -> dict[str, Array]:
    arrays = read_arrays(path, _ADVICE)
    needed = [arrays.get(name) for name in ("environment", "user_id", "item_id")]
    shapes = {None if array is None else array.shape for array in needed}
    length = shapes.pop()
    if shapes or not length or len(length) != 1 or arrays["environment"].dtype.kind not in "iu":
        raise ValueError("expected environment, user_id and item_id of one length")
    if not all(array.size and array.dtype.kind in "biufU" for array in arrays.values()):
        raise ValueError("expected arrays of numbers or text")
    return arrays


def _read_last_line(path: Path) -> str:
    with open(path, "rb") as stream:
        stream.seek(max(0, path.stat().st_size - _LOG_TAIL))
        lines = stream.read().decode(errors="replace").strip().splitlines()
    return lines[-1] if lines else ""
