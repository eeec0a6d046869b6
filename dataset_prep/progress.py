"""Progress bars on long work, silent where nobody watches."""

from __future__ import annotations

import sys
from typing import Any

from tqdm import tqdm


def bar(total: int | None, title: str, unit: str = "B") -> tqdm[Any]:
    """A bar on standard error that appears after a second and only on a terminal."""
    return tqdm(
        total=total,
        desc=title,
        unit=unit,
        unit_scale=True,
        leave=False,
        delay=1.0,
        disable=not sys.stderr.isatty(),
    )
