"""Shared by several sources: files by pattern, numbered items, lists of items per user."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from itertools import islice
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd

from dataset_prep.encoders.text import TEXT_ENCODERS
from dataset_prep.interactions import InteractionBuilder, Interactions, Tokens, as_tokens
from dataset_prep.options import RawDataset
from dataset_prep.read.files import open_lines
from dataset_prep.read.ids import WHOLE, is_index
from dataset_prep.read.matrices import FeatureTable, RowMatrix, open_matrix, row_blocks
from dataset_prep.read.tables import chunks, sniff
from dataset_prep.report import Report
from recbole_painvrl.errors import UserError

_MODALITIES = {
    "visual": ("image_feat", "v_feat", "visual_feat"),
    "acoustic": ("audio_feat", "a_feat", "acoustic_feat"),
    "textual": ("text_feat", "t_feat", "textual_feat"),
}
TERMS = "terms of the release; check them before sharing"
# Relative tolerance for a mean that is stored in the type of the file, by its bytes per number.
_CLOSE = {2: 5e-3, 4: 1e-4, 8: 1e-6}
_LINES_PER_BLOCK = 10_000


def add_text_encoder(parser: argparse.ArgumentParser, what: str) -> None:
    """Options for features of texts."""
    text = f"make features from the {what}"
    parser.add_argument("--text-encoder", choices=TEXT_ENCODERS, help=text)
    text = "columns of the TF-IDF features (default %(default)s)"
    parser.add_argument("--text-size", type=int, default=128, metavar="D", help=text)


def add_original_ids(parser: argparse.ArgumentParser, files: str) -> None:
    """The option that replaces numbers by the ids of the original data."""
    text = f"take ids from {files} instead of numbers"
    parser.add_argument("--original-ids", action="store_true", help=text)


def find_file(folder: Path, patterns: Sequence[str], what: str, option: str) -> Path | None:
    """The file of a folder that matches the first pattern with a match, or None."""
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
    """As :func:`find_file`, but raises :class:`UserError` if there is no such file."""
    path = find_file(folder, patterns, what, option)
    if path is None:
        raise UserError(
            f"{folder}: has no {what} ({' or '.join(patterns)}); give another folder or {option}"
        )
    return path


def read_lists(
    path: Path,
    builder: InteractionBuilder,
    report: Report,
    encoding: str,
    split: Callable[[str], tuple[str, list[str]] | None],
    form: str,
    part: str | None = None,
    ordered: bool = False,
) -> None:
    """Append lines that hold a user and the user's items.

    ``split`` gives user and items of a line, or None for a malformed one; ``form`` describes a line
    in messages. If ``ordered``, the position of an item in its list becomes its time.
    """
    malformed: list[int] = []
    without_items, ended = 0, True
    with open_lines(path, encoding, "\n") as stream:
        numbered = enumerate(stream, start=1)
        while block := list(islice(numbered, _LINES_PER_BLOCK)):
            ended = block[-1][1].endswith("\n")
            found = [(number, split(line)) for number, line in block if line.strip()]
            malformed += [number for number, entry in found if entry is None]
            lists = [entry for _, entry in found if entry is not None]
            without_items += sum(not chosen for _, chosen in lists)
            users = [user for user, chosen in lists for _ in chosen]
            items = [item for _, chosen in lists for item in chosen]
            times = [index for _, chosen in lists for index in range(len(chosen))]
            if items:
                order = np.array(times) if ordered else None
                builder.add(np.array(users), np.array(items), times=order, part=part)
    if malformed:
        what = f"{len(malformed)} lines are not {form}, first line {malformed[0]}"
        report.found(path.name, what, len(malformed), "drop-rows")
    if without_items:
        report.note(f"{path.name}: {without_items} users without items")
    if not ended:
        report.note(f"{path.name}: has no end of line at its end; make sure that it is complete")


def numbered_dataset(
    report: Report,
    interactions: Interactions,
    inputs: Sequence[Path],
    folders: Sequence[Path],
    family: str,
    n_items: int | None = None,
    mappings: Sequence[Path] = (),
    encoding: str = "utf-8-sig",
) -> RawDataset:
    """The dataset of a source whose feature row i belongs to item number i.

    The first of ``inputs`` holds the interactions; ``folders`` are searched for feature files in
    this order. Without ``n_items`` there are as many items as the largest number + 1. ``mappings``
    are files of user and item ids with their numbers, which replace the numbers by ids.
    """
    found = item_count(interactions, inputs[0])
    if n_items is not None and found > n_items:
        raise UserError(
            f"{inputs[0]}: item {found - 1} is beyond the stated {n_items} items; the file is "
            "damaged, copy it again"
        )
    names = None
    if mappings:
        users, names = (read_mapping(path, report, encoding) for path in mappings)
        interactions = replace(
            interactions,
            user_tokens=_renamed(interactions.user_tokens, users, mappings[0]),
            item_tokens=_renamed(interactions.item_tokens, names, mappings[1]),
        )
    tables, files = [], []
    for name, stems in _MODALITIES.items():
        candidates = (folder / f"{stem}.npy" for folder in folders for stem in stems)
        path = next((path for path in candidates if path.is_file()), None)
        if path is None:
            report.note(f"{stems[0]}.npy: not there, no modality {name}")
            continue
        matrix = open_matrix(path)
        check_rows(path, matrix, n_items or found)
        tokens = [str(row) for row in range(matrix.shape[0])]
        if names is not None:
            tokens = [names.get(token, "") for token in tokens]
        tables.append(FeatureTable(name, path.name, tokens, matrix, absent=filled_rows(matrix)))
        files.append(path)
    return RawDataset(
        interactions=interactions,
        features=tables,
        source=f"{family}, {folders[0].resolve().name}",
        inputs=[*inputs, *mappings, *files],
    )


def check_rows(path: Path, matrix: RowMatrix, n_items: int) -> None:
    """Raise :class:`UserError` if a matrix has fewer rows than there are items."""
    if matrix.shape[0] < n_items:
        raise UserError(
            f"{path}: has {matrix.shape[0]} rows for {n_items} items; it is cut or of another "
            "dataset"
        )


def filled_rows(matrix: RowMatrix) -> npt.NDArray[np.bool_] | None:
    """Mask of rows that repeat the mean of all others, as these datasets fill missing rows."""
    hashes, total = [], np.zeros(matrix.shape[1])
    for block in row_blocks(matrix, np.arange(matrix.shape[0])):
        hashes.append(pd.util.hash_pandas_object(pd.DataFrame(block), index=False))
        total += block.sum(axis=0)
    groups, _ = pd.factorize(np.concatenate(hashes))
    sizes = np.bincount(groups)
    if len(sizes) < 2 or not np.isfinite(total).all():
        return None
    # Another group of equal rows, such as a placeholder picture, may be larger.
    for group in np.argsort(-sizes, kind="stable"):
        if sizes[group] < 2:
            break
        first = int(np.argmax(groups == group))
        row = np.asarray(matrix[first : first + 1][0], dtype=np.float64)
        others = (total - sizes[group] * row) / (len(groups) - sizes[group])
        scale = max(float(np.abs(others).max()), 1e-12)
        if float(np.abs(row - others).max()) <= _CLOSE.get(matrix.dtype.itemsize, 1e-6) * scale:
            return np.asarray(groups == group, dtype=np.bool_)
    return None


def read_mapping(path: Path, report: Report, encoding: str) -> dict[str, str]:
    """Original id of each number, from a table of ids and numbers with or without a header.

    The first column holds the ids and the second the numbers, unless only the first is numeric.
    """
    layout = sniff(path, encoding=encoding)
    names = [name for name in layout.names if not (layout.has_header and is_index(name))][:2]
    if len(names) < 2:
        raise UserError(f"{path}: has one column; it must map ids to numbers")
    pieces = [frame[names].to_numpy() for frame in chunks(layout, names, report)]
    columns = [as_tokens(column) for column in np.concatenate(pieces).T]
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
    """Number of items of interactions that number their items from 0: the largest number + 1."""
    known = [token for token in interactions.rated().tolist() if token]
    wrong = next((token for token in known if not WHOLE.fullmatch(token)), None)
    if wrong is not None:
        raise UserError(
            f"{where}: item {wrong[:40]!r} is not a number from 0; feature rows need numbers"
        )
    return 1 + max(map(int, known))


def _renamed(tokens: Tokens, names: Mapping[str, str], path: Path) -> Tokens:
    """Original ids of all numbers of the interactions."""
    lost = [token for token in tokens if token not in names]
    if lost:
        raise UserError(
            f"{path}: has no id for {len(lost)} of {len(tokens)} numbers of the interactions, "
            f"first {lost[0]}; give ids in its first column and numbers in its second, or leave "
            "--original-ids out"
        )
    renamed = [names[token] for token in tokens]
    if len(set(renamed)) < len(renamed):
        raise UserError(f"{path}: two numbers have the same original id; leave --original-ids out")
    return np.array(renamed, dtype=object)
