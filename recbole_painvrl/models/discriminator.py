"""The discriminator of MMSSL, which tells similarities from real interactions."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from recbole_painvrl.functional.dropout import dropout

# D's answer lies between 0 and this.
_SCALE = 100.0


class Discriminator(nn.Module):
    """``C -> C/4 -> C/8 -> 1`` with LeakyReLU, batch normalisation and dropout; ``100 sigma(.)``.

    Batch normalisation always uses the batch's own statistics: D is only ever used in training.

    Args:
        n_columns: C, width of a row.
        slope: LeakyReLU's slope below 0; with 1 there is no nonlinearity, as released.
        dropout_rates: of the two hidden layers.
        initial: generator of the initial values, on the CPU.
        noise: generator of the dropout masks, on the device of the run.
    """

    def __init__(
        self,
        n_columns: int,
        slope: float,
        dropout_rates: tuple[float, float],
        initial: torch.Generator,
        noise: torch.Generator,
    ) -> None:
        super().__init__()
        widths = hidden_widths(n_columns)
        self.hidden = nn.ModuleList(
            nn.Linear(before, after)
            for before, after in zip((n_columns, widths[0]), widths, strict=True)
        )
        self.norms = nn.ModuleList(
            nn.BatchNorm1d(width, track_running_stats=False) for width in widths
        )
        self.last = nn.Linear(widths[1], 1)
        self.slope, self.dropout_rates, self.noise = slope, dropout_rates, noise
        linear: list[Any] = [*self.hidden, self.last]
        for layer in linear:
            nn.init.kaiming_normal_(layer.weight, generator=initial)
            nn.init.zeros_(layer.bias)

    def forward(self, rows: Tensor) -> Tensor:
        """D of rows ``[n, C]``, ``[n]``."""
        x = rows
        for layer, norm, rate in zip(self.hidden, self.norms, self.dropout_rates, strict=True):
            x = dropout(norm(F.leaky_relu(layer(x), self.slope)), rate, self.noise)
        result: Tensor = _SCALE * torch.sigmoid(self.last(x)).squeeze(1)
        return result


def hidden_widths(n_columns: int) -> tuple[int, int]:
    """Widths of the two hidden layers."""
    return max(1, n_columns // 4), max(1, n_columns // 8)
