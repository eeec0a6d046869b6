"""How ``torchrun`` started this process, and the one error message of all processes."""

from __future__ import annotations

import os
import signal
import sys
from contextlib import suppress
from datetime import timedelta
from typing import Any

from recbole_painvrl.errors import UserError

# How long an ending process waits for the others, and for the message of one that ended first.
# Together less than the 30 seconds after which torchrun kills.
_PATIENCE, _PEER_PATIENCE = timedelta(seconds=15), timedelta(seconds=5)
_ENDED, _CODE = "recbole_painvrl/ended", "recbole_painvrl/exit code"


def world_size() -> int:
    """Number of processes that ``torchrun`` started; 1 without it."""
    return _number("WORLD_SIZE", 1)


def global_rank() -> int:
    """Number of this process among all, from 0."""
    return _number("RANK", 0)


def local_rank() -> int:
    """Number of this process among those of its machine, from 0."""
    return _number("LOCAL_RANK", 0)


def local_size() -> int:
    """Number of processes on this machine."""
    return _number("LOCAL_WORLD_SIZE", 1)


def command() -> list[str]:
    """Words of ``torchrun`` that start as many processes again.

    On several machines the user puts the address of the rendezvous in the place of HOST:PORT.
    """
    if local_size() == world_size():
        return ["torchrun", f"--nproc-per-node={world_size()}"]
    n_machines = -(-world_size() // local_size())
    machines = [f"--nnodes={n_machines}", f"--nproc-per-node={local_size()}"]
    return ["torchrun", *machines, "--rdzv-backend=c10d", "--rdzv-endpoint=HOST:PORT"]


def refuse_several(what: str) -> None:
    """Refuse what is made for one process, where ``torchrun`` has started several.

    Raises:
        UserError: there are several processes.
    """
    if world_size() > 1:
        raise UserError(
            f"{what} runs in one process, found WORLD_SIZE={world_size()}; start it without "
            "torchrun, which is for `run_recbole.py`"
        )


def check_start() -> None:
    """Refuse processes that cannot find each other, and automatic restarts.

    Raises:
        UserError: naming the environment variable.
    """
    if "MASTER_ADDR" not in os.environ or "RANK" not in os.environ:
        raise UserError(
            f"WORLD_SIZE={world_size()} without RANK and MASTER_ADDR; start the processes by "
            "`torchrun --nproc-per-node=N run_recbole.py ...`, or remove WORLD_SIZE"
        )
    if _number("TORCHELASTIC_RESTART_COUNT", 0):
        raise UserError(
            "torchrun has restarted the processes; start it with `--max-restarts=0` (its default) "
            "and go on by `--resume=RUN`"
        )


def end(line: str, code: int, by_peer: bool = False) -> int:
    """Print the error line of this process, unless another one has printed its own.

    Args:
        line: what went wrong.
        code: exit code of this process.
        by_peer: whether it only ends because another process did.

    Returns:
        The exit code, that of the process that printed.
    """
    if world_size() == 1:
        print(line, file=sys.stderr)
        return code
    with suppress(ValueError):
        # torchrun ends the others when one ends; this process then still has to set its exit code.
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    store = _store()
    if store is None:
        if global_rank() == 0:
            print(line, file=sys.stderr)
        return code
    # Requests fail if the process that holds the store has ended.
    with suppress(RuntimeError):
        if by_peer:
            # Without effect if the peer was killed without a message.
            _wait(store, [_CODE], _PEER_PATIENCE)
        if store.add(_ENDED, 1) == 1:
            print(line, file=sys.stderr, flush=True)
            store.set(_CODE, str(code))
        code = int(store.get(_CODE))
        store.set(f"{_ENDED}/{global_rank()}", "")
        _wait(store, [f"{_ENDED}/{rank}" for rank in range(world_size())], _PATIENCE)
    return code


def _wait(store: Any, keys: list[str], patience: timedelta) -> None:
    with suppress(RuntimeError):
        store.wait(keys, patience)


def _store() -> Any:
    """The key-value store of ``torchrun``; None where it cannot be reached."""
    from torch import distributed

    try:
        address, port = os.environ["MASTER_ADDR"], int(os.environ["MASTER_PORT"])
        store: Any = distributed.TCPStore  # type: ignore[attr-defined]
        return store(address, port, is_master=False, timeout=_PATIENCE)
    except (KeyError, ValueError, RuntimeError):
        return None


def _number(name: str, default: int) -> int:
    text = os.environ.get(name, "")
    return int(text) if text.isdecimal() else default
