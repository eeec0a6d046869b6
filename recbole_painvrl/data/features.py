"""Feature files of a dataset folder, checked and aligned to the recommender's item indices."""

from __future__ import annotations

import csv
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from logging import getLogger
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from recbole_painvrl.data.unicode_forms import refuse_other_form
from recbole_painvrl.errors import UserError, did_you_mean, short
from recbole_painvrl.quoting import is_quoted, split_rows, text_lines
from recbole_painvrl.reading import DAMAGED, reason

Missing = Literal["zero", "mean", "error"]
Unknown = Literal["error", "ignore"]
FloatArray = npt.NDArray[np.floating[Any]]

LIMIT = 1e6
_BLOCK_CELLS = 1 << 21
_AGAIN = "write the file again with `python -m dataset_prep`"


@dataclass(frozen=True)
class AlignedModality:
    """One modality in the order of the recommender's item indices.

    ``matrix`` is float32 [n_items, d] with rows of length 1, or 0 where the item has no features;
    row 0 is padding. ``has_row`` [n_items] says which items have a row in the file, whatever
    stands in the place of the others. The counts are statistics of the alignment.
    """

    matrix: npt.NDArray[np.float32]
    has_row: npt.NDArray[np.bool_]
    n_missing: int
    n_unknown: int
    n_constant_columns: int


def available_modalities(folder: Path) -> list[str]:
    """Names of the modalities with a feature file, sorted."""
    return sorted(path.stem for path in (folder / "features").glob("*.npy"))


def all_modalities(folder: Path, used: Collection[str] | None = None) -> list[str]:
    """The same, of a folder without remains of others.

    Args:
        folder: of the dataset.
        used: the modalities whose remains count; None for all.

    Raises:
        UserError: a list of items whose matrix is missing: a run would do without the modality,
            and say nothing.
    """
    known = available_modalities(folder)
    for name in _without_matrix(folder):
        if used is None or name in used:
            raise UserError(
                f"{_npy(folder, name)}: no such file, but {_tsv(folder, name).name} lists the "
                "items of its rows; put it back, or name the modalities in use, as in "
                f"`--modalities=[{','.join(known)}]`"
            )
    return known


def warn_of_remains(folder: Path) -> None:
    """A warning for each list of items whose matrix is missing, where nothing reads it."""
    for name in _without_matrix(folder):
        getLogger("recbole_painvrl").warning(
            "%s: no such file, but %s lists the items of its rows; the model reads no features, "
            "and the modality is left out",
            _npy(folder, name),
            _tsv(folder, name).name,
        )


def _without_matrix(folder: Path) -> list[str]:
    lists = sorted((folder / "features").glob("*.items.tsv"))
    names = [path.name.removesuffix(".items.tsv") for path in lists]
    return [name for name in names if not _npy(folder, name).exists()]


def load_modality(folder: Path, modality: str) -> tuple[FloatArray, list[str]]:
    """Memory-mapped matrix [n_rows, d] and the item token of each row.

    Raises :class:`UserError` if a file is missing or unreadable, or if the two do not match.
    """
    matrix = _open_matrix(folder, modality)
    return matrix, _read_tokens(_tsv(folder, modality), matrix.shape[0])


def aligned_features(
    folder: Path,
    modality: str,
    token_to_id: Mapping[str, int],
    n_items: int,
    missing: Missing = "zero",
    unknown: Unknown = "error",
) -> AlignedModality:
    """Rows divided by their L2 norm (in float64) and placed at the item's index.

    ``token_to_id`` maps item tokens to 1 .. ``n_items`` - 1; index 0 is padding. An item without
    a row gets zeros or the mean direction of the others. Raises :class:`UserError` on NaN, Inf or
    values above 1e6, on unknown or missing ids if these are errors, and if no id is in the
    dataset.
    """
    matrix, tokens = load_modality(folder, modality)
    n_constant = _check_values(matrix, _npy(folder, modality))
    indices = np.array([token_to_id.get(token, 0) for token in tokens], dtype=np.int64)
    n_unknown = _check_ids(_tsv(folder, modality), tokens, indices, token_to_id, unknown)
    aligned = np.zeros((n_items, matrix.shape[1]), dtype=np.float32)
    total = np.zeros(matrix.shape[1])
    for rows, block in _blocks(matrix):
        known = indices[rows] > 0
        normalised = _normalise(block[known])
        total += normalised.sum(axis=0)
        aligned[indices[rows][known]] = normalised
    has_row = np.zeros(n_items, dtype=np.bool_)
    has_row[indices] = has_row[0] = True
    n_missing = int((~has_row).sum())
    if n_missing and missing == "error":
        first = int(np.argmin(has_row))
        token = next((token for token, index in token_to_id.items() if index == first), first)
        raise UserError(
            f"{_npy(folder, modality)}: {n_missing} of {n_items - 1} items have no row, first item "
            f"{token!r}; add their rows or set `missing_modality: zero` or `mean`"
        )
    if n_missing and missing == "mean":
        aligned[~has_row] = _normalise(total[None, :])
    has_row[0] = False
    return AlignedModality(aligned, has_row, n_missing, n_unknown, n_constant)


def _npy(folder: Path, modality: str) -> Path:
    return folder / "features" / f"{modality}.npy"


def _tsv(folder: Path, modality: str) -> Path:
    return folder / "features" / f"{modality}.items.tsv"


def _normalise(block: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Divide rows [n, d] by their L2 norm; zero rows stay zero."""
    norms = np.linalg.norm(block, axis=1, keepdims=True)
    normalised = np.zeros_like(block)
    np.divide(block, norms, out=normalised, where=norms > 0)
    return normalised


def _blocks(matrix: FloatArray) -> Iterator[tuple[slice, npt.NDArray[np.float64]]]:
    """Rows of a memory-mapped matrix as float64, in blocks of bounded size."""
    size = max(1, _BLOCK_CELLS // matrix.shape[1])
    for start in range(0, matrix.shape[0], size):
        rows = slice(start, min(start + size, matrix.shape[0]))
        yield rows, np.asarray(matrix[rows], dtype=np.float64)


def _open_matrix(folder: Path, modality: str) -> FloatArray:
    path = _npy(folder, modality)
    if not path.is_file():
        known = available_modalities(folder)
        raise UserError(
            f"{path}: no such file, the dataset has features for {', '.join(known) or 'nothing'}"
            f"{did_you_mean(modality, known)}; correct `modalities` or prepare these features with "
            "`python -m dataset_prep`"
        )
    try:
        matrix: FloatArray = np.lib.format.open_memmap(path, mode="r")
    except (MemoryError, *DAMAGED) as error:
        raise UserError(
            f"{path}: not a readable .npy file ({reason(error)}); {_AGAIN} or `numpy.save`"
        ) from error
    if matrix.dtype.kind != "f":
        raise UserError(f"{path}: holds {matrix.dtype} values; save the rows as float32")
    if matrix.ndim != 2 or 0 in matrix.shape:
        raise UserError(
            f"{path}: has shape {matrix.shape}; save one row per item and one column per feature"
        )
    return matrix


def _read_tokens(path: Path, n_rows: int) -> list[str]:
    """Item token of each matrix row, from a table with the columns row and item_id."""
    lines = _read_lines(path)
    if not lines or lines[0] != ["row", "item_id"]:
        raise UserError(
            f"{path}: the first line is {short((lines or [[]])[0])} instead of the header "
            f"row<TAB>item_id; {_AGAIN}"
        )
    if len(lines) - 1 != n_rows:
        raise UserError(
            f"{path}: lists {len(lines) - 1} rows, {path.name.removesuffix('.items.tsv')}.npy has "
            f"{n_rows}; the two belong together, prepare both again with `python -m dataset_prep`"
        )
    rows = {str(row): row for row in range(n_rows)}
    tokens: dict[str, int] = {}
    for number, line in enumerate(lines[1:], start=2):
        row = rows.pop(line[0], None)
        if row is None or len(line) != 2 or not line[1]:
            raise UserError(
                f"{path}: line {number} is {short(line)}, not row<TAB>item_id with each row of 0 "
                f"to {n_rows - 1} once; {_AGAIN}"
            )
        if line[1] in tokens:
            raise UserError(
                f"{path}: item {short(line[1])} is in rows {tokens[line[1]]} and {row}; keep one "
                "row per item"
            )
        tokens[line[1]] = row
    return sorted(tokens, key=tokens.__getitem__)


def _read_lines(path: Path) -> list[list[str]]:
    try:
        with open(path, encoding="utf-8", newline="\n") as stream:
            lines = list(text_lines(stream))
        return list(split_rows(lines, "\t", is_quoted(lines, "\t")))
    except FileNotFoundError as error:
        raise UserError(
            f"{path}: no such file, so the item of each row is unknown; write it with the columns "
            "row and item_id, or prepare the dataset with `python -m dataset_prep`"
        ) from error
    except (ValueError, OSError, csv.Error) as error:
        raise UserError(f"{path}: not readable ({reason(error)}); {_AGAIN}") from error


def _check_ids(
    path: Path,
    tokens: Sequence[str],
    indices: npt.NDArray[np.int64],
    token_to_id: Mapping[str, int],
    unknown: Unknown,
) -> int:
    """Number of rows of unknown items; an error if ``unknown`` is "error"."""
    unknown_rows = np.flatnonzero(indices == 0)
    if len(unknown_rows):
        listed = set(tokens)
        without_row = (
            token for token, index in token_to_id.items() if index and token not in listed
        )
        refuse_other_form(path, (tokens[row] for row in unknown_rows.tolist()), without_row)
    if len(unknown_rows) == len(tokens):
        sample = next((token for token, index in token_to_id.items() if index > 0), "none")
        raise UserError(
            f"{path}: none of its {len(tokens)} item ids is in the dataset, which has ids like "
            f"{sample!r} where the file has {short(tokens[0])}; use the ids of the .inter file"
        )
    if len(unknown_rows) and unknown == "error":
        first = int(unknown_rows[0])
        raise UserError(
            f"{path}: {len(unknown_rows)} of {len(tokens)} item ids are not in the dataset, first "
            f"{short(tokens[first])} in row {first}; remove them or set `unknown_items: ignore`"
        )
    return len(unknown_rows)


def _check_values(matrix: FloatArray, path: Path) -> int:
    """Number of constant columns; an error on NaN, Inf or values above the limit."""
    n_bad, first_bad = 0, ""
    low = np.full(matrix.shape[1], np.inf)
    high = -low
    for rows, block in _blocks(matrix):
        bad = ~np.isfinite(block)
        if bad.any():
            if not n_bad:
                row, column = (int(n) for n in np.argwhere(bad)[0])
                first_bad = f"{block[row, column]} in row {rows.start + row}, column {column}"
            n_bad += int(bad.sum())
            continue
        low = np.minimum(low, block.min(axis=0))
        high = np.maximum(high, block.max(axis=0))
    if n_bad:
        raise UserError(
            f"{path}: {n_bad} values are NaN or Inf, first {first_bad}; repair these rows, or "
            "leave them out of both files and choose `missing_modality`"
        )
    exploding = np.flatnonzero(np.maximum(-low, high) > LIMIT)
    if len(exploding):
        names = ", ".join(str(n) for n in exploding[:5]) + (", ..." if len(exploding) > 5 else "")
        largest = max(-float(low.min()), float(high.max()))
        raise UserError(
            f"{path}: {len(exploding)} columns have values above {LIMIT:.0e} (columns {names}; "
            f"largest {largest:.3g}); rescale or drop these columns with `python -m dataset_prep`"
        )
    return int((low == high).sum())
