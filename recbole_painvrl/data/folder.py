"""The dataset folder: its content, atomic writing, and reading."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
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
from recbole_painvrl.data.writing import (
    FolderExistsError,
    MatrixStream,
    new_folder,
    repeated_pairs,
    save_interactions,
    save_matrix,
)
from recbole_painvrl.errors import UserError, WriteError, short
from recbole_painvrl.reading import DAMAGED, parse_json, reason

__all__ = ["DatasetContent", "FolderExistsError", "Truth", "write_dataset"]

BoolArray = npt.NDArray[np.bool_]
FloatArray = npt.NDArray[np.floating[Any]]
IntArray = npt.NDArray[np.integer[Any]]

MANIFEST = "manifest.json"
_COLUMNS, _ENVIRONMENTS = "truth/columns.tsv", "truth/environments.tsv"
_COLUMNS_HEADER = ["modality", "column", "invariant"]
_AGAIN = "delete the folder and prepare the dataset again with `python -m dataset_prep`"
_TYPES = {"user_id": "token", "item_id": "token", "rating": "float", "timestamp": "float"}
# Columns in which 0 means that the user did not like the item.
RATINGS = frozenset({"rating", "label", "click", "is_click", "clicked", "like", "is_like", "liked"})
# Strings that RecBole, with pandas' defaults, reads as missing values.
_MISSING = (
    "<NA> N/A NA NULL NaN None n/a nan null #N/A #NA -1.#IND -1.#QNAN -NaN -nan 1.#IND 1.#QNAN"
)
MISSING_TOKENS = frozenset(["", "#N/A N/A", *_MISSING.split()])


@dataclass
class Truth:
    """The planted truth: invariant columns per modality, environment of each interaction.

    ``columns[modality]`` is [d] with True = invariant; a modality without an entry has no known
    truth. ``environments`` has the string columns user_id, item_id, environment.
    """

    columns: dict[str, BoolArray]
    environments: pd.DataFrame


@dataclass
class DatasetContent:
    """A dataset in memory, input of :func:`write_dataset`.

    ``interactions`` and every frame of ``splits`` have user_id, item_id and optionally rating and
    timestamp; the ids are strings, or categories of strings that all frames share (large data);
    ``item_table`` has RecBole's typed column names (``item_id:token``, ``movie_title:token_seq``);
    ``features[modality]`` is (matrix [n_rows, d] or a stream of it, item token of each row);
    ``modality_notes`` and ``provenance`` are copied into the manifest.
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
    """Write the folder atomically: it appears complete or not at all.

    With ``replace``, an existing dataset folder is kept until the new one replaces it.
    Raises :class:`FolderExistsError` when the folder exists, :class:`UserError` when the content
    is inconsistent or no folder can be made there, :class:`WriteError` when the disk is
    full or the folder cannot be written.
    """
    _check(content)
    if replace and folder.exists() and not (folder / MANIFEST).is_file():
        raise UserError(
            f"{folder}: has no {MANIFEST}, so it is not a dataset folder and is not replaced; "
            "choose another folder or delete it"
        )
    try:
        with new_folder(folder, replace) as work:
            _write_files(content, work)
            write_json(work / MANIFEST, _manifest(content, work))
    except OSError as error:
        if isinstance(error, WriteError) or is_write_failure(error):
            # Name the target folder, not the hidden temporary one.
            raise write_failure(folder, error) from error
        raise UserError(
            f"{folder}: cannot be written ({error.strerror or error}); nothing was left behind, "
            "choose another folder"
        ) from error


def read_manifest(folder: Path) -> dict[str, Any]:
    """Content of ``manifest.json``; empty when the folder has none.

    Raises :class:`UserError` when the file is not a JSON object.
    """
    path = folder / MANIFEST
    try:
        manifest = parse_json(path.read_text(encoding="utf-8"), finite=False)
        if not isinstance(manifest, dict):
            raise ValueError(f"it holds a {type(manifest).__name__} instead of an object")
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        raise UserError(f"{path}: not readable as JSON ({reason(error)}); {_AGAIN}") from error
    return manifest


def read_truth(folder: Path) -> Truth | None:
    """Planted truth of the folder, or None if nothing is planted.

    Raises :class:`UserError` if it is incomplete or a row cannot be read.
    """
    if not (folder / "truth").is_dir():
        return None
    columns = _read_table(folder / _COLUMNS, _COLUMNS_HEADER)
    environments = _read_table(folder / _ENVIRONMENTS, ["user_id", "item_id", "environment"])
    planted: dict[str, BoolArray] = {}
    for modality, rows in columns.groupby("modality", sort=False):
        in_order = rows["column"].tolist() == [str(n) for n in range(len(rows))]
        if not in_order or not rows["invariant"].isin(["0", "1"]).all():
            raise UserError(
                f"{folder / _COLUMNS}: the columns of modality {modality} are not "
                f"numbered 0 to {len(rows) - 1} with invariant 0 or 1; {_AGAIN}"
            )
        planted[str(modality)] = (rows["invariant"] == "1").to_numpy(dtype=np.bool_)
    labels = environments["environment"]
    valid = [name for name in labels.unique() if re.fullmatch("[0-9]{1,4}", str(name))]
    bad = labels[~labels.isin(valid)]
    if len(bad):
        raise UserError(
            f"{folder / _ENVIRONMENTS}: {len(bad)} of {len(labels)} rows have no whole number of 0 "
            f"to 9999 as environment, first {short(bad.iloc[0])}; {_AGAIN}"
        )
    return Truth(columns=planted, environments=environments)


def dataset_hash(folder: Path) -> str:
    """SHA-256 over names and content of all .inter, .item, .user and features files, streamed."""
    total = hashlib.sha256()
    for path in _data_files(folder):
        total.update(f"{path.relative_to(folder).as_posix()}\t{file_hash(path)}\n".encode())
    return total.hexdigest()


def dataset_stamp(folder: Path) -> list[tuple[str, int, int]]:
    """Names, sizes and times of change of the same files, by which a change is seen."""
    files = [(path.relative_to(folder).as_posix(), path.stat()) for path in _data_files(folder)]
    return [(name, found.st_size, found.st_mtime_ns) for name, found in files]


def _data_files(folder: Path) -> list[Path]:
    paths = [p for p in folder.iterdir() if p.suffix in (".inter", ".item", ".user")]
    paths += list((folder / "features").glob("*"))
    return sorted(p for p in paths if p.is_file())


def file_hash(path: Path) -> str:
    """SHA-256 of one file, read in blocks."""
    with open(path, "rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _check(content: DatasetContent) -> None:
    """Raise :class:`UserError` if the content is inconsistent."""
    where = f"dataset {content.name}"
    for name in (content.name, *content.splits, *content.features):
        if not re.fullmatch(r"\w[\w.-]*", name):
            raise UserError(
                f"{where}: the name {name!r} cannot become a file name; use letters, digits, `_`, "
                "`-` and `.`, starting with a letter or digit"
            )
    if content.interactions.empty:
        raise UserError(f"{where}: has no interactions left; relax the filters or check the input")
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
    twice = repeated_pairs(list(content.splits.values())) if content.splits else []
    if twice:
        raise UserError(
            f"{where}: {len(twice)} (user, item) pairs are in two splits, first {twice[0]}; "
            "remove each from all splits but one"
        )
    for modality, (matrix, rows) in content.features.items():
        if len(matrix.shape) != 2 or matrix.shape[0] != len(rows) or len(set(rows)) != len(rows):
            raise UserError(
                f"{where}: features {modality} have shape {matrix.shape} for {len(rows)} item ids "
                f"({len(set(rows))} different); give one row per item"
            )


def _write_files(content: DatasetContent, work: Path) -> None:
    frames = {"": content.interactions} | {f".{name}": f for name, f in content.splits.items()}
    for suffix, frame in frames.items():
        with atomic_file(work / f"{content.name}{suffix}.inter") as stream:
            save_interactions(stream, frame, _TYPES)
    if content.item_table is not None:
        _write_table(work / f"{content.name}.item", content.item_table)
    for modality, (matrix, tokens) in content.features.items():
        write_features(work / "features" / f"{modality}.npy", matrix, tokens)
    if content.truth is not None:
        columns = [
            (modality, column, int(invariant))
            for modality, mask in content.truth.columns.items()
            for column, invariant in enumerate(mask)
        ]
        _write_table(work / _COLUMNS, pd.DataFrame(columns, columns=_COLUMNS_HEADER))
        _write_table(work / _ENVIRONMENTS, content.truth.environments)


def write_features(
    path: Path, matrix: FloatArray | MatrixStream, tokens: Sequence[str] | npt.NDArray[np.object_]
) -> list[Path]:
    """Write ``NAME.npy`` and ``NAME.items.tsv`` with the item of each row; returns both paths."""
    ids = path.with_suffix(".items.tsv")
    write_with(path, partial(save_matrix, matrix=matrix))
    _write_table(ids, pd.DataFrame({"row": np.arange(len(tokens)), "item_id": tokens}))
    return [path, ids]


def _write_table(path: Path, frame: pd.DataFrame) -> None:
    with atomic_file(path) as stream:
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
