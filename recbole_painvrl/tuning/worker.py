"""Workers of a search: this process, or several parallel processes."""

from __future__ import annotations

import functools
import multiprocessing
import signal
import sys
import time
from collections.abc import Callable

from recbole_painvrl.tuning.plan import Plan
from recbole_painvrl.tuning.study import Search
from recbole_painvrl.tuning.trial import run_trial

_STOPPED = 130
_GRACE = 20.0
_STOPPING = (signal.SIGINT, signal.SIGTERM)


def work(plan: Plan, say: Callable[[str], None], begun: float | None = None) -> None:
    """Run trials until the search is done or the timeout is reached.

    Args:
        plan: the search.
        say: receives a line per trial.
        begun: ``time.time()`` at the start of the timeout.
    """
    search = Search(plan)
    start = time.time() if begun is None else begun
    parent = multiprocessing.parent_process()
    while plan.timeout is None or time.time() - start < plan.timeout:
        if parent is not None and not parent.is_alive():
            # The command was killed; re-running it resumes the search.
            return
        if not search.step(functools.partial(run_trial, search, say)):
            return


def work_in_processes(plan: Plan, workers: int) -> int:
    """Run several workers; returns how many ended with an error.

    Raises:
        KeyboardInterrupt: after the workers queued their trials again.
    """
    # Spawned, not forked: PyTorch's threads and CUDA do not survive a fork.
    context = multiprocessing.get_context("spawn")
    begun = time.time()
    processes = [context.Process(target=_process, args=(plan, begun)) for _ in range(workers)]
    for process in processes:
        process.start()
    try:
        for process in processes:
            process.join()
    except KeyboardInterrupt:
        for process in processes:
            process.terminate()
        end = time.time() + _GRACE
        for process in processes:
            process.join(max(0.0, end - time.time()))
        raise
    finally:
        for process in processes:
            if process.is_alive():
                process.kill()
                process.join()
    return sum(process.exitcode != 0 for process in processes)


def _stop_once(number: int, frame: object) -> None:
    """Ctrl-C reaches a worker twice, from the terminal and from its parent; the first counts."""
    for other in _STOPPING:
        signal.signal(other, signal.SIG_IGN)
    raise KeyboardInterrupt


def _process(plan: Plan, begun: float) -> None:
    for number in _STOPPING:
        signal.signal(number, _stop_once)
    try:
        work(plan, lambda line: print(line, flush=True), begun)
    except KeyboardInterrupt:
        sys.exit(_STOPPED)
