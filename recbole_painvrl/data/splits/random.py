"""The protocol ``random``: RecBole's splits by ``eval_args``, with times in 64 bit."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from recbole_painvrl.data.splits.base import TEST, TRAIN, VALID, IntArray
from recbole_painvrl.errors import UserError
from recbole_painvrl.reading import reason


def random_splits(dataset: Any) -> dict[str, Any]:
    """Datasets of RecBole's split by ``eval_args``; the rows of ``dataset`` change their order.

    Raises:
        UserError: RecBole has no such split.
    """
    arguments, times = dataset.config["eval_args"], dataset.times
    try:
        kind, value = split_kind(arguments["split"])
        if arguments["order"] == "RO":
            # What RecBole's own shuffle draws.
            order = torch.randperm(len(dataset.inter_feat))
        else:
            order = torch.from_numpy(np.argsort(times, kind="stable"))
        dataset.inter_feat = dataset.inter_feat[order]
        if times is not None:
            times = dataset.times = times[order.numpy()]
        if kind == "LS":
            found = dataset.leave_one_out(dataset.uid_field, value)
        elif kind == "TS":
            dataset._drop_unused_col()
            rows = time_based_rows(dataset.inter_feat[dataset.uid_field].numpy(), times, value)
            found = [dataset.copy(dataset.inter_feat[torch.from_numpy(r)]) for r in rows]
        else:
            by_user = str(arguments["group_by"]).lower() == "user"
            found = dataset.split_by_ratio(value, dataset.uid_field if by_user else None)
    except (ValueError, TypeError, NotImplementedError, LookupError) as error:
        raise UserError(
            f"`eval_args`: {reason(error)}; expected a split such as "
            "`{split: {RS: [0.8, 0.1, 0.1]}}`"
        ) from error
    named = dict(zip((TRAIN, VALID, TEST), found, strict=True))
    if value == "test_only" or (kind != "LS" and value[1] == 0):
        del named[VALID]
    return named


def split_kind(arguments: Mapping[str, Any]) -> tuple[str, Any]:
    """Which of RecBole's splits ``eval_args: split`` asks for: ``(RS, LS or TS, its argument)``.

    Ratios come as training, validation and test, with 0 for no validation.

    Raises:
        ValueError: it names none or several.
    """
    ((kind, value),) = ((name, v) for name, v in arguments.items() if v is not None)
    if kind not in ("RS", "LS", "TS"):
        raise ValueError(f"there is no split {kind}")
    if kind != "LS" and len(value) == 2:
        value = [value[0], 0, value[1]]
    return kind, value


def time_based_rows(
    users: IntArray, times: npt.NDArray[np.float64], ratios: Sequence[float]
) -> list[IntArray]:
    """RecBole's split ``TS``: one moment for all users, then every user's latest rows before it.

    Rows later than the percentile ``1 - ratios[2]`` of all times are the test. Of a user's other
    rows, in order of time, the fraction ``ratios[0] / (1 - ratios[2])``, rounded down, is for
    training.

    Args:
        users: user of every row, ``[n]``.
        times: time of every row, ``[n]``; ties keep table order.
        ratios: training, validation and test, of any sum.

    Returns:
        Rows of training, validation and test.

    Deviations from RecBole: times are compared in 64 bit, and the rows of a user are really put
    in order of time; RecBole sorts a copy and then cuts the unsorted rows. Rounding errors, such as
    of 0.6 / (1 - 0.2), do not cost a training row.
    """
    train, _, test = np.asarray(ratios, dtype=np.float64) / sum(ratios)
    late = times > np.percentile(times, 100 * (1 - test))
    early = np.flatnonzero(~late)
    early = early[np.lexsort((times[early], users[early]))]
    _, first, counts = np.unique(users[early], return_index=True, return_counts=True)
    rank = np.arange(len(early)) - np.repeat(first, counts)
    n_train = np.floor(counts * (train / (1 - test)) + 1e-9).astype(np.int64)
    kept = rank < np.repeat(n_train, counts)
    return [early[kept], early[~kept], np.flatnonzero(late)]
