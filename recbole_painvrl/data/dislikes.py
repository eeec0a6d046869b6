"""Interactions that say that a user did not like an item."""

from __future__ import annotations

from logging import getLogger
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from recbole.utils import EvaluatorType

from recbole_painvrl.data.atomic_files import read_columns
from recbole_painvrl.errors import UserError

# Columns by whose names 0 says that the user did not like the item.
_NAMES = frozenset({"rating", "label", "click", "is_click", "clicked", "like", "is_like", "liked"})


def check_dislikes(
    config: Any, path: Path, types: dict[str, str], form: tuple[str, str, bool], fixed: bool
) -> None:
    """Ask about ratings, labels and clicks of 0 or less, which a ranking counts as positives.

    ``val_interval`` answers: what it keeps is meant.

    Args:
        config: RecBole configuration.
        path: an ``.inter`` file.
        types: type of each of its columns.
        form: separator, encoding, and whether quote marks enclose cells.
        fixed: the split is fixed by files, which nothing filters; then this is a warning.

    Raises:
        UserError: some rows have such a value, and ``val_interval`` says nothing of the column.
    """
    names = {config["RATING_FIELD"], config["LABEL_FIELD"], *_NAMES} & set(types)
    names -= set(config["val_interval"] or {})
    if config["eval_type"] != EvaluatorType.RANKING or not names:
        return
    for name, cells in read_columns(path, types, sorted(names), *form).items():
        numbers = pd.to_numeric(cells, errors="coerce").to_numpy(np.float64)
        n_disliked = int((numbers <= 0).sum())
        if not n_disliked:
            continue
        found = (
            f"{path}: {n_disliked} of {len(numbers)} rows have `{name}` <= 0 and count as positives"
        )
        if not fixed:
            raise UserError(
                f"{found}; drop them with \"--val_interval={{{name}: '(0,inf)'}}\", or keep them "
                f"with \"--val_interval={{{name}: '(-inf,inf)'}}\""
            )
        getLogger("recbole_painvrl").warning("%s", found)
