"""Hooks for a child process that is to be killed inside a save; production code knows none."""

from __future__ import annotations

import io
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

Hook = Callable[[int, Path], io.BufferedWriter | None]

LOCK = ".lock"
POINTS = ("half written", "not synced", "not in place", "just in place")


def save_every_epoch() -> None:
    """Switch off the rule that saving may take only a share of the time."""
    from recbole_painvrl.training import pipeline

    pipeline._SAVING_FRACTION = 1e9


def save_once_a_stage() -> None:
    """Let saving take no time at all, so that only what must be saved is."""
    from recbole_painvrl.training import pipeline

    pipeline._SAVING_FRACTION = 1e-9


def count_saves(pipe: int) -> None:
    """Write a byte into ``pipe`` whenever a file is about to be written."""

    def opened(count: int, path: Path) -> None:
        os.write(pipe, b"x")

    _on_open(opened)


def stop_in_save(number: int, point: str, pipe: int) -> None:
    """Stop for good inside the n-th save (from 1) and say so in ``pipe``; then comes SIGKILL.

    Args:
        number: the save.
        point: one of ``POINTS``.
        pipe: where a byte is written once the process has stopped.
    """

    def stop(*_: Any) -> Any:
        os.write(pipe, b"x")
        while True:
            time.sleep(60)

    def opened(count: int, path: Path) -> io.BufferedWriter | None:
        if count != number:
            return None
        if point == "half written":
            return _Half(io.FileIO(path, "wb"), stop)
        if point == "not synced":
            vars(os)["fsync"] = stop
        elif point == "not in place":
            vars(os)["replace"] = stop
        else:
            replace = os.replace

            def replace_and_stop(*arguments: Any) -> None:
                replace(*arguments)
                stop()

            vars(os)["replace"] = replace_and_stop
        return None

    _on_open(opened)


class _Half(io.BufferedWriter):
    """Writes half of the first piece it is given, and stops."""

    def __init__(self, raw: io.FileIO, stop: Callable[[], Any]) -> None:
        super().__init__(raw)
        self._stop = stop

    def write(self, content: Any) -> int:
        """Half of it."""
        super().write(bytes(content)[: len(content) // 2])
        self.flush()
        self._stop()
        return len(content)


def _on_open(hook: Hook) -> None:
    """Call ``hook`` with the number and place of every temporary file that is opened."""
    from recbole_painvrl import atomic

    count = 0

    def opening(path: Path, mode: str) -> Any:
        nonlocal count
        count += 1
        return hook(count, path) or open(path, mode)

    vars(atomic)["open"] = opening
