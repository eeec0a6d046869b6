"""Conversion of YAML and command lines to plain values, without `eval`."""

from __future__ import annotations

import re
import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml

from recbole_painvrl.config.settings import RunSettings
from recbole_painvrl.errors import UserError, short

# Errors of PyYAML for invalid text, including built-in ones that it does not convert.
YAML_ERRORS = (
    *(yaml.YAMLError, ValueError, TypeError, LookupError, AttributeError),
    *(RecursionError, OverflowError),
)

# RecBole's own pattern: YAML 1.1 reads 1e-3 as text.
_FLOAT = re.compile(
    r"""^(?:
     [-+]?(?:[0-9][0-9_]*)\.[0-9_]*(?:[eE][-+]?[0-9]+)?
    |[-+]?(?:[0-9][0-9_]*)(?:[eE][-+]?[0-9]+)
    |\.[0-9_]+(?:[eE][-+][0-9]+)?
    |[-+]?[0-9][0-9_]*(?::[0-5]?[0-9])+\.[0-9_]*
    |[-+]?\.(?:inf|Inf|INF)
    |\.(?:nan|NaN|NAN))$""",
    re.VERBOSE,
)


class _PythonEvents(yaml.reader.Reader, yaml.scanner.Scanner, yaml.parser.Parser):
    """Events of a YAML text where PyYAML was built without libyaml."""

    def __init__(self, stream: str) -> None:
        yaml.reader.Reader.__init__(self, stream)
        yaml.scanner.Scanner.__init__(self)
        yaml.parser.Parser.__init__(self)


# With libyaml, reading takes a fortieth of the time. Nodes are composed in Python even so, since
# libyaml's composer crashes on text that is nested very deeply.
_Events: Any = yaml.cyaml.CParser if yaml.__with_libyaml__ else _PythonEvents


class BoundedLoader(
    yaml.composer.Composer, _Events, yaml.constructor.SafeConstructor, yaml.resolver.Resolver
):
    """Safe YAML without references, which could expand to billions of values."""

    def __init__(self, stream: str) -> None:
        _Events.__init__(self, stream)
        yaml.composer.Composer.__init__(self)
        yaml.constructor.SafeConstructor.__init__(self)
        yaml.resolver.Resolver.__init__(self)

    def compose_node(self, parent: Any, index: Any) -> Any:
        """Refuse a reference (``*name``)."""
        if self.check_event(yaml.events.AliasEvent):
            event = self.peek_event()
            raise yaml.composer.ComposerError(
                None, None, f"references such as `*{event.anchor}` are not read", event.start_mark
            )
        return super().compose_node(parent, index)


class PlainLoader(BoundedLoader):
    """Safe YAML with RecBole's numbers, without dates, and without repeated keys."""

    def construct_mapping(self, node: Any, deep: bool = False) -> Any:
        """Refuse a repeated key; YAML would silently use the last one."""
        seen = set()
        for key, _ in node.value:
            if isinstance(key, yaml.ScalarNode):
                if key.value in seen:
                    raise yaml.constructor.ConstructorError(
                        None, None, f"`{key.value}` occurs twice", key.start_mark
                    )
                seen.add(key.value)
        return super().construct_mapping(node, deep=deep)


# Adding a resolver copies the tables to the subclass; PyYAML's own do not change.
PlainLoader.add_implicit_resolver("tag:yaml.org,2002:float", _FLOAT, list("-+0123456789."))
_INT = "tag:yaml.org,2002:int"
for _first, _resolvers in list(PlainLoader.yaml_implicit_resolvers.items()):
    # A run named 2024-01-01 is text, and so are the ids 011, 1:30, 0x1f and 1_000.
    PlainLoader.yaml_implicit_resolvers[_first] = [
        pair for pair in _resolvers if pair[0] not in ("tag:yaml.org,2002:timestamp", _INT)
    ]
PlainLoader.add_implicit_resolver(_INT, re.compile(r"^(?:0|-?[1-9][0-9]*)$"), list("-0123456789"))

# Settings that are always text: a run may be named 2024 or 1e3.
TEXT_SETTINGS = {
    name
    for name, field in RunSettings.model_fields.items()
    if field.annotation in (str, str | None)
} | {
    "model",
    "dataset",
    "config_files",
    "gpu_id",
    "data_path",
    "checkpoint_dir",
    "dataset_save_path",
    "dataloaders_save_path",
    "wandb_project",
    "field_separator",
    "seq_separator",
    "encoding",
    # YAML reads its value `01` as a number.
    "inter_matrix_type",
}


def read_yaml(path: Path) -> dict[str, Any]:
    """Mapping of setting to value in a YAML file; an empty file is an empty mapping.

    Raises :class:`UserError` for a file that is missing or not such a mapping, and for tags.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise UserError(f"{path}: no such configuration file; correct `config_files`") from None
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{path}: not readable as text ({error}); correct `config_files`") from None
    try:
        values = yaml.load(text, Loader=PlainLoader)
    except YAML_ERRORS as error:
        raise UserError(f"{path}: not valid YAML{_problem(error)}; correct the file") from None
    if values is None:
        return {}
    if not isinstance(values, dict):
        raise UserError(f"{path}: holds {type(values).__name__}, expected lines `setting: value`")
    for key in values:
        if not isinstance(key, str):
            raise UserError(f"{path}: found the key {key!r}, expected the name of a setting")
    return values


def config_file_names(text: str) -> list[str]:
    """Files of ``--config_files``: a YAML list, one file, or several separated by spaces.

    A name with spaces may be given alone, in a list, or in quotes.

    Raises :class:`UserError` for a list that is not one of names.
    """
    if Path(text).is_file():
        return [text]
    try:
        if not text.lstrip().startswith("["):
            return shlex.split(text)
        names = yaml.load(text, Loader=PlainLoader)
    except YAML_ERRORS as error:
        names = str(error)
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise UserError(
            f"`config_files`: found {short(text)}, expected file names such as "
            "\"['a.yaml', 'b c.yaml']\""
        )
    return names


def parse_overrides(argv: Sequence[str]) -> dict[str, Any]:
    """``--key=value`` and ``--key value`` to typed values, read as YAML and never evaluated.

    ``~`` and ``None`` are none. What is not YAML stays text (``[5,inf)``).

    Raises :class:`UserError` for anything else, a missing value and a repeated key.
    """
    values: dict[str, Any] = {}
    words = list(argv)
    while words:
        word = words.pop(0)
        key, equals, text = word[2:].partition("=")
        if not word.startswith("--") or not key:
            raise UserError(f"command line: found {short(word)}, expected `--setting=value`")
        if not equals:
            if not words or words[0].startswith("--"):
                name = short(word)[1:-1]
                raise UserError(f"command line: `{name}` has no value; write `{name}=VALUE`")
            text = words.pop(0)
        if key in values:
            raise UserError(f"command line: `--{short(key)[1:-1]}` occurs twice; give it once")
        values[key] = _value(key, text)
    return values


def _value(key: str, text: str) -> Any:
    if text in ("~", "null", "None"):
        return None
    if key in TEXT_SETTINGS or not text:
        return text
    try:
        return yaml.load(text, Loader=PlainLoader)
    except (yaml.constructor.ConstructorError, yaml.composer.ComposerError) as error:
        raise UserError(f"`{key}`: found {short(text)} (command line){_problem(error)}") from None
    except YAML_ERRORS:
        return text


def _problem(error: Exception) -> str:
    """`` at line 3: ...`` for a YAML error, in one line."""
    mark = getattr(error, "problem_mark", None)
    problem = getattr(error, "problem", None) or error
    line = f" at line {mark.line + 1}" if mark is not None else ""
    return f"{line}: {' '.join(str(problem).split())}"
