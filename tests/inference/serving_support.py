"""What the tests of complete runs share: lists as frames, and interactions by own ids."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import pandas as pd
from support import id_pairs

from recbole_painvrl.inference.recommending import Exclude, Recommended, Recommender
from recbole_painvrl.inference.scoring import Scorer

MakeRun = Callable[..., Path]


def frame(blocks: Iterable[Recommended]) -> pd.DataFrame:
    """All rows of all blocks."""
    names = ("user_id", "item_id", "rank", "score")
    tables = [pd.DataFrame({name: getattr(block, name) for name in names}) for block in blocks]
    return pd.concat(tables, ignore_index=True)


def everybody(run: Any) -> list[str]:
    """Own ids of all users."""
    return [str(token) for token in run.dataset.field2id_token["user_id"][1:]]


def lists(scorer: Scorer, k: int = 10, exclude: Exclude = "train", block: int = 50) -> pd.DataFrame:
    """Lists of all users."""
    return frame(Recommender(scorer, k, exclude, block).known(everybody(scorer.run)))


def pairs(run: Any, part: str | None = None) -> set[tuple[str, str]]:
    """(user, item) of a part, or of the whole dataset, by own ids."""
    users, items = (run.dataset.field2id_token[name] for name in ("user_id", "item_id"))
    numbers = id_pairs(run.dataset if part is None else run.parts[part])
    return {(str(users[u]), str(items[i])) for u, i in numbers}


def items_of(run: Any, user: str, part: str = "train") -> list[str]:
    """Own ids of a user's items in a part."""
    return sorted(item for name, item in pairs(run, part) if name == user)
