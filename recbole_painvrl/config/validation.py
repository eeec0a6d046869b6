"""Validation of names and values of the user's settings."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from recbole_painvrl.config.base import Idle, wrong_value
from recbole_painvrl.config.layers import Layer, merge
from recbole_painvrl.config.mappings import WITHOUT_EFFECT, DatasetSettings
from recbole_painvrl.config.recbole_settings import RecBoleSettings, check_recbole_settings
from recbole_painvrl.config.settings import RunSettings
from recbole_painvrl.errors import UserError, did_you_mean
from recbole_painvrl.specs import project_models, spec_of, specs

# Settings that are in no property file.
_EXTRA = {
    "model",
    "dataset",
    "model_from",
    "config_files",
    "nproc",
}
# The user's alone: among the defaults of a model they would have no effect.
_OF_USER = ("model", "dataset", "model_from", "config_files", "preset", "resume")
# Settings of RecBole's log, which a run does not write.
OF_LOG = {
    "state": "train.log has all records, the console figures and warnings",
    "loss_decimal_place": "train.log has losses with six digits",
}
# RecBole's models that read `require_pow`; those of other packages may.
READS_REQUIRE_POW = ("LightGCN", "SimpleX")
# Whatever the model is.
_IDLE = (
    Idle(("wandb_project",), {"log_wandb": (False,)}),
    Idle(("stopping_step",), {"eval_step": (0,)}),
    Idle(("missing_modality", "unknown_items"), {"modalities": ([],)}),
)


def known_settings(model: str, internal: Iterable[Layer]) -> set[str]:
    """Names that a user may set for a model: RecBole's, ours, the model's and the dataset's."""
    from recbole.utils import argument_list

    known = {*_EXTRA, *RunSettings.model_fields}
    known.update(RecBoleSettings.model_fields, DatasetSettings.model_fields)
    known.update(argument_list.general_arguments, argument_list.training_arguments)
    known.update(argument_list.evaluation_arguments, argument_list.dataset_arguments)
    # RecBole lists it and reads it nowhere; it would pass for `config_files`.
    known.discard("config_file")
    spec = spec_of(model)
    for layer in internal:
        if spec is None or not _is_of_model(layer):
            known.update(layer.values)
    if spec is not None:
        known.update(spec.schema.model_fields)
    return known


def check_names(model: str, internal: list[Layer], external: Iterable[Layer]) -> None:
    """Raise :class:`UserError` for the first external setting that does not exist."""
    known = known_settings(model, internal)
    defaults, _ = merge(internal)
    files = [
        Layer(f"{one.source} file of {model}", one.values) for one in internal if _is_of_model(one)
    ]
    for layer in files:
        for name in _OF_USER:
            if layer.values.get(name) is not None:
                raise UserError(
                    f"`{name}` ({layer.source}): has no effect in the defaults of a model or in "
                    "a preset; remove it there"
                )
    for layer in [*files, *external]:
        for name, value in layer.values.items():
            if name in WITHOUT_EFFECT and value != defaults.get(name):
                raise UserError(
                    f"`{name}` ({layer.source}): belongs to sequential or knowledge-based models "
                    f"of RecBole and has no effect on {model}; remove it"
                )
            if name not in known:
                owners = sorted(o.name for o in specs().values() if name in o.schema.model_fields)
                if owners:
                    close = f"; it is a setting of {', '.join(owners)}, not of {model}"
                else:
                    close = did_you_mean(name, known) or f"; {model} has no such setting, remove it"
                raise UserError(f"unknown setting `{name}` ({layer.source}){close}")


def _is_of_model(layer: Layer) -> bool:
    """Whether a layer is the property file or a preset of a model with a ModelSpec."""
    return layer.source == "model" or layer.source.startswith("preset ")


def check_values(model: str, values: Mapping[str, Any], sources: Mapping[str, str]) -> None:
    """Raise :class:`UserError` for the first value with a wrong type or out of bounds."""
    check_recbole_settings(values, sources)
    RunSettings.from_config(values, sources)
    spec = spec_of(model)
    if spec is not None:
        spec.schema.from_config(values, sources)
    chosen = values["modalities"] or []
    if len(set(chosen)) < len(chosen):
        raise wrong_value("modalities", chosen, sources, "each modality once")
    if spec is not None and spec.needs_modalities and values["modalities"] == []:
        raise wrong_value(
            "modalities",
            [],
            sources,
            f"at least one: {model} needs features; `--model=UltraGCN` can be ID-only",
        )


def idle_settings(
    model: str, values: Mapping[str, Any], given: Iterable[str], defaults: Mapping[str, Any]
) -> Iterator[str]:
    """One line for each setting that was changed and that nothing reads.

    Args:
        model: name of the model.
        values: all settings.
        given: names of those that the user has set.
        defaults: values of settings that the user has not set.
    """
    spec = spec_of(model)
    changed = {name for name in given if name in defaults and values[name] != defaults[name]}
    for name in sorted(changed & OF_LOG.keys()):
        yield f"`{name}` has no effect: {OF_LOG[name]}"
    of_others = spec is not None and model not in project_models()
    if "require_pow" in changed and model not in READS_REQUIRE_POW and not of_others:
        yield f"`require_pow` has no effect on {model}, whose loss does not read it"
    for idle in (*_IDLE, *(() if spec is None else spec.schema.idle)):
        if all(values[name] in expected for name, expected in idle.where.items()):
            reasons = ", ".join(f"{name}: {values[name]}" for name in idle.where)
            for name in sorted(changed.intersection(idle.names)):
                changed.remove(name)
                yield f"`{name}` has no effect with `{reasons}`"
