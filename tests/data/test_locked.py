"""Test sets stay shut until training is over."""

from __future__ import annotations

import pytest

from recbole_painvrl.data.splits.base import LockedTestError, LockedTests


def test_reading_before_unlock_raises() -> None:
    tests = LockedTests({"test": "a", "ood": "b"})
    assert tests.names == ["test", "ood"]
    with pytest.raises(LockedTestError, match="`ood` was read before the final evaluation"):
        tests["ood"]
    tests.unlock()
    assert (tests["test"], tests["ood"]) == ("a", "b")
