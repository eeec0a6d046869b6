"""Builders and readers shared by the tests of ``dataset_prep``."""

from __future__ import annotations

import contextlib
import io
import json
from collections.abc import Sequence
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
    return passed(prepare(*arguments))


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


def manifest(folder: Path) -> dict[str, Any]:
    """Content of the manifest."""
    content: dict[str, Any] = json.loads((folder / "manifest.json").read_text())
    return content


def write(path: Path, text: str | bytes) -> Path:
    """A file with this content."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def table(folder: Path, content: str | bytes, *options: Any, file: str = "e.csv") -> Result:
    """Prepare ``folder/out`` with the source ``table`` from a file with this content."""
    path = write(folder / file, content)
    return prepare("table", "--input", path, "--output", folder / "out", "--force", *options)


def refused(result: Result, *words: str) -> str:
    """The error line of a refused run, which contains the words."""
    for word in words:
        assert word in result.refusal
    return result.refusal


def passed(result: Result) -> Result:
    """A run that must have succeeded."""
    assert result.code == 0, result.out + result.err
    return result


# Vectors that identify their item, whose index is k.
N = 9
MATRIX = np.array([[k + 0.5, k * k + 0.25, -k - 0.125] for k in range(N)])
# Order of the lines of a file; it differs from the order of the items.
ORDER = [7, 3, 0, 5, 1, 2, 8, 6, 4]
WORDS = [f"i{k}" for k in range(N)]
# Ids that could be row indices.
MIXED = ["4", "8", "0", "6", "1", "3", "2", "7", "5"]
KINDS = {"words": WORDS, "mixed": MIXED}


def with_vectors(folder: Path, ids: Sequence[str], path: Path, *options: Any) -> Result:
    """Prepare interactions of all items with a feature file as modality ``v``."""
    rows = [f"u{user},{token}" for user in range(2) for token in ids]
    content = "\n".join(["user_id,item_id", *rows, ""])
    return table(folder, content, "--features", f"v={path}", *options, file="events.csv")


def check_vectors(folder: Path, ids: Sequence[str], path: Path, *options: Any) -> None:
    """Every item gets its vector."""
    passed(with_vectors(folder, ids, path, *options))
    expected = {token: MATRIX[k].tolist() for k, token in enumerate(ids)}
    assert features(folder / "out", "v") == expected


def numbers(k: int, separator: str = ",") -> str:
    """The vector of item k as text."""
    return separator.join(map(str, MATRIX[k]))


def lines(ids: Sequence[str], header: str | None, line: str) -> str:
    """A table in another order than the items; ``{i}`` id, ``{k}`` index, ``{v}`` vector."""
    rows = [line.format(i=ids[k], k=k, v=numbers(k)) for k in ORDER]
    return "\n".join([*([] if header is None else [header]), *rows, ""])
