"""Search spaces: what they draw, what they refuse, and RecBole's form of them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import optuna
import pytest

from recbole_painvrl.errors import UserError
from recbole_painvrl.specs import specs
from recbole_painvrl.tuning.plan import _idle
from recbole_painvrl.tuning.space import (
    Choices,
    Interval,
    Space,
    default_values,
    read_space,
    recbole_lines,
)

SCHEMAS = {name: spec.schema for name, spec in specs().items()}

TEXT = """\
learning_rate: {low: 1e-4, high: 0.1, log: true}
n_layers: {low: 1, high: 3}
width: {low: 8, high: 64, log: true}
sizes: {choices: [[64], [64, 32]]}
flag: {choices: [true, false, 1]}
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "space.yaml"
    path.write_text(TEXT)
    return path


def test_values_are_of_the_right_kind(file: Path) -> None:
    space = read_space("any", file)
    seen: dict[str, set[str]] = {name: set() for name in space}
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=1))
    for _ in range(40):
        trial = study.ask()
        for name, domain in space.items():
            value = domain.suggest(trial, name)
            assert domain.restored(trial.params[name]) == value
            seen[name].add(repr(value) if name != "learning_rate" else type(value).__name__)
    drawn = study.trials[0].distributions
    scales = {name: one.log for name, one in drawn.items() if hasattr(one, "log")}
    assert scales == {"learning_rate": True, "n_layers": False, "width": True}
    assert seen["learning_rate"] == {"float"}
    assert seen["n_layers"] == {"1", "2", "3"}
    assert seen["sizes"] == {"[64]", "[64, 32]"}
    assert seen["flag"] == {"True", "False", "1"}


@pytest.mark.parametrize(
    "line",
    ["x: 3", "x: {low: 1}", "x: {low: 2, high: 1}", "x: {low: 0, high: 1, log: true}",
     "x: {choices: []}", "x: {choices: [1], low: 2}", "x: {low: a, high: b}"],
)  # fmt: skip
def test_what_is_no_space(line: str, tmp_path: Path) -> None:
    path = tmp_path / "space.yaml"
    path.write_text(line)
    with pytest.raises(UserError, match="`x`: found"):
        read_space("any", path)


def test_a_model_without_a_space_is_told_what_to_write() -> None:
    with pytest.raises(UserError, match="--space=FILE"):
        read_space("LightGCN")


def test_defaults_are_a_point_of_the_space_or_none() -> None:
    space = {"a": Interval(0.1, 1.0), "b": Choices((True, "x"))}
    assert default_values(space, {"a": 0.5, "b": "x"}) == {"a": 0.5, "b": "x"}
    assert default_values(space, {"a": 0.5, "b": True}) == {"a": 0.5, "b": "true"}
    assert default_values(space, {"a": 2.0, "b": "x"}) is None
    assert default_values(space, {"a": 0.5, "b": 1}) is None


@pytest.mark.parametrize("model", SCHEMAS)
def test_recbole_reads_its_form(model: str, tmp_path: Path) -> None:
    for line in recbole_lines(read_space(model)).splitlines():
        name, kind, value = line.split(" ", 2)
        assert name in read_space(model)
        if kind == "choice":
            assert value.startswith("[")
        else:
            low, high = value.split(",")
            assert float(low) < float(high)
            domain = read_space(model)[name]
            assert isinstance(domain, Interval)
            if kind == "loguniform":
                assert np.exp(float(low)) == pytest.approx(domain.low)


def test_settings_that_no_trial_reads_are_known() -> None:
    """Fixed or searched; not where a setting that is searched decides whether they are read."""
    given = {"model": "PaInvRL", "dataset": "planted", "irm_weight": 5.0}
    rate: Space = {"learning_rate": Interval(0.001, 0.1, log=True)}
    line = "`irm_weight` has no effect with `loss_weighting: pareto`"
    assert _idle(given, rate) == (line,)
    assert _idle({**given, "loss_weighting": "fixed"}, rate) == ()
    weight: Space = {"irm_weight": Interval(2.0, 9.0)}
    assert _idle({"model": "PaInvRL", "dataset": "planted"}, rate | weight) == (line,)
    assert _idle(given, rate | {"loss_weighting": Choices(("pareto", "fixed"))}) == ()
