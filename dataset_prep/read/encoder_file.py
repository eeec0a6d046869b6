"""``NAME.encoder.json`` beside ``NAME.npy``: what made the features, tied to them by checksums."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from recbole_painvrl.data.folder import file_hash
from recbole_painvrl.errors import UserError

ENDING = ".encoder.json"


def encoder_record(encoder: str, notes: dict[str, Any], files: list[Path]) -> dict[str, Any]:
    """Content of the file for features in ``files`` (the matrix and its ids)."""
    return {
        "encoder": encoder,
        "notes": notes,
        "sha256": {path.name: file_hash(path) for path in files},
    }


def read_encoder(matrix: Path) -> tuple[str, dict[str, Any]] | None:
    """Encoder and notes of a matrix file, or None where nothing is recorded.

    Raises:
        UserError: unreadable, or the matrix or its ids changed since they were recorded.
    """
    path = matrix.with_name(matrix.name.removesuffix(".npy") + ENDING)
    if not path.is_file():
        return None
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        encoder, notes, hashes = str(found["encoder"]), dict(found["notes"]), dict(found["sha256"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UserError(f"{path}: no record of an encoder; extract again or delete it") from error
    for name, expected in hashes.items():
        # Only files beside it: the record may come from anywhere.
        beside = path.with_name(Path(str(name)).name)
        if not beside.is_file() or file_hash(beside) != expected:
            raise UserError(
                f"{beside}: missing or changed since {path.name} was written; extract again, or "
                f"delete {path.name} if the change is meant"
            )
    return encoder, notes
