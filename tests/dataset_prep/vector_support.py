"""Items whose vectors tell them apart, and runs that check which vector each item gets."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from prep_support import Result, features, prepare, write

N = 9
# Vector k tells the item that it belongs to.
MATRIX = np.array([[k + 0.5, k * k + 0.25, -k - 0.125] for k in range(N)])
ORDER = [7, 3, 0, 5, 1, 2, 8, 6, 4]
WORDS = [f"i{k}" for k in range(N)]
MIXED = ["4", "8", "0", "6", "1", "3", "2", "7", "5"]
KINDS = {"words": WORDS, "mixed": MIXED}


def table(folder: Path, ids: Sequence[str], path: Path, *options: Any) -> Result:
    rows = [f"u{user},{token}" for user in range(2) for token in ids]
    events = write(folder / "e.csv", "\n".join(["user_id,item_id", *rows, ""]))
    base = ("table", "--input", events, "--features", f"v={path}", "--output", folder / "out")
    return prepare(*base, "--force", *options)


def check(folder: Path, ids: Sequence[str], path: Path, *options: Any) -> None:
    result = table(folder, ids, path, *options)
    assert result.code == 0, result.err
    expected = {token: MATRIX[k].tolist() for k, token in enumerate(ids)}
    assert features(folder / "out", "v") == expected


def numbers(k: int, separator: str = ",") -> str:
    return separator.join(map(str, MATRIX[k]))


def lines(ids: Sequence[str], header: str | None, line: Callable[[int, str], str]) -> str:
    rows = [line(k, ids[k]) for k in ORDER]
    return "\n".join([*([] if header is None else [header]), *rows, ""])


def of_json(form: str, ids: Sequence[str]) -> str:
    records = [{"title": "T", "item_id": ids[k], "emb": MATRIX[k].tolist()} for k in ORDER]
    flat = [{"asin": ids[k], **dict(zip("abc", MATRIX[k], strict=True))} for k in ORDER]
    maps = {ids[k]: MATRIX[k].tolist() for k in ORDER}
    listed = {"ids": [ids[k] for k in ORDER], "features": [MATRIX[k].tolist() for k in ORDER]}
    per_line = {
        "lines of records": records,
        "lines of numbers": flat,
        "lines of maps": [{key: vector} for key, vector in maps.items()],
        "lines of pairs": [[key, vector] for key, vector in maps.items()],
    }
    whole = {
        "map": maps,
        "records": records,
        "records of numbers": flat,
        "pairs": list(maps.items()),
        "ids and features": listed,
    }
    if form in per_line:
        return "".join(json.dumps(value) + "\n" for value in per_line[form])
    return json.dumps(whole[form], indent=1)
