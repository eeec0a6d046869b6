"""Stops the mask and environment stages at a non-finite number, and says where."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

import torch
from torch import Tensor

from recbole_painvrl.errors import BadNumberError, NonFiniteLossError
from recbole_painvrl.training.guard import blame


def check_step(
    losses: Mapping[str, float],
    norms: Mapping[str, float],
    columns: Callable[[], Mapping[str, Tensor]],
) -> None:
    """Stop before a joint step of which a loss or a gradient is not finite.

    Args:
        losses: value of every loss.
        norms: norm of every loss's gradient by the mask.
        columns: gives the tensors ``[..., d]`` among which the culprit is.
    """
    for name, value in losses.items():
        if not math.isfinite(value):
            raise BadNumberError(f"{name} is {value:g}", columns())
    for name, value in norms.items():
        if not math.isfinite(value):
            raise BadNumberError(f"the mask's gradient of {name} has norm {value:g}", columns())


def check_state(tensors: Mapping[str, Tensor]) -> None:
    """Stop after an epoch that left something learnt that is not finite."""
    for name, tensor in tensors.items():
        if not bool(torch.isfinite(tensor).all()):
            raise BadNumberError(f"{name} is not finite", tensors)


@contextmanager
def in_batch(number: int) -> Iterator[None]:
    """Remember the batch, from 1, in which a number went wrong inside."""
    try:
        yield
    except BadNumberError as error:
        error.batch = number
        raise


@contextmanager
def stopped_at(
    place: Callable[[], str], slices: Mapping[str, slice], settings: str
) -> Iterator[None]:
    """Turn what went wrong inside into the error that a user reads.

    Args:
        place: gives stage and epoch, or round.
        slices: columns of each modality.
        settings: what to lower.

    Raises:
        NonFiniteLossError: with the term, the place and the first bad feature column.
    """
    try:
        yield
    except BadNumberError as error:
        batch = "" if error.batch is None else f", batch {error.batch}"
        raise NonFiniteLossError(
            f"{place()}{batch}: {error}; {blame(error.columns, slices)}; lower "
            f"{settings}; the last good checkpoint is kept"
        ) from error
