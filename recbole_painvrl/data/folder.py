"""The dataset folder: what it holds, how it is written whole, how it is read back."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from recbole_painvrl.atomic import atomic_file, write_json, write_with
from recbole_painvrl.errors import UserError

BoolArray = npt.NDArray[np.bool_]
FloatArray = npt.NDArray[np.floating[Any]]
IntArray = npt.NDArray[np.integer[Any]]

MANIFEST = "manifest.json"
_CHUNK = 1 << 20
_AGAIN = "delete the folder and prepare the dataset again with `python -m dataset_prep`"
_TYPES = {"user_id": "token", "item_id": "token", "timestamp": "float"}
# Strings that RecBole, which reads by pandas' defaults, would take for a missing value.
_MISSING = frozenset(("", "<NA>", "N/A", "NA", "NULL", "NaN", "None", "n/a", "nan", "null")) | {
    *("#N/A", "#N/A N/A", "#NA", "-1.#IND", "-1.#QNAN", "-NaN", "-nan", "1.#IND", "1.#QNAN")
}


class FolderExistsError(UserError):
    """The dataset folder is already there; nothing was written."""


@dataclass
class Truth:
    """What was planted: invariant columns per modality, environment of each mixture interaction.

    ``columns[modality]`` is [d] with True = invariant; a modality without an entry has no known
    truth. ``environments`` has the string columns user_id, item_id, environment.
    """

    columns: dict[str, BoolArray]
    environments: pd.DataFrame


@dataclass
class DatasetContent:
    """A dataset in memory, ready for :func:`write_dataset`.

    ``interactions`` and every frame of ``splits`` have user_id, item_id and optionally timestamp;
    ``item_table`` has RecBole's typed column names (``item_id:token``, ``movie_title:token_seq``);
    ``features[modality]`` is (matrix [n_rows, d], item token of each row).
    """

    name: str
    edition: str
    source: str
    licence: str
    interactions: pd.DataFrame
    splits: dict[str, pd.DataFrame] = field(default_factory=dict)
    item_table: pd.DataFrame | None = None
    features: dict[str, tuple[FloatArray, list[str]]] = field(default_factory=dict)
    truth: Truth | None = None
    default_protocol: str = "random"
    counts: dict[str, int] = field(default_factory=dict)
    encoders: dict[str, str] = field(default_factory=dict)


def write_dataset(content: DatasetContent, folder: Path) -> None:
    """Write the folder in one step: it is complete when it appears, or it never appears.

    Raises :class:`FolderExistsError` when the folder exists, :class:`UserError` when the content
    is inconsistent or the place cannot be written.
    """
    _check(content)
    try:
        with _new_folder(folder) as work:
            _write_files(content, work)
            write_json(work / MANIFEST, _manifest(content, work))
    except OSError as error:
        raise UserError(
            f"{folder}: cannot be written ({error.strerror or error}); nothing was left behind, "
            "free the space or choose another folder"
        ) from error


def read_manifest(folder: Path) -> dict[str, Any]:
    """Content of ``manifest.json``; empty when the folder has none.

    Raises :class:`UserError` when the file is not a JSON object.
    """
    path = folder / MANIFEST
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except (ValueError, OSError) as error:
        raise UserError(f"{path}: not readable as JSON ({error}); {_AGAIN}") from error
    if not isinstance(value, dict):
        raise UserError(f"{path}: holds a {type(value).__name__} instead of an object; {_AGAIN}")
    return value


def read_truth(folder: Path) -> Truth | None:
    """Planted truth of the folder, or None where nothing was planted.

    Raises :class:`UserError` when only a part of it is there or a row cannot be read.
    """
    if not (folder / "truth").is_dir():
        return None
    columns = _read_table(folder / "truth" / "columns.tsv", ["modality", "column", "invariant"])
    environments = _read_table(
        folder / "truth" / "environments.tsv", ["user_id", "item_id", "environment"]
    )
    planted: dict[str, BoolArray] = {}
    for modality, rows in columns.groupby("modality", sort=False):
        numbers = rows["column"].tolist()
        if (
            numbers != [str(n) for n in range(len(rows))]
            or not rows["invariant"].isin(["0", "1"]).all()
        ):
            raise UserError(
                f"{folder / 'truth' / 'columns.tsv'}: the columns of modality {modality} are not "
                f"numbered 0 to {len(rows) - 1} with invariant 0 or 1; {_AGAIN}"
            )
        planted[str(modality)] = (rows["invariant"] == "1").to_numpy(dtype=np.bool_)
    return Truth(columns=planted, environments=environments)


def dataset_hash(folder: Path) -> str:
    """SHA-256 over names and content of all .inter, .item, .user and features files, streamed."""
    paths = [p for p in folder.iterdir() if p.suffix in (".inter", ".item", ".user")]
    paths += list((folder / "features").glob("*"))
    total = hashlib.sha256()
    for path in sorted(p for p in paths if p.is_file()):
        total.update(f"{path.relative_to(folder).as_posix()}\t{file_hash(path)}\n".encode())
    return total.hexdigest()


def file_hash(path: Path) -> str:
    """SHA-256 of one file, read in pieces."""
    digest = hashlib.sha256()
    with open(path, "rb") as stream:
        while chunk := stream.read(_CHUNK):
            digest.update(chunk)
    return digest.hexdigest()


def _check(content: DatasetContent) -> None:
    """Raise :class:`UserError` where the content would make a folder that cannot be trusted."""
    where = f"dataset {content.name}"
    for name in (content.name, *content.splits, *content.features):
        if not re.fullmatch(r"\w[\w.-]*", name):
            raise UserError(
                f"{where}: the name {name!r} cannot become a file name; use letters, digits, `_`, "
                "`-` and `.`, starting with a letter or digit"
            )
    if content.interactions.empty:
        raise UserError(f"{where}: has no interaction left; loosen the filters or check the input")
    for column in ("user_id", "item_id"):
        tokens = content.interactions[column]
        bad = tokens[tokens.isin(_MISSING) | tokens.str.contains(r"[\t\r\n]", regex=True)]
        if len(bad):
            raise UserError(
                f"{where}: {len(bad)} {column} values cannot be stored as tokens, first "
                f"{bad.iloc[0]!r}; rename ids that are empty, hold a tab or read as missing"
            )
    if content.splits:
        pairs = pd.concat(
            [frame[["user_id", "item_id"]].drop_duplicates() for frame in content.splits.values()]
        )
        twice = pairs[pairs.duplicated()]
        if len(twice):
            raise UserError(
                f"{where}: {len(twice)} (user, item) pairs are in two splits, first "
                f"{tuple(twice.iloc[0])}; remove each from all splits but one"
            )
    for modality, (matrix, rows) in content.features.items():
        if matrix.ndim != 2 or matrix.shape[0] != len(rows) or len(set(rows)) != len(rows):
            raise UserError(
                f"{where}: features {modality} have shape {matrix.shape} for {len(rows)} item ids "
                f"({len(set(rows))} different); give one row per item"
            )


@contextmanager
def _new_folder(folder: Path) -> Iterator[Path]:
    """Give a hidden folder beside ``folder`` and rename it into place after a clean exit."""
    if folder.exists():
        raise FolderExistsError(f"{folder}: exists already; choose another folder or delete it")
    folder.parent.mkdir(parents=True, exist_ok=True)
    work = folder.with_name(f".{folder.name}.{uuid.uuid4().hex}.tmp")
    try:
        work.mkdir()
        yield work
        for directory in [*(p for p in work.rglob("*") if p.is_dir()), work]:
            _sync(directory)
        try:
            os.rename(work, folder)
        except OSError as error:
            # Another process finished the same folder meanwhile: rename refuses a full target.
            if not folder.exists():
                raise
            raise FolderExistsError(f"{folder}: was written by another process") from error
        _sync(folder.parent)
    finally:
        shutil.rmtree(work, ignore_errors=True)


def _sync(directory: Path) -> None:
    """Make the entries of a directory survive a power cut."""
    handle = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _write_files(content: DatasetContent, work: Path) -> None:
    name = content.name
    _write_interactions(work / f"{name}.inter", content.interactions)
    for split, frame in content.splits.items():
        _write_interactions(work / f"{name}.{split}.inter", frame)
    if content.item_table is not None:
        _write_table(work / f"{name}.item", content.item_table)
    for modality, (matrix, tokens) in content.features.items():
        _write_matrix(work / "features" / f"{modality}.npy", matrix)
        rows = pd.DataFrame({"row": np.arange(len(tokens)), "item_id": tokens})
        _write_table(work / "features" / f"{modality}.items.tsv", rows)
    if content.truth is not None:
        columns = [
            pd.DataFrame(
                {
                    "modality": modality,
                    "column": np.arange(len(mask)),
                    "invariant": mask.astype(int),
                }
            )
            for modality, mask in content.truth.columns.items()
        ]
        empty = pd.DataFrame(columns=["modality", "column", "invariant"])
        _write_table(work / "truth" / "columns.tsv", pd.concat(columns) if columns else empty)
        _write_table(work / "truth" / "environments.tsv", content.truth.environments)


def _write_matrix(path: Path, matrix: FloatArray) -> None:
    write_with(path, lambda stream: np.save(stream, matrix, allow_pickle=False))


def _write_interactions(path: Path, frame: pd.DataFrame) -> None:
    columns = [column for column in _TYPES if column in frame.columns]
    typed = frame[columns].copy()
    if "timestamp" in columns and (typed["timestamp"] % 1 == 0).all():
        typed["timestamp"] = typed["timestamp"].astype("int64")
    typed.columns = pd.Index([f"{column}:{_TYPES[column]}" for column in columns])
    _write_table(path, typed)


def _write_table(path: Path, frame: pd.DataFrame) -> None:
    with atomic_file(path) as stream:
        frame.to_csv(stream, sep="\t", index=False, lineterminator="\n", encoding="utf-8")


def _read_table(path: Path, expected: list[str]) -> pd.DataFrame:
    try:
        frame = pd.read_csv(path, sep="\t", dtype=str, keep_default_na=False)
    except FileNotFoundError as error:
        raise UserError(f"{path}: missing although the folder has a truth; {_AGAIN}") from error
    except (ValueError, OSError) as error:
        raise UserError(f"{path}: not a table ({str(error).splitlines()[0]}); {_AGAIN}") from error
    if list(frame.columns) != expected:
        raise UserError(
            f"{path}: has columns {list(frame.columns)} instead of {expected}; {_AGAIN}"
        )
    return frame


def _manifest(content: DatasetContent, work: Path) -> dict[str, Any]:
    items = set(content.interactions["item_id"])
    modalities = {}
    for modality, (matrix, tokens) in content.features.items():
        covered = len(items.intersection(tokens))
        modalities[modality] = {
            "rows": matrix.shape[0],
            "dims": matrix.shape[1],
            "dtype": str(matrix.dtype),
            "encoder": content.encoders.get(modality, "not recorded"),
            "normalisation": "none in the file; rows are divided by their L2 norm on loading",
            "coverage": {"items": covered, "of": len(items), "share": covered / len(items)},
        }
    files = sorted(p for p in work.rglob("*") if p.is_file())
    return {
        "name": content.name,
        "edition": content.edition,
        "source": content.source,
        "licence": content.licence,
        "default_protocol": content.default_protocol,
        "planted": content.truth is not None,
        "splits": {split: len(frame) for split, frame in content.splits.items()},
        "modalities": modalities,
        "counts": dict(content.counts),
        "sha256": {p.relative_to(work).as_posix(): file_hash(p) for p in files},
    }
