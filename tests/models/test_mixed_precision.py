"""Training in mixed precision: the same losses as in single precision, but for its rounding."""

from __future__ import annotations

from pathlib import Path

import pytest
from support import SHORT_STAGES, run_main

MODELS = [
    "PaInvRL", "VBPR", "MMGCN", "BM3", "LATTICE", "MICRO", "MGCN", "GRCN", "DualGNN",
    "DRAGON", "LGMRec", "SLMRec", "EliMRec", "MGAT",
]  # fmt: skip


@pytest.mark.filterwarnings("ignore:torch.sparse.SparseTensor")
@pytest.mark.parametrize("model", MODELS)
def test_the_losses_are_those_of_single_precision(
    model: str, tiny_data: Path, tmp_path: Path
) -> None:
    stages = SHORT_STAGES if model == "PaInvRL" else ()
    losses = []
    for amp in (False, True):
        words = (*stages, f"--enable_amp={amp}")
        run = run_main(tiny_data, tmp_path, model, *words, name=str(amp))
        assert run.code == 0, run.err
        losses.append([stage["loss"] for stage in run.result["stages"] if "loss" in stage])
    # bfloat16 has 8 bits.
    assert losses[1] == pytest.approx(losses[0], rel=0.02)
    assert losses[1] != losses[0]
