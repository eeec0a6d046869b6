"""Base class of settings, with errors that name value, source and what is expected."""

from __future__ import annotations

import re
import types
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, Literal, Protocol, Self, Union, get_args, get_origin

from pydantic import BaseModel, ConfigDict, ValidationError
from pydantic.fields import FieldInfo

from recbole_painvrl.errors import UserError, did_you_mean, short

_NAMES = {
    int: "an integer",
    float: "a number",
    bool: "true or false",
    str: "text",
    type(None): "~ (none)",
}


class ConfigLike(Protocol):
    """A source of settings: RecBole's ``Config`` or a plain dictionary."""

    def __getitem__(self, key: str, /) -> Any: ...

    def __contains__(self, key: str, /) -> bool: ...


@dataclass(frozen=True)
class Expects:
    """Annotation of a type that describes the expected value in error messages."""

    text: str


@dataclass(frozen=True)
class Idle:
    """Settings that nothing reads while others have certain values.

    Attributes:
        names: the settings without effect.
        where: setting of the model or of every run -> values; it must have one of them, and so must
            every other one.
    """

    names: tuple[str, ...]
    where: Mapping[str, tuple[Any, ...]]


class Settings(BaseModel):
    """Immutable, validated settings; an integer is accepted as a number, a boolean is not.

    Attributes:
        idle: which of them have no effect beside others; the user is told.
    """

    idle: ClassVar[tuple[Idle, ...]] = ()
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)

    @classmethod
    def from_config(cls, config: ConfigLike, sources: Mapping[str, str] | None = None) -> Self:
        """Read these settings from a configuration, ignoring its other settings.

        Args:
            config: the configuration.
            sources: where each value was set, for error messages; None for ``config.sources``.

        Raises :class:`UserError` with one line for the first value that is missing or wrong.
        """
        values = {name: config[name] for name in cls.model_fields if name in config}
        return cls.checked(values, getattr(config, "sources", {}) if sources is None else sources)

    @classmethod
    def checked(cls, values: Mapping[str, Any], sources: Mapping[str, str]) -> Self:
        """Validate values; ``sources`` names where each was set, for error messages.

        Raises :class:`UserError` with one line for the first value that is missing or wrong.
        """
        try:
            return cls(**values)
        except ValidationError as error:
            raise UserError(_explain(cls, error, values, sources)) from None


def wrong_value(name: str, value: Any, sources: Mapping[str, str], expected: str) -> UserError:
    """The error of one setting: ``name``: found ``value`` (where), expected ``expected``."""
    return UserError(f"`{name}`: found {short(value)}{where(name, sources)}, expected {expected}")


def where(name: str, sources: Mapping[str, str]) -> str:
    """`` (command line)`` where the source is known, else nothing."""
    return f" ({sources[name]})" if name in sources else ""


def expectation(field: FieldInfo) -> str:
    """A field's type and bounds in words: ``an integer >= 1``, ``one of sgd, adam``."""
    return _words(field.annotation, tuple(field.metadata))


def _explain(
    schema: type[BaseModel],
    error: ValidationError,
    values: Mapping[str, Any],
    sources: Mapping[str, str],
) -> str:
    errors = error.errors(include_url=False)
    # Every branch of a union reports an error; the deepest is that of the intended branch.
    first = max((e for e in errors if e["loc"][:1] == errors[0]["loc"][:1]), key=_depth)
    if not first["loc"]:
        return str(first.get("ctx", {}).get("error", first["msg"]))
    name, *location = (str(key) for key in first["loc"])
    set_where, missing = where(name, sources), first["type"] == "missing"
    unknown = first["type"] == "extra_forbidden"
    if unknown and not location:
        return f"unknown setting `{name}`{set_where}"
    if missing and not location:
        return f"`{name}`: not set, expected {expectation(schema.model_fields[name])}"
    annotation, value, path = _annotated(schema.model_fields[name]), values[name], name
    for key in location:
        inner = _inner_type(annotation, key)
        # Pydantic also puts the branches of a union into the location.
        if inner is not None and isinstance(value, Mapping) and key in value:
            annotation, value, path = inner, value[key], f"{path}: {key}"
    if missing or unknown:
        found = "found the key" if unknown else "lacks the key"
        keys = sorted(k for one in _flat(annotation) for k in getattr(one, "model_fields", ()))
        close = did_you_mean(location[-1], keys) if unknown else ""
        return (
            f"`{path}`: {found} `{location[-1]}`{set_where}, expected only {', '.join(keys)}{close}"
        )
    wrong = f"`{path}`: found {short(value)}{set_where}, expected {_words(annotation)}"
    given = first["input"]
    if first["type"] == "list_type" and isinstance(given, str) and len(given) < 40:
        wrong += f"; write [{short(given)[1:-1]}]"
    if first["type"] == "literal_error" and isinstance(given, str):
        wrong += did_you_mean(given, re.findall("'([^']+)'", first["ctx"]["expected"]))
    return wrong


def _depth(error: Any) -> tuple[int, int]:
    # A misspelt key also makes the correct key missing; report the misspelt one.
    order = {"extra_forbidden": 2, "missing": 1}
    return order.get(error["type"], 0), len(error["loc"])


def _annotated(field: FieldInfo) -> Any:
    # Annotated needs at least one annotation, hence None.
    return Annotated[field.annotation, *field.metadata, None]


def _flat(annotation: Any) -> list[Any]:
    """The member types of a type, without annotations."""
    origin = get_origin(annotation)
    if origin is Annotated:
        return _flat(get_args(annotation)[0])
    if origin in (Union, types.UnionType):
        return [one for inner in get_args(annotation) for one in _flat(inner)]
    return [annotation]


def _inner_type(annotation: Any, key: int | str) -> Any:
    """Type of the value under a key of a mapping, or None."""
    for inner in _flat(annotation):
        if get_origin(inner) is dict:
            return get_args(inner)[1]
        fields = getattr(inner, "model_fields", {})
        if key in fields:
            return _annotated(fields[key])
    return None


def _words(annotation: Any, metadata: tuple[Any, ...] = ()) -> str:
    said = next((item.text for item in metadata if isinstance(item, Expects)), None)
    if said is not None:
        return said
    origin = get_origin(annotation)
    if origin is Annotated:
        inner, *extra = get_args(annotation)
        return _words(inner, (*metadata, *extra))
    if origin is Literal:
        return "one of " + ", ".join(str(value) for value in get_args(annotation))
    if origin in (Union, types.UnionType):
        options = sorted(get_args(annotation), key=lambda option: option is type(None))
        return " or ".join(_words(o, () if o is type(None) else metadata) for o in options)
    if origin is list:
        return f"a list (each {_words(get_args(annotation)[0])})"
    if origin is dict:
        return "a mapping"
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return f"a mapping with {', '.join(annotation.model_fields)}"
    return " ".join([_NAMES.get(annotation, str(annotation)), *_bounds(metadata)])


def _bounds(metadata: tuple[Any, ...]) -> list[str]:
    signs = {"ge": ">=", "gt": ">", "le": "<=", "lt": "<"}
    # Bounds of an Annotated type are inside a FieldInfo.
    flat = [one for item in metadata for one in getattr(item, "metadata", [item])]
    found = [
        f"{sign} {getattr(item, name)}"
        for item in flat
        for name, sign in signs.items()
        if hasattr(item, name)
    ]
    return [" and ".join(found)] if found else []
