"""Logging of a run: figures on the console, everything in ``train.log``."""

from __future__ import annotations

import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from logging.handlers import MemoryHandler
from pathlib import Path

PLUGIN = "recbole_painvrl"


class RunLog:
    """Keeps early records in memory until the run folder exists."""

    def __init__(self) -> None:
        self.memory = MemoryHandler(100_000, flushLevel=logging.CRITICAL + 1, flushOnClose=False)
        self.file: logging.FileHandler | None = None

    def write_to(self, path: Path) -> None:
        """Continue in a file, beginning with what was said so far."""
        self.file = logging.FileHandler(path, encoding="utf-8")
        self.file.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
        self.memory.setTarget(self.file)
        self.memory.flush()
        logging.getLogger().removeHandler(self.memory)
        logging.getLogger().addHandler(self.file)


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
        root.setLevel(levels[0])
        plugin.setLevel(levels[1])
