"""Memory of a stage is that stage's, of the run all of them's."""

from __future__ import annotations

import os

import numpy as np
import pytest

from recbole_painvrl.training.stage_log import StageLog, peak_memory_mb


def _take(mebibytes: int) -> None:
    np.ones(mebibytes << 17).sum()


@pytest.mark.skipif(
    not os.access("/proc/self/clear_refs", os.W_OK),
    reason="this system cannot count the peak memory afresh",
)
def test_a_small_stage_after_a_large_one_is_small() -> None:
    log = StageLog()
    with log.measure("large"):
        _take(400)
    with log.measure("small"):
        _take(1)
    large, small = (entry["peak_memory_mb"] for entry in log.entries)
    assert small < large - 300
    assert log.peak_memory_mb() == large
    assert peak_memory_mb() < large - 300, "counted since the last stage began"


def test_a_resumed_stage_has_the_memory_of_the_process_that_began_it() -> None:
    log = StageLog()
    log.earlier_peak_mb = 1e6
    with log.measure("resumed", spent=3.0):
        pass
    with log.measure("next"):
        pass
    resumed, following = (entry["peak_memory_mb"] for entry in log.entries)
    assert resumed == log.peak_memory_mb() == 1e6
    assert following < 1e6
