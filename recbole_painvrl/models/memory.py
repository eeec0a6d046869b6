"""Sizes that a model's memory depends on, and what its pieces take."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from recbole_painvrl.config.base import ConfigLike

FLOAT = 4
# A parameter with gradient and two moments of Adam, a copy of all but the gradient for Ctrl-C, and
# twice more while a checkpoint is written.
LEARNT = (4 + 3 * 3) * FLOAT
# A sparse entry with its transposed twin.
ENTRY = 2 * (8 + FLOAT)


@dataclass(frozen=True)
class Sizes:
    """What a run's memory depends on beside its settings.

    Attributes:
        users: number of users.
        items: number of items.
        interactions: rows of all parts.
        columns: feature columns of each modality in use.
    """

    users: int
    items: int
    interactions: int
    columns: Mapping[str, int]

    @property
    def width(self) -> int:
        """Feature columns of all modalities."""
        return sum(self.columns.values())


def embedding_tables(sizes: Sizes, settings: ConfigLike) -> dict[str, int]:
    """A table of users and one of items, which is the least that a model learns."""
    size = int(settings["embedding_size"]) if "embedding_size" in settings else 0
    return {"parameters": LEARNT * size * (sizes.users + sizes.items)}


def short_size(size: float) -> str:
    """Bytes in MB or GB."""
    return f"{size / 2**30:.2f} GB" if size >= 2**30 else f"{size / 2**20:.0f} MB"
