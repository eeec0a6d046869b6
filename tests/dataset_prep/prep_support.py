"""Runs the command line in this process and reads dataset folders back."""

from __future__ import annotations

import contextlib
import io
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from dataset_prep.__main__ import main
from recbole_painvrl.data.features import load_modality

SHARED = Path(__file__).resolve().parents[2].parent / "shared" / "data"


@dataclass
class Result:
    """Exit code and printed text of a run."""

    code: int
    out: str
    err: str

    @property
    def refusal(self) -> str:
        """The one line of a refused run."""
        assert self.code == 2, self.out + self.err
        lines = self.err.strip().splitlines()
        assert len(lines) == 1, lines
        assert lines[0].startswith("error: ")
        return lines[0]


def prepare(*arguments: Any) -> Result:
    """``python -m dataset_prep`` with these arguments."""
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        code = main([str(argument) for argument in arguments])
    return Result(code, out.getvalue(), err.getvalue())


def done(*arguments: Any) -> Result:
    """A run that must succeed."""
    result = prepare(*arguments)
    assert result.code == 0, result.out + result.err
    return result


def inter(folder: Path, split: str = "") -> pd.DataFrame:
    """Rows of an .inter file as text, without the type suffixes."""
    name = f"{folder.name}.{split}.inter" if split else f"{folder.name}.inter"
    frame = pd.read_csv(folder / name, sep="\t", dtype=str, keep_default_na=False)
    return frame.rename(columns=lambda column: column.partition(":")[0])


def pairs(folder: Path, split: str = "") -> list[tuple[str, str]]:
    """(user, item) of every row in file order."""
    frame = inter(folder, split)
    return list(zip(frame["user_id"], frame["item_id"], strict=True))


def features(folder: Path, modality: str) -> dict[str, list[float]]:
    """Row of each item."""
    matrix, tokens = load_modality(folder, modality)
    return {token: np.asarray(row).tolist() for token, row in zip(tokens, matrix, strict=True)}


def write(path: Path, text: str | bytes) -> Path:
    """A file with this content."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path
