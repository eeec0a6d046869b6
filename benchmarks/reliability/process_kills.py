"""Runs of two processes, one of which is killed; resumed, they must equal a whole run.

    python -m benchmarks.reliability.process_kills --runs 30

As ``benchmarks.reliability.kills``, in runs as torchrun starts them. After every kill the manifest
must name files that are there and readable.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Sequence
from datetime import timedelta
from functools import partial
from multiprocessing.context import ForkProcess
from pathlib import Path
from typing import Any

from benchmarks.reliability import kills, runs

_CASES = ("UltraGCN", "VBPR", "PaInvRL", "InvRL")
_SIZE = 2
# Number of digits with which a port is written.
_DIGITS = 5


class Bench(kills.Bench):
    """Runs of two processes; a random one of them is killed."""

    def start(
        self,
        argv: Sequence[str],
        folder: Path,
        fraction: float = 1e9,
        hook: runs.SaveHook | None = None,
    ) -> list[ForkProcess]:
        """Start the processes; the first one of the list has the hook."""
        from torch import distributed

        stores: Any = distributed
        readable, writable = os.pipe()
        processes: list[ForkProcess] = []
        for rank in self.rng.sample(range(_SIZE), _SIZE):
            hooks: list[Callable[[], None]] = [partial(runs.save_often, fraction)]
            hooks.append(partial(_as_rank, rank, readable))
            if hook is not None and not processes:
                hooks.append(hook)
            processes.append(runs.start(argv, kills.log_of(folder), *hooks))
        # Made after the forks, since its thread may hold a lock; kept as long as the processes run.
        self._store = stores.TCPStore("127.0.0.1", 0, is_master=True, wait_for_workers=False)
        os.write(writable, f"{self._store.port:0{_DIGITS}}".encode() * _SIZE)
        os.close(readable)
        os.close(writable)
        return processes


def _as_rank(rank: int, port: int) -> None:
    """Give this process an environment as torchrun does, and little patience."""
    from recbole_painvrl.parallel import launch

    launch._PATIENCE = launch._PEER_PATIENCE = timedelta(seconds=1)
    for name, value in {
        "RANK": rank,
        "LOCAL_RANK": rank,
        "WORLD_SIZE": _SIZE,
        "LOCAL_WORLD_SIZE": _SIZE,
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": os.read(port, _DIGITS).decode(),
        "TORCHELASTIC_USE_AGENT_STORE": True,
    }.items():
        os.environ[name] = str(value)


if __name__ == "__main__":
    sys.exit(kills.main(None, __doc__, Bench, _CASES))
