"""What tests of the report share: the runs on the page, and a call of the command."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from support import SHORT_STAGES

from recbole_painvrl.report.read import Result, RunData

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


def toy_run(
    name: str,
    seed: int,
    levels: Mapping[str, float],
    settings: Mapping[str, Any] | None = None,
    **values: Any,
) -> RunData:
    """A run of a model of this name whose NDCG@10 has a mean by split, and whose NDCG@5 has half.

    ``settings`` and ``values`` are further ones of its configuration and of its result.
    """
    frames = []
    for part, level in levels.items():
        noise = np.random.default_rng([*name.encode(), seed]).normal(0, 0.01, 40)
        users = level + noise - noise.mean()
        columns = {"ndcg@5": users / 2, "ndcg@10": users}
        frames.append(
            pd.DataFrame({"test_set": part, "user_id": [*map(str, range(40))], **columns})
        )
    metrics = {part: {"ndcg@5": level / 2, "ndcg@10": level} for part, level in levels.items()}
    result = Result(
        model=name, dataset="toy", seed=seed,
        **{"protocol": "files", "valid_metric": "NDCG@10", "metrics": metrics, **values},
    )  # fmt: skip
    config = {
        key: {"value": value, "from": "command line"} for key, value in (settings or {}).items()
    }
    return RunData(Path(f"{name}-{seed}"), config, result, {}, {}, pd.concat(frames), "")
