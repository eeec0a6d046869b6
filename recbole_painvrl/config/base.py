"""Settings that explain themselves: what was found, where it was set and what is expected."""

from __future__ import annotations

import types
from collections.abc import Mapping
from typing import Annotated, Any, Literal, Protocol, Self, Union, get_args, get_origin

from annotated_types import Ge, Gt, Le, Lt
from pydantic import BaseModel, ConfigDict, ValidationError
from pydantic.fields import FieldInfo

from recbole_painvrl.errors import UserError, did_you_mean

_NAMES = {
    int: "an integer",
    float: "a number",
    bool: "true or false",
    str: "text",
    type(None): "~ (none)",
}


class ConfigLike(Protocol):
    """What settings are read from: RecBole's ``Config`` or a plain dictionary."""

    def __getitem__(self, key: str, /) -> Any: ...

    def __contains__(self, key: str, /) -> bool: ...


class Settings(BaseModel):
    """Frozen, checked settings; an integer serves as a number, a boolean never does."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)

    @classmethod
    def from_config(cls, config: ConfigLike) -> Self:
        """Pick these settings out of a configuration; others in it do not matter.

        Raises :class:`UserError` with one line for the first value that is missing or wrong.
        """
        values = {name: config[name] for name in cls.model_fields if name in config}
        return cls.checked(values, getattr(config, "sources", {}))

    @classmethod
    def checked(cls, values: Mapping[str, Any], sources: Mapping[str, str]) -> Self:
        """Build from values alone; ``sources`` says where each was set, for the message.

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


def short(value: Any) -> str:
    """One line for a value of any length."""
    text = " ".join(repr(value).split())
    return text if len(text) <= 80 else text[:77] + "..."


def expectation(field: FieldInfo) -> str:
    """A field's type and bounds in words: ``an integer >= 1``, ``one of sgd, adam``."""
    return _words(field.annotation, tuple(field.metadata))


def _explain(
    schema: type[BaseModel],
    error: ValidationError,
    values: Mapping[str, Any],
    sources: Mapping[str, str],
) -> str:
    first = error.errors(include_url=False)[0]
    if not first["loc"]:
        return str(first.get("ctx", {}).get("error", first["msg"]))
    name = str(first["loc"][0])
    if first["type"] == "extra_forbidden":
        return f"unknown setting `{name}`{where(name, sources)}"
    expected = expectation(schema.model_fields[name])
    if first["type"] == "missing":
        return f"`{name}`: not set, expected {expected}"
    wrong = str(wrong_value(name, values[name], sources, expected))
    if first["type"] == "literal_error" and isinstance(first["input"], str):
        wrong += did_you_mean(first["input"], _choices(schema.model_fields[name].annotation))
    return wrong


def _choices(annotation: Any) -> list[str]:
    """The words a field chooses from, wherever they stand in its type."""
    if isinstance(annotation, str):
        return [annotation]
    return [word for inner in get_args(annotation) for word in _choices(inner)]


def _words(annotation: Any, metadata: tuple[Any, ...] = ()) -> str:
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
    return " ".join([_NAMES.get(annotation, str(annotation)), *_bounds(metadata)])


def _bounds(metadata: tuple[Any, ...]) -> list[str]:
    found = []
    for item in metadata:
        if isinstance(item, FieldInfo):
            found += _bounds(tuple(item.metadata))
        elif isinstance(item, Ge):
            found.append(f">= {item.ge}")
        elif isinstance(item, Gt):
            found.append(f"> {item.gt}")
        elif isinstance(item, Le):
            found.append(f"<= {item.le}")
        elif isinstance(item, Lt):
            found.append(f"< {item.lt}")
    return [" and ".join(found)] if found else []
