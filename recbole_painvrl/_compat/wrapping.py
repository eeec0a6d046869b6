"""Changes a method of a library once, however often it is asked to."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

# Attribute of what was changed.
TAG = "_recbole_painvrl"


def wrap(owner: Any, name: str, change: Callable[..., Any]) -> None:
    """Let a method call ``change(original, self, ...)``.

    A method that has been changed is left as it is, also by another change.
    """
    original = getattr(owner, name)
    if hasattr(original, TAG):
        return

    @functools.wraps(original)
    def changed(self: Any, *arguments: Any, **named: Any) -> Any:
        return change(original, self, *arguments, **named)

    setattr(changed, TAG, True)
    setattr(owner, name, changed)
