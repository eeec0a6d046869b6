"""Eq. 13, 14: the factorised attention is the MLP of the concatenation."""

from __future__ import annotations

import pytest
import torch

from recbole_painvrl.functional.attention import AttentionOutput, PairAttention

USERS, ITEMS, HIDDEN = 6, 5, 3


@pytest.mark.parametrize("output", ["sigmoid", "softmax", "identity"])
def test_is_the_mlp_of_the_concatenation(output: AttentionOutput) -> None:
    attention = PairAttention(USERS, ITEMS, HIDDEN, output).double()
    torch.nn.init.normal_(attention.bias)
    users = torch.randn(7, USERS, dtype=torch.float64)
    items = torch.randn(7, ITEMS, dtype=torch.float64)
    found = attention(*attention.tables([users], [items[:, :1], items[:, 1:]])).T

    first_layer = torch.cat([attention.user_weight, attention.item_weight])
    hidden = torch.relu(torch.cat([users, items], dim=1) @ first_layer + attention.bias)
    logits = torch.stack(
        [
            hidden[:, :HIDDEN] @ attention.last_weight[0] + attention.last_bias[0],
            hidden[:, HIDDEN:] @ attention.last_weight[1] + attention.last_bias[1],
        ]
    )
    expected = {
        "sigmoid": torch.sigmoid(logits),
        "softmax": torch.softmax(logits, dim=0),
        "identity": logits,
    }[output]
    torch.testing.assert_close(found, expected)


def test_pairs_broadcast() -> None:
    attention = PairAttention(USERS, ITEMS, HIDDEN)
    user_table, item_table = attention.tables([torch.randn(4, USERS)], [torch.randn(9, ITEMS)])
    every_pair = attention(user_table[:, None, :], item_table)
    one_pair = attention(user_table[2], item_table[5])
    assert every_pair.shape == (4, 9, 2)
    torch.testing.assert_close(every_pair[2, 5], one_pair)


def test_starts_with_more_weight_on_the_invariant_part() -> None:
    source = torch.Generator().manual_seed(3)
    attention = PairAttention(USERS, ITEMS, 64, generator=source)
    (first, second) = attention(
        *attention.tables([torch.zeros(1, USERS)], [torch.zeros(1, ITEMS)])
    )[0]
    assert first.item() == pytest.approx(torch.sigmoid(torch.tensor(1.0)).item())
    assert second.item() == pytest.approx(torch.sigmoid(torch.tensor(-1.0)).item())
