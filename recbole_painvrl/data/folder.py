"""The dataset folder: what it holds, how it is written whole, how it is read back."""

from __future__ import annotations

import glob
import hashlib
import os
import re
import shutil
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from recbole_painvrl.atomic import (
    atomic_file,
    is_write_failure,
    write_failure,
    write_json,
    write_with,
)
from recbole_painvrl.data.streams import (
    MatrixStream,
    pairs_in_two,
    put_in_place,
    save_interactions,
    save_matrix,
)
from recbole_painvrl.errors import UserError, WriteError, short
from recbole_painvrl.locks import LOCK, file_lock, remove_abandoned
from recbole_painvrl.reading import DAMAGED, read_json_object, reason

BoolArray = npt.NDArray[np.bool_]
FloatArray = npt.NDArray[np.floating[Any]]
IntArray = npt.NDArray[np.integer[Any]]

MANIFEST = "manifest.json"
_CHUNK = 1 << 20
_AGAIN = "delete the folder and prepare the dataset again with `python -m dataset_prep`"
_TYPES = {"user_id": "token", "item_id": "token", "rating": "float", "timestamp": "float"}
# Strings that RecBole, which reads by pandas' defaults, would take for a missing value.
MISSING_TOKENS = frozenset((
    "", "<NA>", "N/A", "NA", "NULL", "NaN", "None", "n/a", "nan", "null", "#N/A", "#N/A N/A",
    "#NA", "-1.#IND", "-1.#QNAN", "-NaN", "-nan", "1.#IND", "1.#QNAN",
))  # fmt: skip


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

    ``interactions`` and every frame of ``splits`` have user_id, item_id and optionally rating and
    timestamp; the ids are strings, or categories of strings that all frames share (large data);
    ``item_table`` has RecBole's typed column names (``item_id:token``, ``movie_title:token_seq``);
    ``features[modality]`` is (matrix [n_rows, d] or a stream of it, item token of each row);
    ``modality_notes`` and ``provenance`` go into the manifest as they are.
    """

    name: str
    edition: str
    source: str
    licence: str
    interactions: pd.DataFrame
    splits: dict[str, pd.DataFrame] = field(default_factory=dict)
    item_table: pd.DataFrame | None = None
    features: Mapping[str, tuple[FloatArray | MatrixStream, list[str]]] = field(
        default_factory=dict
    )
    truth: Truth | None = None
    default_protocol: str = "random"
    counts: dict[str, int] = field(default_factory=dict)
    encoders: dict[str, str] = field(default_factory=dict)
    modality_notes: dict[str, dict[str, Any]] = field(default_factory=dict)
    provenance: dict[str, Any] = field(default_factory=dict)


def write_dataset(content: DatasetContent, folder: Path, replace: bool = False) -> None:
    """Write the folder in one step: it is complete when it appears, or it never appears.

    With ``replace`` an existing dataset folder stays as it is until the new one takes its place.
    Raises :class:`FolderExistsError` when the folder exists, :class:`UserError` when the content
    is inconsistent or the place is no place for a folder, :class:`WriteError` when the disk is
    full or the place cannot be written.
    """
    _check(content)
    try:
        with _new_folder(folder, replace) as work:
            _write_files(content, work)
            write_json(work / MANIFEST, _manifest(content, work))
    except OSError as error:
        if isinstance(error, WriteError) or is_write_failure(error):
            # Named is the folder, not the hidden one in which it was made.
            raise write_failure(folder, error) from error
        raise UserError(
            f"{folder}: cannot be written ({error.strerror or error}); nothing was left behind, "
            "choose another folder"
        ) from error


def read_manifest(folder: Path) -> dict[str, Any]:
    """Content of ``manifest.json``; empty when the folder has none.

    Raises :class:`UserError` when the file is not a JSON object.
    """
    try:
        return read_json_object(folder / MANIFEST, _AGAIN)
    except FileNotFoundError:
        return {}


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
        if isinstance(tokens.dtype, pd.CategoricalDtype):
            tokens = pd.Series(tokens.cat.categories)
        bad = tokens[tokens.isin(MISSING_TOKENS) | tokens.str.contains(r"[\t\r\n]", regex=True)]
        if len(bad):
            raise UserError(
                f"{where}: {len(bad)} {column} values cannot be stored as tokens, first "
                f"{bad.iloc[0]!r}; rename ids that are empty, hold a tab or read as missing"
            )
    _check_splits(content, where)
    for modality, (matrix, rows) in content.features.items():
        if len(matrix.shape) != 2 or matrix.shape[0] != len(rows) or len(set(rows)) != len(rows):
            raise UserError(
                f"{where}: features {modality} have shape {matrix.shape} for {len(rows)} item ids "
                f"({len(set(rows))} different); give one row per item"
            )


def _check_splits(content: DatasetContent, where: str) -> None:
    """Raise :class:`UserError` when a pair is in two splits."""
    if not content.splits:
        return
    twice = pairs_in_two(list(content.splits.values()))
    if twice:
        raise UserError(
            f"{where}: {len(twice)} (user, item) pairs are in two splits, first {twice[0]}; "
            "remove each from all splits but one"
        )


@contextmanager
def _new_folder(folder: Path, replace: bool) -> Iterator[Path]:
    """Give a hidden folder beside ``folder`` and rename it into place after a clean exit."""
    if replace and folder.exists() and not (folder / MANIFEST).is_file():
        raise UserError(
            f"{folder}: has no {MANIFEST}, so it is not a dataset folder and is not replaced; "
            "choose another folder or delete it"
        )
    if folder.exists() and not replace:
        raise FolderExistsError(f"{folder}: exists already; choose another folder or delete it")
    folder.parent.mkdir(parents=True, exist_ok=True)
    remove_abandoned(folder.parent.glob(f".{glob.escape(folder.name)}.*.tmp"))
    work = folder.with_name(f".{folder.name}.{uuid.uuid4().hex}.tmp")
    try:
        work.mkdir()
        with file_lock(work.with_suffix(LOCK)):
            yield work
        _finish(work, folder, replace)
    finally:
        shutil.rmtree(work, ignore_errors=True)


def _finish(work: Path, folder: Path, replace: bool) -> None:
    """Give the finished hidden folder its name."""
    for directory in [*(p for p in work.rglob("*") if p.is_dir()), work]:
        _sync(directory)
    try:
        if folder.exists() and replace:
            put_in_place(work, folder)
        else:
            os.rename(work, folder)
    except OSError as error:
        # Another process finished the same folder meanwhile: rename refuses a full target.
        if not folder.exists() or is_write_failure(error):
            raise
        raise FolderExistsError(f"{folder}: was written by another process") from error
    _sync(folder.parent)


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


def _write_matrix(path: Path, matrix: FloatArray | MatrixStream) -> None:
    write_with(path, lambda stream: save_matrix(stream, matrix))


def _write_interactions(path: Path, frame: pd.DataFrame) -> None:
    _write_table(path, frame, _TYPES)


def _write_table(path: Path, frame: pd.DataFrame, types: dict[str, str] | None = None) -> None:
    with atomic_file(path) as stream:
        if types is not None:
            save_interactions(stream, frame, types)
            return
        frame.to_csv(stream, sep="\t", index=False, lineterminator="\n", encoding="utf-8")


def _read_table(path: Path, expected: list[str]) -> pd.DataFrame:
    try:
        frame = pd.read_csv(path, sep="\t", dtype=str, keep_default_na=False)
    except FileNotFoundError as error:
        raise UserError(f"{path}: missing although the folder has a truth; {_AGAIN}") from error
    except DAMAGED as error:
        raise UserError(f"{path}: not a table ({reason(error)}); {_AGAIN}") from error
    if list(frame.columns) != expected:
        raise UserError(
            f"{path}: has columns {short(list(frame.columns))} instead of {expected}; {_AGAIN}"
        )
    return frame


def _manifest(content: DatasetContent, work: Path) -> dict[str, Any]:
    items = set(content.interactions["item_id"].unique())
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
            **content.modality_notes.get(modality, {}),
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
        "provenance": dict(content.provenance),
        "sha256": {p.relative_to(work).as_posix(): file_hash(p) for p in files},
    }
