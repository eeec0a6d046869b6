"""Engines of grids and searches: where their processes run."""

from __future__ import annotations

import logging
import os
import secrets
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import CancelledError, Executor, Future, ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import NamedTuple

from recbole_painvrl.atomic import write_bytes
from recbole_painvrl.errors import InterruptedRunError, UserError
from recbole_painvrl.experiments import launch

# Set the threads of NumPy, PyTorch and their libraries.
_THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMEXPR_NUM_THREADS")
_CONNECT_SECONDS = 5
Started = Callable[[str], object]


class Engine(NamedTuple):
    """Where processes run.

    Attributes:
        executor: of the engine; leaving the engine by an exception stops all its processes.
        task: what the executor runs: arguments and a name to exit code and last line printed.
        shared: a file that a process must see, if it may run on another machine.
    """

    executor: Executor
    task: Callable[[Sequence[str], str], tuple[int, str]]
    shared: str | None = None


def open_engine(
    name: str, workers: int, output: Path, started: Started
) -> AbstractContextManager[Engine]:
    """The engine of an option ``--engine``.

    Args:
        name: ``local`` or ``dask:ADDRESS``.
        workers: number of parallel processes of the local engine.
        output: folder that all machines share.
        started: called with the name of a task that starts.
    """
    if name == "local":
        return _local(workers, started)
    return _dask(name.removeprefix("dask:"), output, started)


def outcome(future: Future[tuple[int, str]]) -> tuple[int, str]:
    """Exit code and last line of a task that has ended.

    Raises:
        InterruptedRunError: the scheduler is gone, and with it all that ran.
    """
    try:
        return future.result()
    except CancelledError as error:
        raise InterruptedRunError("the connection to the Dask scheduler is lost") from error
    except Exception as error:  # noqa: BLE001  # several workers died of it, or memory is short
        return launch.STOPPED, f"{type(error).__name__}: {' '.join(str(error).split())}"


@contextmanager
def _local(workers: int, started: Started) -> Iterator[Engine]:
    stops = 0
    environment = {**_package(), **dict.fromkeys(_THREADS, str(threads_per_run(workers)))}

    def task(words: Sequence[str], name: str) -> tuple[int, str]:
        started(name)
        return launch.launch(words, os.getcwd(), environment, lambda: stops)

    with ThreadPoolExecutor(workers) as executor:
        try:
            yield Engine(executor, task)
        except BaseException:
            stops = 1
            try:
                executor.shutdown(cancel_futures=True)
            except KeyboardInterrupt:
                stops = 2
            raise


@contextmanager
def _dask(address: str, output: Path, started: Started) -> Iterator[Engine]:
    import cloudpickle
    from distributed import Client

    cloudpickle.register_pickle_by_value(launch)
    # Lost workers are normal here; their tasks run again.
    for logger in ("distributed", "distributed.client"):
        logging.getLogger(logger).setLevel(logging.CRITICAL)
    try:
        client = Client(address, timeout=_CONNECT_SECONDS, set_as_default=False)
    except (OSError, ValueError) as error:
        raise UserError(
            f"`--engine`: no Dask scheduler answers at {address} ({' '.join(str(error).split())}); "
            "start one by `dask scheduler`, see docs/cluster.md"
        ) from error
    shared = output.resolve() / f".shared-{secrets.token_hex(8)}"
    write_bytes(shared, b"")
    with client:
        client.subscribe_topic(shared.name, lambda event: started(event[1]))
        call, given = launch.launch_on_worker, (os.getcwd(), _package(), shared.name)

        # A local function travels by value, and with it what it calls.
        def task(words: Sequence[str], name: str) -> tuple[int, str]:
            return call(words, name, *given)

        executor = client.get_executor()
        try:
            yield Engine(executor, task, str(shared))
        finally:
            shared.unlink(missing_ok=True)
            executor.shutdown(wait=False)


def _package() -> dict[str, str]:
    """In a checkout, the package is found only through PYTHONPATH."""
    root = Path(__file__).resolve().parents[2]
    return {"PYTHONPATH": str(root)} if (root / "setup.py").is_file() else {}


def threads_per_run(workers: int) -> int:
    """CPU threads per process, so that all together use no more than the cores."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    fraction = max(1, (cores or 1) // workers)
    allowed = os.environ.get("OMP_NUM_THREADS", "")
    return min(fraction, int(allowed)) if allowed.isdigit() and int(allowed) else fraction
