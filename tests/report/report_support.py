"""What tests of the report share: the runs on the page, and a call of the command."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from support import SHORT_STAGES

RUNS = (
    ("painvrl-1", "PaInvRL", (*SHORT_STAGES, "--seed=1")),
    ("painvrl-2", "PaInvRL", (*SHORT_STAGES, "--seed=2")),
    ("invrl-1", "InvRL", (*SHORT_STAGES, "--seed=1", "--oracle=False")),
    ("ultragcn-1", "UltraGCN", ("--seed=1",)),
    ("ultragcn-ids", "UltraGCN", ("--seed=1", "--modalities=[]")),
)


@dataclass(frozen=True)
class Reported:
    """A call of the command: exit code, what it printed, and the page."""

    code: int
    out: str
    err: str
    page: Path

    @property
    def text(self) -> str:
        """The page's HTML."""
        return self.page.read_text(encoding="utf-8")


Report = Callable[..., Reported]
