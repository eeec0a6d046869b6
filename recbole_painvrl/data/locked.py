"""Test sets under lock and key until the final evaluation."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


class LockedTestError(RuntimeError):
    """A test set was read before the final evaluation."""


class LockedTests:
    """Holds the test datasets; nothing can be read from them before :meth:`unlock`.

    Args:
        datasets: test name (``test``, ``ood``) to dataset.
    """

    def __init__(self, datasets: Mapping[str, Any]) -> None:
        self._datasets = dict(datasets)
        self._open = False

    @property
    def names(self) -> list[str]:
        """Names of the test sets; known from the start."""
        return list(self._datasets)

    def unlock(self) -> None:
        """Open the lock: training and selection are over."""
        self._open = True

    def __getitem__(self, name: str) -> Any:
        if not self._open:
            raise LockedTestError(
                f"test set `{name}` was read before the final evaluation; "
                "selection may only read the validation parts"
            )
        return self._datasets[name]
