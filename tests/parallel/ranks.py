"""Processes as ``torchrun`` starts them, forked from the test process."""

from __future__ import annotations

import os
import signal
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import torch.distributed as dist
from forks import Fork

from recbole_painvrl.cli.run import main
from recbole_painvrl.parallel import launch

_DIGITS = 5


@dataclass(frozen=True)
class Ended:
    """Exit codes and errors of the processes, and what all of them printed."""

    codes: list[int]
    errors: list[str]
    out: str

    @property
    def lines(self) -> list[str]:
        """Lines of all processes that say why a run ended."""
        words = ("error", "stopped")
        return [
            line for text in self.errors for line in text.splitlines() if line.startswith(words)
        ]


def ranks(size: int, job: Callable[[int], int], folder: Path) -> Ended:
    """Run a function of the rank in as many processes as ``torchrun`` would start."""
    # The store has a thread, which may hold a lock at the moment of a fork: it comes after them.
    readable, writable = os.pipe()
    out = [tempfile.TemporaryFile("w+") for _ in range(size)]  # noqa: SIM115
    err = [tempfile.TemporaryFile("w+") for _ in range(size)]  # noqa: SIM115

    def start(rank: int) -> Fork:
        def run() -> int:
            os.environ["MASTER_PORT"] = os.read(readable, _DIGITS).decode()
            launch._PATIENCE = launch._PEER_PATIENCE = timedelta(seconds=1)
            signal.signal(signal.SIGTERM, signal.default_int_handler)
            return job(rank)

        env = {
            "RANK": str(rank),
            "LOCAL_RANK": str(rank),
            "WORLD_SIZE": str(size),
            "LOCAL_WORLD_SIZE": str(size),
            "MASTER_ADDR": "127.0.0.1",
            "TORCHELASTIC_USE_AGENT_STORE": "True",
        }
        return Fork(run, stdout=out[rank], stderr=err[rank], cwd=folder, env=env)

    forks = [start(rank) for rank in range(size)]
    store = dist.TCPStore("127.0.0.1", 0, is_master=True, wait_for_workers=False)
    os.write(writable, f"{store.port:0{_DIGITS}}".encode() * size)
    codes = [fork.wait() for fork in forks]
    del store
    os.close(readable), os.close(writable)
    texts = []
    for stream in (*out, *err):
        stream.seek(0)
        texts.append(stream.read())
        stream.close()
    return Ended(codes, texts[size:], "".join(texts[:size]))


def checks(size: int, job: Callable[[int], None], folder: Path) -> None:
    """Run assertions in several processes."""

    def run(rank: int) -> int:
        job(rank)
        return 0

    ended = ranks(size, run, folder)
    assert ended.codes == [0] * size, "\n".join(ended.errors)


def run_ranks(
    size: int, argv: Sequence[str], folder: Path, before: Callable[[int], None] | None = None
) -> Ended:
    """The command ``run`` in several processes; ``before`` changes something in them first."""

    def job(rank: int) -> int:
        sys.argv = ["run_recbole.py", *argv]
        if before is not None:
            before(rank)
        return main(list(argv))

    return ranks(size, job, folder)


def exit_at(call: int, function: Callable[..., object]) -> Callable[..., object]:
    """The function, which kills its process at the n-th call, as SIGKILL would."""
    count = 0

    def counted(*arguments: object, **keywords: object) -> object:
        nonlocal count
        count += 1
        if count == call:
            os._exit(9)
        return function(*arguments, **keywords)

    return counted
