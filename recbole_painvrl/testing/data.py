"""Small datasets on which the laws are tested."""

from __future__ import annotations

import functools
from pathlib import Path

import numpy as np
import pandas as pd

from recbole_painvrl.data.folder import DatasetContent, write_dataset
from recbole_painvrl.data.planted import PlantedDesign, generate_planted

_TINY = PlantedDesign(
    n_users=120,
    n_items=90,
    min_interactions=15,
    max_interactions=20,
    modalities={"visual": 16, "acoustic": 8},
)


@functools.cache
def datasets(base: Path) -> Path:
    """``plain``, ``shuffled`` and ``board``, each with a dataset ``tiny``."""
    root = base / "laws"
    write_dataset(generate_planted(_TINY, "tiny"), root / "plain" / "tiny")
    _shuffle(root / "plain", root / "shuffled")
    write_dataset(_checkerboard(), root / "board" / "tiny")
    return root


def _shuffle(source: Path, target: Path) -> None:
    """Every interaction file in another order: other internal numbers."""
    rng = np.random.default_rng(1)
    for path in (source / "tiny").rglob("*"):
        copied = target / path.relative_to(source)
        copied.parent.mkdir(parents=True, exist_ok=True)
        if path.suffix == ".inter":
            head, *rows = path.read_text(encoding="utf-8").splitlines()
            lines = [head, *(rows[row] for row in rng.permutation(len(rows)))]
            copied.write_text("\n".join(lines) + "\n", encoding="utf-8")
        elif path.is_file():
            copied.write_bytes(path.read_bytes())


def _checkerboard() -> DatasetContent:
    """20 users and 20 items in two groups; 7 of a user's 10 items are known, 3 are held out."""
    rng = np.random.default_rng(0)
    train, test = [], []
    for user in range(20):
        chosen = rng.permutation(10) + 10 * (user % 2)
        train += [(f"u{user}", f"i{item}") for item in chosen[:7]]
        test += [(f"u{user}", f"i{item}") for item in chosen[7:]]
    frames = [pd.DataFrame(pairs, columns=["user_id", "item_id"]) for pairs in (train, test)]
    items = [f"i{number}" for number in range(20)]
    group = np.repeat(np.eye(2), 10, axis=0)
    features = {
        "visual": (np.hstack([group, rng.normal(size=(20, 2))]).astype(np.float32), items),
        "acoustic": (rng.normal(size=(20, 3)).astype(np.float32), items),
    }
    return DatasetContent(
        *("tiny", "planted", "checkerboard", "none", pd.concat(frames)),
        splits={"train": frames[0], "test": frames[1]},
        features=features,
        default_protocol="files",
    )
