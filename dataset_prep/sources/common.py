"""What several sources need: files by pattern, matrices by item number, titles, texts."""

from __future__ import annotations

import argparse
import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import numpy.typing as npt

from dataset_prep.encoders.text import TEXT_ENCODERS
from dataset_prep.interactions import Interactions, Tokens, as_tokens
from dataset_prep.read.ids import WHOLE, is_index
from dataset_prep.read.matrices import FeatureTable, RowMatrix, open_matrix, row_blocks
from dataset_prep.read.tables import chunks, sniff
from dataset_prep.report import Report
from recbole_painvrl.errors import UserError

MODALITIES = {
    "visual": ("image_feat", "v_feat", "visual_feat"),
    "acoustic": ("audio_feat", "a_feat", "acoustic_feat"),
    "textual": ("text_feat", "t_feat", "textual_feat"),
}
# How far a stored mean may lie from the mean of what is stored: rounding of the file's type.
_CLOSE = {2: 5e-3, 4: 1e-4, 8: 1e-6}


def add_text_encoder(parser: argparse.ArgumentParser, what: str) -> None:
    """Options for features of texts."""
    text = f"make features from the {what}"
    parser.add_argument("--text-encoder", choices=TEXT_ENCODERS, help=text)
    text = "columns of tfidf features"
    parser.add_argument("--text-size", type=int, default=128, metavar="D", help=text)


def find_file(folder: Path, patterns: Sequence[str], what: str, option: str) -> Path | None:
    """The one file of a folder that fits the first pattern with a match, or None."""
    if not folder.is_dir():
        raise UserError(f"{folder}: no such folder; check the path")
    for pattern in patterns:
        found = sorted(path for path in folder.glob(pattern) if not path.name.startswith("."))
        if len(found) > 1:
            names = ", ".join(path.name for path in found[:4])
            raise UserError(f"{folder}: {what} may be any of {names}; choose with {option}")
        if found:
            return found[0]
    return None


def need_file(folder: Path, patterns: Sequence[str], what: str, option: str) -> Path:
    """As :func:`find_file`, but the file must be there."""
    path = find_file(folder, patterns, what, option)
    if path is None:
        raise UserError(
            f"{folder}: has no {what} ({' or '.join(patterns)}); give another folder or {option}"
        )
    return path


def numbered_features(
    folders: Sequence[Path], n_items: int, report: Report, names: Mapping[str, str] | None = None
) -> list[FeatureTable]:
    """The ``image_feat.npy``, ``audio_feat.npy``, ``text_feat.npy`` of the first folder with them.

    A matrix must have a row for each of the ``n_items``; ``names`` gives the original id of each
    item number, where the source has them.
    """
    tables = []
    for name, stems in MODALITIES.items():
        candidates = (folder / f"{stem}.npy" for folder in folders for stem in stems)
        path = next((path for path in candidates if path.is_file()), None)
        if path is None:
            report.note(f"{stems[0]}.npy: not there, no modality {name}")
            continue
        matrix = open_matrix(path)
        check_rows(path, matrix, n_items)
        tokens = [str(row) for row in range(matrix.shape[0])]
        if names is not None:
            tokens = [names.get(token, "") for token in tokens]
        absent = filled_rows(matrix)
        tables.append(FeatureTable(name, path.name, tokens, matrix, absent=absent))
    return tables


def check_rows(path: Path, matrix: RowMatrix, n_items: int) -> None:
    """Raise :class:`UserError` where a matrix has fewer rows than there are items."""
    if matrix.shape[0] < n_items:
        raise UserError(
            f"{path}: has {matrix.shape[0]} rows for {n_items} items; it is cut or of another "
            "dataset"
        )


def filled_rows(matrix: RowMatrix) -> npt.NDArray[np.bool_] | None:
    """Rows that only repeat the mean of all others, which is how these datasets fill gaps."""
    seen: dict[bytes, int] = {}
    first: list[int] = []
    groups = np.empty(matrix.shape[0], dtype=np.int64)
    total = np.zeros(matrix.shape[1])
    start = 0
    for block in row_blocks(matrix, np.arange(matrix.shape[0])):
        for place, row in enumerate(block, start=start):
            digest = hashlib.blake2b(row.tobytes(), digest_size=16).digest()
            groups[place] = seen.setdefault(digest, len(seen))
            if groups[place] == len(first):
                first.append(place)
        start += len(block)
        total += block.sum(axis=0)
    sizes = np.bincount(groups)
    largest = int(sizes.argmax())
    if sizes[largest] < 2 or sizes[largest] == len(groups) or not np.isfinite(total).all():
        return None
    place = first[largest]
    row = np.asarray(matrix.read(place, place + 1)[0], dtype=np.float64)
    others = (total - sizes[largest] * row) / (len(groups) - sizes[largest])
    scale = max(float(np.abs(others).max()), 1e-12)
    if float(np.abs(row - others).max()) > _CLOSE.get(matrix.dtype.itemsize, 1e-6) * scale:
        return None
    return np.asarray(groups == largest, dtype=np.bool_)


def read_mapping(path: Path, report: Report, encoding: str) -> dict[str, str]:
    """Original id of each number, from a table of ids and numbers with or without a header.

    The first column holds the ids and the second the numbers, unless only the first is numeric.
    """
    layout = sniff(path, encoding=encoding)
    names = [name for name in layout.names if not (layout.has_header and is_index(name))][:2]
    if len(names) < 2:
        raise UserError(f"{path}: has one column; it must map ids to numbers")
    ids, numbers = zip(
        *(frame[names].to_numpy().T for frame in chunks(layout, names, report)), strict=True
    )
    columns = [as_tokens(np.concatenate(pieces)) for pieces in (ids, numbers)]
    whole = [all(map(WHOLE.fullmatch, tokens)) for tokens in columns]
    if not any(whole):
        raise UserError(
            f"{path}: neither {names[0]} nor {names[1]} holds numbers alone; correct it"
        )
    originals, keys = columns if whole[1] else columns[::-1]
    mapping: dict[str, str] = {}
    for key, value in zip(keys, originals, strict=True):
        if mapping.setdefault(key, value) != value:
            raise UserError(f"{path}: number {key} has two ids, {mapping[key]} and {value}")
    return mapping


def item_count(interactions: Interactions, where: Path) -> int:
    """Items numbered 0, 1, ... in the interactions: the largest number + 1."""
    known = [token for token in interactions.rated().tolist() if token]
    wrong = next((token for token in known if not WHOLE.fullmatch(token)), None)
    if wrong is not None:
        raise UserError(
            f"{where}: item {wrong[:40]!r} is not a number from 0; feature rows need numbers"
        )
    return 1 + max(map(int, known))


def with_original_ids(
    interactions: Interactions, users: Mapping[str, str], items: Mapping[str, str]
) -> Interactions:
    """Original ids in place of numbers; ids that are not in the mapping stay."""
    return replace(
        interactions,
        user_tokens=_renamed(interactions.user_tokens, users, "users"),
        item_tokens=_renamed(interactions.item_tokens, items, "items"),
    )


def _renamed(tokens: Tokens, names: Mapping[str, str], what: str) -> Tokens:
    renamed = [names.get(token, token) for token in tokens]
    if len(set(renamed)) < len(renamed):
        raise UserError(f"{what}: two numbers have the same original id; leave --original-ids out")
    return np.array(renamed, dtype=object)
