"""What every encoder gives back."""

from __future__ import annotations

import datetime
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from dataset_prep.read.arrays import ArrayMatrix
from dataset_prep.read.features import FeatureTable
from recbole_painvrl.errors import UserError


@dataclass
class Encoded:
    """Feature rows and how they were made.

    Attributes:
        matrix: ``[n, d]`` float32, one row per input.
        absent: inputs without content, ``[n]``.
        encoder: name and version.
        notes: ``layer``, ``size``, ``normalisation``, ``date`` and more for the manifest.
    """

    matrix: npt.NDArray[np.float32]
    absent: npt.NDArray[np.bool_]
    encoder: str
    notes: dict[str, Any] = field(default_factory=dict)

    def table(self, name: str, where: str, tokens: Sequence[str]) -> FeatureTable:
        """The rows as a modality of the items ``tokens``; inputs without content get no row."""
        kept = np.flatnonzero(~self.absent)
        if not len(kept):
            raise UserError(f"{where}: no item has content for {self.encoder}; check the file")
        return FeatureTable(
            name,
            where,
            [tokens[place] for place in kept.tolist()],
            ArrayMatrix(self.matrix[kept]),
            encoder=self.encoder,
            notes=self.notes,
        )


def encoder_notes(layer: str, width: int, normalisation: str, **more: object) -> dict[str, Any]:
    """What the manifest says about an encoder; ``date`` is today's."""
    return {
        "layer": layer,
        "size": width,
        "normalisation_of_encoder": normalisation,
        "date": datetime.datetime.now(tz=datetime.UTC).date().isoformat(),
        **more,
    }


def missing_package(what: str, error: ImportError, *packages: str) -> UserError:
    """The error for optional packages that are not all installed, with one command for them."""
    wanted = " ".join(packages)
    return UserError(f"{what}: needs {', '.join(packages)} ({error}); type `pip install {wanted}`")
