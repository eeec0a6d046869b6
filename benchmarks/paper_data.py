"""Datasets of the paper's sizes: MMGCN's MovieLens with planted features, and planted Tiktok."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from recbole_painvrl.data.folder import DatasetContent, write_dataset
from recbole_painvrl.data.planted.embedded import item_factors
from recbole_painvrl.data.planted.synthetic import (
    PlantedDesign,
    generate_planted,
    mixture_columns,
    numpy_generator,
)

PAIRS_HELP = (
    ".npz with arrays [n, 2] of user and item numbers, such as the MovieLens interactions of "
    "MMGCN's or CLCRec's repository; for the size movielens only"
)
_WIDTHS = {"visual": 2048, "acoustic": 128, "textual": 100}
_NOISE = 0.3


def paper_dataset(size: str, pairs: Path | None, data: Path) -> None:
    """Write ``data/movielens`` or ``data/tiktok``, unless it is there.

    Args:
        size: ``movielens`` or ``tiktok``.
        pairs: arrays of user and item numbers, all splits; for ``movielens`` only.
        data: folder of dataset folders.
    """
    if (data / size).is_dir():
        return
    if size == "tiktok":
        content = tiktok()
    elif pairs is None:
        raise SystemExit(
            "error: the size movielens needs its interactions; give --pairs (see --help), or "
            "--sizes tiktok, which needs nothing"
        )
    else:
        content = movielens(pairs)
    write_dataset(content, data / size)


def movielens(pairs: Path) -> DatasetContent:
    """Real interactions of the paper's size with planted features of its widths.

    Half of the columns are mixtures of the leading item factors of all interactions, half of
    styles that nobody's taste knows. Made for time and memory: the factors know the test set.
    """
    with np.load(pairs, allow_pickle=False) as arrays:
        table = np.unique(np.concatenate([arrays[name] for name in arrays.files]), axis=0)
    users, (items, numbers) = table[:, 0], np.unique(table[:, 1], return_inverse=True)
    factors = item_factors(users, numbers)
    styles = numpy_generator(0, "movielens styles").standard_normal(factors.shape)
    tokens = items.astype(str).tolist()
    features = {}
    for name, width in _WIDTHS.items():
        rng = numpy_generator(0, f"movielens features {name}")
        features[name] = (mixture_columns(factors, styles, width, _NOISE, rng)[0], tokens)
    return DatasetContent(
        name="movielens",
        edition="real interactions, planted features",
        source=pairs.name,
        licence="none",
        interactions=pd.DataFrame(table.astype(str), columns=["user_id", "item_id"]),
        features=features,
    )


def tiktok() -> DatasetContent:
    """Planted interactions and features of the paper's Tiktok size."""
    design = PlantedDesign(
        n_users=36_656,
        n_items=76_085,
        min_interactions=15,
        max_interactions=25,
        modalities={"visual": 128, "acoustic": 128, "textual": 128},
    )
    return generate_planted(design, "tiktok")
