"""The progress bar of a training stage, which also moves within an epoch."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tqdm import tqdm


class EpochBar:
    """A bar of epochs.

    Args:
        stage: name of the stage.
        first: epochs that were trained before.
        n_epochs: maximum number of epochs.
        is_shown: whether it is drawn.
    """

    def __init__(self, stage: str, first: int, n_epochs: int, is_shown: bool) -> None:
        self._bar: Any = tqdm(
            total=n_epochs,
            initial=first,
            desc=stage,
            disable=not is_shown,
            dynamic_ncols=True,
            mininterval=0.5,
            # Epochs with a decimal: one of them may take minutes.
            bar_format="{desc}: {percentage:3.0f}%|{bar}| {n:.1f}/{total_fmt} epochs "
            "[{elapsed}<{remaining}{postfix}]",
        )

    def shown(
        self, loss_function: Callable[[Any], Any], epoch: int, n_batches: int
    ) -> Callable[[Any], Any]:
        """The same function, which moves the bar within the epoch."""
        begun = 0

        def moving(batch: Any) -> Any:
            nonlocal begun
            # Some of RecBole's models take the batches of an epoch more than once.
            self._move(epoch + min(begun / max(1, n_batches), 1))
            begun += 1
            return loss_function(batch)

        return moving

    def end_epoch(self, epoch: int, loss: float) -> None:
        """Show the loss of an epoch, from 0, and move to its end."""
        self._bar.set_postfix_str(f"loss {loss:.5g}", refresh=False)
        self._move(epoch + 1)

    def close(self) -> None:
        """Leave the bar where it is."""
        self._bar.close()

    def _move(self, epochs: float) -> None:
        # Set, not added up: a sum of fractions may end above the total.
        self._bar.n = epochs
        self._bar.update(0)
