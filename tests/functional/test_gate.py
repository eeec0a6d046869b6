"""Eq. 10, 24, 25."""

from __future__ import annotations

import torch

from recbole_painvrl.functional.gate import clipped_gate, invariant, variant


def test_gate_adds_noise_before_clipping() -> None:
    mask = torch.tensor([0.5, 0.95, 0.05, 1.2])
    noise = torch.tensor([0.1, 0.1, -0.1, -0.3])
    expected = torch.tensor([0.6, 1.0, 0.0, 0.9])
    torch.testing.assert_close(clipped_gate(mask, noise), expected)
    torch.testing.assert_close(clipped_gate(mask), torch.tensor([0.5, 0.95, 0.05, 1.0]))


def test_gradient_passes_inside_and_is_zero_outside() -> None:
    mask = torch.tensor([0.5, 0.95, 0.05], requires_grad=True)
    clipped_gate(mask, torch.tensor([0.0, 0.1, -0.1])).sum().backward()
    assert mask.grad is not None
    assert mask.grad.tolist() == [1.0, 0.0, 0.0]


def test_the_two_representations_add_up_to_the_features() -> None:
    features = torch.randn(5, 3)
    mask = torch.tensor([0.25, 1.5, -0.5])
    phi, psi = invariant(features, mask), variant(features, mask)
    torch.testing.assert_close(phi + psi, features)
    torch.testing.assert_close(phi, features * torch.tensor([0.25, 1.0, 0.0]))
