"""The plan of a search: everything its workers share, as plain values."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from recbole_painvrl.config import SafeConfig
from recbole_painvrl.data.dataset import ModalityDataset
from recbole_painvrl.data.splits.base import OOD_VALID, VALID, without_ood_validation
from recbole_painvrl.errors import UserError
from recbole_painvrl.evaluation.evaluation_settings import evaluation_settings
from recbole_painvrl.run.code import code_hash
from recbole_painvrl.run.identity import data_hash, identity
from recbole_painvrl.run.opening import edition
from recbole_painvrl.tuning.space import Interval, Space, default_values, describe

# Settings that the search sets for every trial -> what to use instead.
_OWN = {
    "output_dir": "use `--output=DIR`",
    "run_name": "use `--output=DIR`",
    "resume": "re-running the command resumes",
}
# Settings of every trial, which override those of the user; the console shows the search.
_TRIAL = {"show_progress": False}
# These decide, beside those of `evaluation_settings`, on what trials are judged.
_OF_DATA = ("data_path", "protocol")


@dataclass(frozen=True)
class Plan:
    """One search.

    Attributes:
        given: settings of the user, from files and the command line.
        space: settings to search, with their domains.
        output: folder of the search; each trial is a run folder in it.
        storage: journal file or database URL.
        trials: total number of trials.
        metric: name of the validation metric, such as ``ndcg@10``.
        parts: validation splits that are objectives: ``("valid",)`` or with ``"ood_valid"``.
        select_on: selects the epoch of a trial, and the final configuration.
        defaults: the default configuration as a first trial; None if it is outside the space.
        variant: of the dataset, such as ``real features``.
        idle: one line per setting, fixed or searched, that no trial reads.
        identity: what must not change when a search is resumed.
    """

    given: dict[str, Any]
    space: Space
    output: Path
    storage: str
    trials: int
    metric: str
    parts: tuple[str, ...]
    select_on: str
    seed: int
    defaults: dict[str, Any] | None
    variant: str = ""
    idle: tuple[str, ...] = ()
    identity: dict[str, Any] = field(default_factory=dict)

    def config(self, params: dict[str, Any], name: str) -> SafeConfig:
        """Configuration of the trial whose folder has this name."""
        own = {"output_dir": str(self.output), "run_name": name, "select_on": self.select_on}
        values = {**self.given, **params, **own, **_TRIAL}
        return SafeConfig(overrides=values, overrides_from="tune")

    def settings(self, params: dict[str, Any]) -> dict[str, Any]:
        """Settings to repeat a trial as a run."""
        return {**self.given, "select_on": self.select_on, **params}

    def label(self, part: str) -> str:
        """An objective in words."""
        return f"{self.metric} on {'OOD' if part == OOD_VALID else 'IID'} validation"


def make_plan(
    given: dict[str, Any],
    space: Space,
    output: Path,
    storage: str | None,
    trials: int,
) -> Plan:
    """Check the settings, prepare the data and determine the objectives.

    Raises:
        UserError: a wrong configuration or search space, or no validation split.
    """
    name = next((name for name in _OWN if name in given), None)
    if name is not None:
        raise UserError(f"`{name}`: tune sets it for every trial; {_OWN[name]}")
    name = next((name for name in (*_OWN, *_TRIAL, "select_on") if name in space), None)
    if name is not None:
        raise UserError(
            f"`{name}`: found it in the search space, but the search sets it for every trial; "
            "leave it out there"
        )
    searched = {name: domain for name, domain in space.items() if name not in given}
    if not searched:
        raise UserError(
            "every setting of the search space is fixed; remove one of them from the command"
        )
    # First, so that what is wrong here is not said to be in the search space.
    config = SafeConfig(overrides=given)
    _check_bounds(given, searched)
    for setting, domain in searched.items():
        if isinstance(domain, Interval) and domain.is_whole and isinstance(config[setting], float):
            raise UserError(
                f"`{setting}`: found an interval of whole numbers, expected real ones as its "
                f"default {config[setting]}; write `low: {domain.low:.1f}`"
            )
    if not config["valid_metric_bigger"]:
        raise UserError(
            f"`valid_metric: {config['valid_metric']}`: lower is better, but a search maximizes; "
            "choose another of `metrics`, such as `--valid_metric=AUC`"
        )
    dataset = ModalityDataset(config)
    _check_comparable(searched, config, dataset.protocol)
    objectives, config["select_on"] = _objectives(given.get("select_on"), dataset)
    return Plan(
        given=given,
        space=searched,
        output=output,
        storage=storage or str(output / "study.journal"),
        trials=trials,
        metric=str(config["valid_metric"]).lower(),
        parts=objectives,
        select_on=config["select_on"],
        seed=int(config["seed"]),
        defaults=default_values(searched, config),
        variant=edition(dataset),
        idle=_idle(given, searched),
        identity=_identity(config, dataset)
        | {"space": describe(searched), "objectives": list(objectives)},
    )


def _identity(config: SafeConfig, dataset: ModalityDataset) -> dict[str, Any]:
    """Hashes of settings, data and code that all trials share, made as for runs of a grid."""
    own = identity(config, data_hash(dataset.folder), code_hash())
    return {"settings": own["config"], "data": own["data"], "code": own["code"]}


def _check_bounds(given: dict[str, Any], space: Space) -> None:
    """Refuse a bound or choice that is wrong whatever the other settings are.

    It is tried beside the first and the last values of the others and beside their defaults; values
    that are wrong in some combinations only are left to the trials.
    """
    bounds = {name: domain.bounds() for name, domain in space.items()}
    first, last = _corners(space)
    for name, values in bounds.items():
        for value in values:
            errors = []
            for others in (first, last, {}):
                point = {**given, **others, name: value}
                try:
                    SafeConfig(overrides=point, overrides_from="search space")
                    break
                except UserError as error:
                    errors.append(error)
            else:
                raise errors[0]


def _corners(space: Space) -> tuple[dict[str, Any], dict[str, Any]]:
    """The first values of all settings, and the last ones."""
    bounds = {name: domain.bounds() for name, domain in space.items()}
    return (
        {name: values[0] for name, values in bounds.items()},
        {name: values[-1] for name, values in bounds.items()},
    )


def _idle(given: dict[str, Any], space: Space) -> tuple[str, ...]:
    """Settings without effect in both corners of the space, that is, whatever is searched."""
    found: list[tuple[str, ...]] = []
    for corner in _corners(space):
        # Values that do not go together say nothing.
        with suppress(UserError):
            config = SafeConfig(overrides={**given, **corner}, overrides_from="search space")
            found.append(config.idle)
    first, *others = found or [()]
    return tuple(line for line in first if any(line in other for other in others))


def _check_comparable(space: Space, config: SafeConfig, protocol: str) -> None:
    """Refuse to search what decides on which interactions, and how, trials are judged."""
    deciding = {*evaluation_settings(config.__getitem__, protocol), *_OF_DATA}
    # RecBole's own split is drawn by it.
    deciding |= {"seed"} if protocol == "random" else set()
    for name in space:
        if name in deciding:
            raise UserError(
                f"`{name}`: found it in the search space, but it decides on what trials are "
                f"judged with protocol {protocol}, so that they could not be compared; set "
                f"`--{name}=VALUE` for all of them"
            )


def _objectives(select_on: str | None, dataset: ModalityDataset) -> tuple[tuple[str, ...], str]:
    """Validation splits of a dataset, and the selection rule."""
    parts = dataset.build_parts()
    if VALID not in parts:
        raise UserError("the split has no validation split, which a search needs; set `eval_args`")
    objectives = tuple(part for part in (VALID, OOD_VALID) if part in parts)
    select_on = select_on or ("harmonic" if OOD_VALID in parts else "iid")
    if select_on != "iid" and OOD_VALID not in parts:
        raise without_ood_validation(select_on, dataset.protocol)
    return objectives, select_on
