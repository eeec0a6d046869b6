"""Every search space names settings of its model, with values that the model accepts."""

from __future__ import annotations

from typing import Any

import pytest

from recbole_painvrl.config import properties_root
from recbole_painvrl.config.layers import internal_layers, merge
from recbole_painvrl.config.loading import read_yaml
from recbole_painvrl.config.validation import check_values
from recbole_painvrl.specs import specs

SCHEMAS = {name: spec.schema for name, spec in specs().items()}


def ends(space: dict[str, Any]) -> list[Any]:
    """The outermost values of a space, or all of its choices."""
    if "choices" in space:
        assert set(space) == {"choices"}
        assert len(space["choices"]) > 1
        return list(space["choices"])
    assert set(space) <= {"low", "high", "log"}
    assert space["low"] < space["high"]
    return [space["low"], space["high"]]


@pytest.mark.parametrize("model", SCHEMAS)
def test_search_space(model: str) -> None:
    spaces = read_yaml(properties_root() / "search" / f"{model}.yaml")
    values, sources = merge(internal_layers(model, "unknown", []))
    for name, space in spaces.items():
        assert name in values, name
        for value in ends(space):
            check_values(model, {**values, name: value}, sources)
