"""Controls of a learnt mask keep what they say of it, and nothing else."""

import torch

from recbole_painvrl.functional.mask_controls import CONTROLS, control_masks
from recbole_painvrl.seeds import generator


def _mask() -> dict[str, torch.Tensor]:
    draws = generator(3, "mask")
    return {name: torch.rand(n, generator=draws) for name, n in (("visual", 9), ("textual", 5))}


def test_each_control_keeps_its_part_of_the_mask() -> None:
    mask, truth = _mask(), {"visual": torch.arange(9) % 2 == 0}
    before = {name: values.clone() for name, values in mask.items()}
    controls = control_masks(mask, truth, generator(0, "controls"))
    assert tuple(controls) == CONTROLS
    assert all(tuple(one) == tuple(mask) for one in controls.values())
    mean = float(torch.cat(list(mask.values())).mean())
    for name, values in mask.items():
        assert torch.equal(values, before[name])
        assert torch.equal(controls["learnt"][name], values)
        torch.testing.assert_close(controls["uniform"][name], torch.full_like(values, mean))
        permuted = controls["permuted"][name]
        assert torch.equal(permuted.sort().values, values.sort().values)
        assert not torch.equal(permuted, values)
        assert controls["ones"][name].eq(1).all() and controls["zeros"][name].eq(0).all()
    assert torch.equal(controls["oracle"]["visual"], truth["visual"].float())
    assert controls["oracle"]["textual"].eq(1).all()


def test_permutations_are_those_of_the_generator() -> None:
    first, again, other = (
        control_masks(_mask(), None, generator(seed, "controls")) for seed in (0, 0, 1)
    )
    assert "oracle" not in first
    assert torch.equal(first["permuted"]["visual"], again["permuted"]["visual"])
    assert not torch.equal(first["permuted"]["visual"], other["permuted"]["visual"])
