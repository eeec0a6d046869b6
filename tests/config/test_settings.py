"""A wrong value is one line: the setting, what was found, where, and what is expected."""

from __future__ import annotations

from typing import Any

import pytest

from recbole_painvrl.config import RunSettings
from recbole_painvrl.config.base import expectation
from recbole_painvrl.config.layers import internal_layers, merge
from recbole_painvrl.config.recbole_settings import RecBoleSettings
from recbole_painvrl.errors import UserError
from recbole_painvrl.models.painvrl.settings import PaInvRLSettings
from recbole_painvrl.models.ultragcn import UltraGCNSettings
from recbole_painvrl.specs import specs

SCHEMAS = {name: spec.schema for name, spec in specs().items()}


def _values(model: str, **changed: Any) -> dict[str, Any]:
    return {**merge(internal_layers(model, "planted"))[0], **changed}


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("eta", "small", "a number >= 0"),
        ("eta", True, "a number >= 0"),
        ("eta", float("inf"), "a number >= 0"),
        ("outer_rounds", 0, "an integer >= 1"),
        ("outer_rounds", 1.5, "an integer >= 1"),
        ("outer_rounds", True, "an integer >= 1"),
        ("mask_center", 2, "a number >= 0 and <= 1"),
        ("mask_optimizer", "adamw", "one of sgd, adam; did you mean `adam`?"),
        ("mask_optimizer", "newton", "one of sgd, adam"),
        ("gradient_normalization", None, "one of none, l2, loss, loss+"),
        ("attention", "yes", "true or false"),
        ("n_negatives", None, "an integer >= 1"),
    ],
)
def test_wrong_values(name: str, value: Any, expected: str) -> None:
    with pytest.raises(UserError) as caught:
        PaInvRLSettings.from_config(_values("PaInvRL", **{name: value}))
    assert str(caught.value) == f"`{name}`: found {value!r}, expected {expected}"


def test_a_missing_value_is_named() -> None:
    values = _values("UltraGCN")
    del values["w1"]
    with pytest.raises(UserError, match=r"^`w1`: not set, expected a number >= 0$"):
        UltraGCNSettings.from_config(values)


def test_integers_serve_as_numbers_and_settings_are_frozen() -> None:
    settings = PaInvRLSettings.from_config(_values("PaInvRL", eta=1))
    assert settings.eta == 1.0
    with pytest.raises(ValueError, match="frozen"):
        settings.eta = 2.0


def test_long_values_stay_one_line() -> None:
    with pytest.raises(UserError) as caught:
        RunSettings.checked({"modalities": "x\n" * 500}, {"modalities": "file a.yaml"})
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 200
    assert "(file a.yaml), expected a list (each text) or ~ (none)" in str(caught.value)


def test_the_paper_is_the_release_with_constant_weights() -> None:
    painvrl = PaInvRLSettings.from_config(_values("PaInvRL", eta=0.5, kappa=0.25))
    ultragcn = UltraGCNSettings.from_config(
        _values("UltraGCN", w1=1, w2=0.5, w3=1, w4=0.5, negative_weight=1, item_item_weight=0.25)
    )
    assert painvrl.loss_weights() == ultragcn.loss_weights()


@pytest.mark.parametrize("schema", [RunSettings, RecBoleSettings, *SCHEMAS.values()])
def test_every_expectation_is_in_words(schema: type[RunSettings]) -> None:
    for field in schema.model_fields.values():
        assert "<class" not in expectation(field)
        assert "typing" not in expectation(field)
