"""Weights of the invariant and the variant representation (Eq. 13, 14)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

AttentionOutput = Literal["sigmoid", "softmax", "identity"]


class PairAttention(nn.Module):
    """The two MLPs of Eq. 14 in factorised form: one scalar per pair and representation.

    The first layer of ``MLP([p^t_u, p^f_u, t_i, f_i])`` is linear in a concatenation, so it is
    a user table plus an item table, computed once for a step and added per pair (exact).

    Args:
        user_width: width of ``[p^t, p^f]``.
        item_width: width of ``[t, f]``.
        hidden_size: hidden units of each MLP.
        output: ``sigmoid`` (two independent weights), ``softmax`` (they sum to 1) or
            ``identity``.
        generator: draws the initial weights.

    Deviations:
        The paper leaves the output activation and the initial values open. The last biases
        start at +1 (invariant) and -1 (variant): where both weights are equal, and without the
        outer gate, the gradient by the mask is exactly 0.
    """

    def __init__(
        self,
        user_width: int,
        item_width: int,
        hidden_size: int = 64,
        output: AttentionOutput = "sigmoid",
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__()
        self.hidden_size = hidden_size
        self.output = output
        fan_in = user_width + item_width

        def draw(*shape: int, width: int) -> nn.Parameter:
            return nn.Parameter(torch.randn(*shape, generator=generator) / width**0.5)

        self.user_weight = draw(user_width, 2 * hidden_size, width=fan_in)
        self.item_weight = draw(item_width, 2 * hidden_size, width=fan_in)
        self.bias = nn.Parameter(torch.zeros(2 * hidden_size))
        self.last_weight = draw(2, hidden_size, width=hidden_size)
        self.last_bias = nn.Parameter(torch.tensor([1.0, -1.0]))

    def tables(self, users: Sequence[Tensor], items: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
        """First layer per user ``[n, 2 hidden]`` and per item ``[n, 2 hidden]``.

        Args:
            users: ``(p^t, p^f)`` of the users.
            items: ``(t, f)`` of the items.
        """
        by_user = _of_concatenation(users, self.user_weight)
        return by_user + self.bias, _of_concatenation(items, self.item_weight)

    def forward(self, user_hidden: Tensor, item_hidden: Tensor) -> Tensor:
        """``[alpha^Phi, alpha^Psi]`` of pairs whose table rows broadcast against each other.

        Args:
            user_hidden: rows of the user table, ``[..., 2 hidden]``.
            item_hidden: rows of the item table, ``[..., 2 hidden]``.

        Returns:
            ``[..., 2]``.
        """
        hidden = (user_hidden + item_hidden).relu_()
        # Both last layers as one product, without copies of the halves of the hidden units.
        both = torch.block_diag(*self.last_weight.unsqueeze(1))
        logits: Tensor = hidden @ both.T + self.last_bias
        if self.output == "identity":
            return logits
        return logits.softmax(dim=-1) if self.output == "softmax" else logits.sigmoid()


def _of_concatenation(parts: Sequence[Tensor], weight: Tensor) -> Tensor:
    """``cat(parts, dim=1) @ weight``, ``[n, w_1] ..., [w, h] -> [n, h]``, without the copy."""
    weights = weight.split([part.shape[1] for part in parts])
    total: Tensor | None = None
    for part, own in zip(parts, weights, strict=True):
        # With the weight transposed its gradient is the faster of two products.
        product = F.linear(part, own.T.contiguous())
        total = product if total is None else total + product
    assert total is not None
    return total
