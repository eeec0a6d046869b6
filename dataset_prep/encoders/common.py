"""Shared by the encoders: their result, notes for the manifest, and files by item."""

from __future__ import annotations

import datetime
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from dataset_prep.read.matrices import FeatureTable
from dataset_prep.report import Report
from recbole_painvrl.errors import UserError


@dataclass
class Encoded:
    """Feature rows ``[n, d]`` of an encoder, and a mask ``[n]`` of inputs without content."""

    matrix: npt.NDArray[np.float32]
    absent: npt.NDArray[np.bool_]
    encoder: str
    notes: dict[str, Any] = field(default_factory=dict)

    def table(self, name: str, where: str, tokens: Sequence[str]) -> FeatureTable:
        """The rows as a modality of the items ``tokens``, without inputs that have no content."""
        kept = np.flatnonzero(~self.absent)
        if not len(kept):
            raise UserError(f"{where}: no item has content for {self.encoder}; check the file")
        ids = [tokens[index] for index in kept.tolist()]
        rows, notes = self.matrix[kept], self.notes
        return FeatureTable(name, where, ids, rows, encoder=self.encoder, notes=notes)


def encoder_notes(layer: str, width: int, normalisation: str, **more: object) -> dict[str, Any]:
    """Notes on an encoder for the manifest, with the current date."""
    return {
        "layer": layer,
        "size": width,
        "normalisation_of_encoder": normalisation,
        "date": datetime.datetime.now(tz=datetime.UTC).date().isoformat(),
        **more,
    }


def missing_package(what: str, error: ImportError, *packages: str) -> UserError:
    """The error for optional packages that are not installed, with the command to install them."""
    wanted = " ".join(packages)
    return UserError(f"{what}: needs {', '.join(packages)} ({error}); type `pip install {wanted}`")


def files_of_items(
    folder: Path, endings: Sequence[str], tokens: Sequence[str] | None, report: Report, advice: str
) -> dict[str, Path]:
    """File of each item in ``tokens``, or all files by their name if that is None.

    Only files listed in the folder are used, so that an id cannot refer to a file outside it.
    """
    if not folder.is_dir():
        raise UserError(f"{folder}: no such folder; give the folder of files named by item id")
    paths = [p for p in folder.iterdir() if p.suffix.lower() in endings and p.is_file()]
    found: dict[str, Path] = {}
    several = 0
    wanted = None if tokens is None else set(tokens)
    for path in sorted(paths, key=lambda p: (endings.index(p.suffix.lower()), p.name)):
        if wanted is None or path.stem in wanted:
            several += path.stem in found
            found.setdefault(path.stem, path)
    if several:
        report.note(
            f"{folder.name}: {several} more files of the same item; the first of "
            f"{', '.join(endings)} is used"
        )
    if not found:
        example = tokens[0] if tokens else "ID"
        raise UserError(f"{folder}: has no file named by an item, as {example}{endings[0]}{advice}")
    order = sorted(found) if tokens is None else [token for token in tokens if token in found]
    return {token: found[token] for token in order}
