"""Search spaces: ``properties/search/<Model>.yaml`` or a file of the same format."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from recbole_painvrl.config.base import ConfigLike
from recbole_painvrl.config.loading import read_yaml
from recbole_painvrl.config.properties import properties_of
from recbole_painvrl.errors import UserError
from recbole_painvrl.reading import is_number

if TYPE_CHECKING:
    from optuna.trial import Trial

_FORMS = "`{low: 0.001, high: 0.1, log: true}` or `{choices: [a, b]}`"


@dataclass(frozen=True)
class Interval:
    """Numbers from ``low`` to ``high``; integers if both ends are integers."""

    low: float
    high: float
    log: bool = False

    @property
    def is_whole(self) -> bool:
        """Whether its numbers are integers."""
        return isinstance(self.low, int) and isinstance(self.high, int)

    def suggest(self, trial: Trial, name: str) -> Any:
        """Let the sampler draw a value."""
        if self.is_whole:
            return trial.suggest_int(name, int(self.low), int(self.high), log=self.log)
        return trial.suggest_float(name, self.low, self.high, log=self.log)

    def stored(self, value: Any) -> Any:
        """The value as stored in the study, or None outside the interval."""
        return value if is_number(value) and self.low <= value <= self.high else None

    def restored(self, stored: Any) -> Any:
        """The value of the setting."""
        return stored

    def bounds(self) -> tuple[Any, ...]:
        """Both ends."""
        return self.low, self.high

    def recbole(self, name: str) -> str:
        """The line in RecBole's parameter file."""
        if self.is_whole:
            # RecBole's quniform draws floats, which an integer setting refuses.
            return f"{name} choice {list(range(int(self.low), int(self.high) + 1))}"
        if self.log:
            # RecBole's loguniform takes natural logarithms.
            return f"{name} loguniform {math.log(self.low)},{math.log(self.high)}"
        return f"{name} uniform {self.low},{self.high}"


@dataclass(frozen=True)
class Choices:
    """A list of values of any type."""

    values: tuple[Any, ...]

    def suggest(self, trial: Trial, name: str) -> Any:
        """Let the sampler draw a value."""
        keys = [self.stored(value) for value in self.values]
        return self.restored(trial.suggest_categorical(name, keys))

    def stored(self, value: Any) -> Any:
        """The value as stored in the study, or None if it is not a choice."""
        if not any(value == own and type(value) is type(own) for own in self.values):
            return None
        # Optuna keeps scalars only, and a dictionary would take 1 and True for one key.
        return value if isinstance(value, str | float) or type(value) is int else json.dumps(value)

    def restored(self, stored: Any) -> Any:
        """The value of the setting."""
        return next(value for value in self.values if self.stored(value) == stored)

    def bounds(self) -> tuple[Any, ...]:
        """All of them."""
        return self.values

    def recbole(self, name: str) -> str:
        """The line in RecBole's parameter file."""
        return f"{name} choice {list(self.values)!r}"


Domain = Interval | Choices
Space = dict[str, Domain]


def read_space(model: str, path: Path | None = None) -> Space:
    """The search space of a model.

    Args:
        model: name; its file is used where ``path`` is None.
        path: a file of the user's.

    Raises:
        UserError: there is no file, or it holds something that is neither interval nor choices.
    """
    found = path or properties_of(model) / "search" / f"{Path(model).name}.yaml"
    if path is None and not found.is_file():
        raise UserError(
            f"{model} has no search space of its own; write a file with lines such as "
            "`learning_rate: {low: 0.0001, high: 0.01, log: true}` and give it by `--space=FILE`"
        )
    values = read_yaml(found)
    if not values:
        raise UserError(f"{found}: holds no settings, expected lines `setting: {_FORMS}`")
    return {name: _domain(found, name, value) for name, value in values.items()}


def default_values(space: Space, config: ConfigLike) -> dict[str, Any] | None:
    """Values of a configuration as a trial would keep them; None if one is outside the space.

    Args:
        space: the space.
        config: anything that gives a setting by its name.
    """
    stored = {name: domain.stored(config[name]) for name, domain in space.items()}
    return None if any(value is None for value in stored.values()) else stored


def recbole_lines(space: Space) -> str:
    """The space as the parameter file of RecBole's own ``HyperTuning``."""
    return "".join(f"{domain.recbole(name)}\n" for name, domain in space.items())


def describe(space: Space) -> dict[str, Any]:
    """The space as JSON values, by which a study knows its own space again."""
    return {
        name: list(domain.values)
        if isinstance(domain, Choices)
        else [domain.low, domain.high, "log" if domain.log else "linear"]
        for name, domain in sorted(space.items())
    }


def _domain(path: Path, name: str, value: Any) -> Domain:
    wrong = UserError(f"{path}: `{name}`: found {value!r}, expected {_FORMS}")
    if not isinstance(value, dict):
        raise wrong
    if set(value) == {"choices"} and isinstance(value["choices"], list) and value["choices"]:
        return Choices(tuple(value["choices"]))
    if not {"low", "high"} <= set(value) <= {"low", "high", "log"}:
        raise wrong
    ends = value["low"], value["high"]
    if not all(map(is_number, ends)):
        raise wrong
    log = value.get("log", False)
    if not isinstance(log, bool) or not ends[0] < ends[1] or (log and ends[0] <= 0):
        raise UserError(
            f"{path}: `{name}`: found {value!r}, expected low < high, and low > 0 with log: true"
        )
    return Interval(*ends, log)
