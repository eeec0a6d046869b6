"""What the processes of a run sum, gather and agree on.

Without ``torchrun`` there is no process group, and every function here is the identity.
"""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from datetime import timedelta
from typing import Any, TypeVar

import torch
import torch.distributed as dist
from torch import Tensor

from recbole_painvrl.errors import PeerError
from recbole_painvrl.parallel import launch

T = TypeVar("T")

# Longest wait for a peer: rank 0 reads the data while the others wait.
_TIMEOUT = timedelta(hours=6)
_told_to_stop = False
# On a GPU, flags of the steps since they were last read: bad numbers, and requests to stop.
_flags: Tensor | None = None


def size() -> int:
    """Number of processes that train together."""
    return dist.get_world_size() if dist.is_available() and dist.is_initialized() else 1


def rank() -> int:
    """Number of this process, from 0."""
    return dist.get_rank() if dist.is_available() and dist.is_initialized() else 0


def is_first() -> bool:
    """Whether this is the process that writes."""
    return rank() == 0


@contextmanager
def joined(device: torch.device) -> Iterator[None]:
    """Connect the processes that ``torchrun`` started for the duration of the block.

    Ctrl-C and SIGTERM then only set a flag, which :func:`sum_step` passes on to all processes.
    """
    global _told_to_stop, _flags
    if launch.world_size() == 1:
        yield
        return
    backend = "gloo"
    if device.type == "cuda":
        torch.cuda.set_device(device)
        # Rows and figures are gathered in main memory.
        backend = "cpu:gloo,cuda:nccl"
    with _peers():
        dist.init_process_group(backend, timeout=_TIMEOUT)
    _told_to_stop, _flags = False, None
    signals = (signal.SIGINT, signal.SIGTERM)
    before: dict[int, Any] = {one: signal.signal(one, _remember) for one in signals}
    try:
        yield
    except BaseException:
        # torchrun sends SIGTERM when another process ends; this one still has to report its error.
        before = dict.fromkeys(before, signal.SIG_IGN)
        raise
    finally:
        for one, handler in before.items():
            signal.signal(one, handler)
        with suppress(RuntimeError):
            dist.destroy_process_group()


def sum_(tensors: Sequence[Tensor]) -> None:
    """Sum tensors of one type and device over the processes, in place, as one flat bucket."""
    if size() == 1 or not tensors:
        return
    bucket = torch.cat([tensor.detach().reshape(-1) for tensor in tensors])
    with _peers():
        dist.all_reduce(bucket)
    for tensor, total in zip(tensors, bucket.split([t.numel() for t in tensors]), strict=True):
        tensor.detach().copy_(total.view_as(tensor))


def sum_step(tensors: Sequence[Tensor], bad: bool = False) -> None:
    """Sum the numbers of a step, and tell all processes of a bad number or a request to stop.

    On a GPU the flags are read by :func:`raise_flags`, where the host waits anyway.

    Args:
        tensors: as of :func:`sum_`.
        bad: whether this process met a number that is not finite.

    Raises:
        KeyboardInterrupt: a process was told to stop; it is raised by all, at the same step.
        PeerError: a process met a bad number.
    """
    global _flags
    if size() == 1:
        return
    own = tensors[0].new_zeros(2)
    # Filled on the device: nothing is copied there in the usual step.
    for index, flag in enumerate((bad, _told_to_stop)):
        if flag:
            own[index] = 1.0
    sum_([*tensors, own])
    _flags = own if _flags is None else _flags + own
    if _flags.device.type == "cpu":
        raise_flags()


def raise_flags() -> None:
    """Raise in all processes what a process has flagged in an earlier :func:`sum_step`."""
    global _flags
    if _flags is None:
        return
    (bad, stop), _flags = _flags.tolist(), None
    if bad:
        raise PeerError("another process met a number that is not finite")
    if stop:
        raise KeyboardInterrupt


def gather_rows(rows: Tensor) -> Tensor | None:
    """Rows of all processes, ``[n_r, ...]``, in their order, on the CPU of the first; else None."""
    if size() == 1:
        return rows
    lengths = [length for length, _ in every((len(rows), None))]
    if not is_first():
        if len(rows):
            with _peers():
                dist.send(rows.detach().cpu().contiguous(), 0)
        return None
    whole = torch.empty(sum(lengths), *rows.shape[1:], dtype=rows.dtype)
    for peer, part in enumerate(whole.split(lengths)):
        if peer == 0:
            part.copy_(rows.detach())
        elif len(part):
            with _peers():
                dist.recv(part, peer)
    return whole


def every(value: T) -> list[T]:
    """The value of every process."""
    if size() == 1:
        return [value]
    found: list[Any] = [None] * size()
    with _peers():
        dist.all_gather_object(found, value)
    return found


def from_first(make: Callable[[], T]) -> T:
    """What ``make`` returns in the first process; the others do not call it."""
    if size() == 1:
        return make()
    held: list[Any] = [make() if is_first() else None]
    with _peers():
        dist.broadcast_object_list(held, 0)
    result: T = held[0]
    return result


def tensors_from_first(make: Callable[[], Sequence[Tensor]]) -> list[Tensor]:
    """Tensors on the CPU that only the first process computes."""
    tensors = list(make()) if is_first() else []
    if size() == 1:
        return tensors
    shapes = from_first(lambda: [(list(tensor.shape), tensor.dtype) for tensor in tensors])
    tensors = tensors or [torch.empty(shape, dtype=dtype) for shape, dtype in shapes]
    with _peers():
        for tensor in tensors:
            dist.broadcast(tensor, 0)
    return tensors


def wait() -> None:
    """Go on when all processes are here."""
    every(None)


def assert_same(tensors: Mapping[str, Tensor]) -> None:
    """Stop where the processes' copies of a tensor are not equal, bit by bit.

    Raises:
        RuntimeError: naming the first such tensor; the run would train several models.
    """
    if size() == 1 or not tensors:
        return
    sums = torch.stack([_checksum(tensor) for tensor in tensors.values()])
    # The largest and the smallest checksum in one reduction.
    both = torch.cat([sums, -sums])
    with _peers():
        dist.all_reduce(both, op=dist.ReduceOp.MAX)
    differing = both[: len(sums)] != -both[len(sums) :]
    if bool(differing.any()):
        name = list(tensors)[int(differing.nonzero()[0])]
        raise RuntimeError(
            f"`{name}` differs between the processes, which should have equal copies; use the same "
            "versions and kind of device everywhere"
        )


def _checksum(tensor: Tensor) -> Tensor:
    """Sum of the bits of a tensor, as integers."""
    plain = tensor.detach().contiguous().reshape(-1)
    if not plain.numel():
        return plain.new_zeros((), dtype=torch.int64)
    width = {8: torch.int64, 4: torch.int32, 2: torch.int16, 1: torch.uint8}[plain.element_size()]
    bits = plain.view(width)
    # The second sum, of every other number, also changes if two neighbours are exchanged.
    return bits.sum(dtype=torch.int64) + bits[::2].sum(dtype=torch.int64)


def _remember(*_: Any) -> None:
    global _told_to_stop
    _told_to_stop = True


@contextmanager
def _peers() -> Iterator[None]:
    """Turn the error of waiting for a process that has ended into :class:`PeerError`."""
    try:
        yield
    except RuntimeError as error:
        raise PeerError(
            "another process of the run ended without a message (killed, out of memory?): "
            f"{' '.join(str(error).split())[:200]}"
        ) from error
