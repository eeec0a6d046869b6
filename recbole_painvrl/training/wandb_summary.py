"""What a run leaves in the summary of Weights and Biases."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


class WandbSummary:
    """Writes the figures of a run to the summary, in place of RecBole's trainer.

    RecBole's trainer logs every evaluation under the same names, so that the last one remains: of a
    run with an OOD test that of popularity, or of the model with the oracle mask.

    Args:
        logger: RecBole's logger of a trainer, which then logs no evaluation by itself.
    """

    def __init__(self, logger: Any) -> None:
        self._log = logger.log_eval_metrics
        logger.log_eval_metrics = lambda *_, **__: None

    def write(self, metrics: Mapping[str, float]) -> None:
        """Write metrics as ``eval/NAME``; nothing without ``log_wandb``."""
        self._log(metrics, head="eval")

    def write_tests(self, tests: Mapping[str, Mapping[str, float]]) -> None:
        """Write metrics of every test, of the OOD test as ``eval/ood_NAME``."""
        for test, values in tests.items():
            prefix = "ood_" if test == "ood" else ""
            self.write({f"{prefix}{name}": value for name, value in values.items()})
