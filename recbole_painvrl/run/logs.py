"""Logging of a run: figures on the console, everything in ``train.log``."""

from __future__ import annotations

import logging
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from logging.handlers import MemoryHandler
from pathlib import Path

from recbole_painvrl.parallel.launch import global_rank

PLUGIN = "recbole_painvrl"


class _LogFile(logging.FileHandler):
    """A log file that, on a full disk, says so once in place of a traceback per record."""

    _refused = False

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802
        error = sys.exc_info()[1]
        if not isinstance(error, OSError):
            super().handleError(record)
        elif not self._refused:
            self._refused = True
            print(f"{self.baseFilename}: not written ({error.strerror})", file=sys.stderr)

    def close(self) -> None:
        """Close the file; records that a full disk refuses are lost."""
        with suppress(OSError):
            super().close()


def shows_bars(wanted: bool) -> bool:
    """Whether to draw progress bars: those that nobody watches would fill a log file."""
    return wanted and sys.stderr.isatty()


class RunLog:
    """Keeps early records in memory until the run folder exists."""

    def __init__(self) -> None:
        self.memory = MemoryHandler(100_000, flushLevel=logging.CRITICAL + 1, flushOnClose=False)
        self.file: _LogFile | None = None

    def write_to(self, path: Path) -> None:
        """Continue in a file, beginning with what was said so far."""
        self.file = _LogFile(path, encoding="utf-8")
        self.file.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
        self.memory.setTarget(self.file)
        self.memory.flush()
        logging.getLogger().removeHandler(self.memory)
        logging.getLogger().addHandler(self.file)


def _quiet_event_writer(arguments: threading.ExceptHookArgs) -> None:
    """Hide an OSError's traceback in TensorBoard's thread; the run reports it in one line."""
    if not isinstance(arguments.exc_value, OSError):
        threading.__excepthook__(arguments)


@contextmanager
def run_log() -> Iterator[RunLog]:
    """Handlers for the duration of a run; the loggers are left as they were."""
    root, plugin, log = logging.getLogger(), logging.getLogger(PLUGIN), RunLog()
    levels = root.level, plugin.level
    console = logging.StreamHandler(sys.stderr)
    console.setFormatter(logging.Formatter("%(message)s"))
    console.addFilter(
        lambda record: (
            record.levelno >= logging.WARNING
            or (record.name.startswith(PLUGIN) and record.levelno >= logging.INFO)
        )
    )
    if global_rank():
        # Every process has the same to say.
        console.setLevel(logging.CRITICAL + 1)
    excepthook = threading.excepthook
    threading.excepthook = _quiet_event_writer
    root.setLevel(logging.INFO)
    plugin.setLevel(logging.DEBUG)
    root.addHandler(console)
    root.addHandler(log.memory)
    try:
        yield log
    finally:
        for handler in (console, log.memory, log.file):
            if handler is not None:
                root.removeHandler(handler)
                handler.close()
        threading.excepthook = excepthook
        root.setLevel(levels[0])
        plugin.setLevel(levels[1])
