"""RecBole's ``Config`` without ``eval``, with every value checked and traced to its source."""

from __future__ import annotations

import copy
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import torch
from recbole.config import Config

from recbole_painvrl.config.layers import (
    DERIVED,
    SET_BY_RUN,
    Layer,
    dropped_keys,
    internal_layers,
    merge,
)
from recbole_painvrl.config.loading import (
    PlainLoader,
    config_file_names,
    parse_overrides,
    read_yaml,
)
from recbole_painvrl.config.lookup import model_class
from recbole_painvrl.config.recbole_models import check_together, recbole_model_schema
from recbole_painvrl.config.validation import check_names, check_values, idle_settings
from recbole_painvrl.errors import UserError, short
from recbole_painvrl.parallel.launch import local_rank, world_size
from recbole_painvrl.specs import spec_of

_IDS = ("USER_ID_FIELD", "ITEM_ID_FIELD")
# What a command line does not hand on, and no other source of settings can give.
_OF_COMMAND_LINE = ("config_files", "resume")


class SafeConfig(Config):
    """Configuration of a run of any general recommender, the plugin's or RecBole's.

    In increasing order of precedence: RecBole overall, plugin overall, model, preset, RecBole
    dataset, dataset, configuration files in the order given, overrides.

    Args:
        model: name, unless a file or the overrides contain it.
        dataset: name, unless a file or the overrides contain it.
        config_files: YAML files.
        overrides: typed values, see :func:`parse_overrides`.
        overrides_from: name of the overrides in messages and ``sources``.

    Attributes:
        sources: where each value came from.
        model_settings: what RecBole's property file of one of its own models declares.
        dropped: one line for every mapping of the user's that lacks keys of a weaker one.
        idle: one line for every setting of the user's that others of the model make idle.

    Raises :class:`UserError` with one line for the first error.

    Deviations from RecBole: neither ``sys.argv`` nor ``eval``; yaml's own loaders stay as they
    are; ``use_gpu: False`` keeps the model on the CPU; ``CUDA_VISIBLE_DEVICES`` of the
    environment is respected unless ``gpu_id`` is set.
    """

    sources: dict[str, str]
    model_settings: tuple[str, ...]
    dropped: tuple[str, ...]
    idle: tuple[str, ...]
    parameters: dict[str, list[str]]

    def __init__(
        self,
        model: str | None = None,
        dataset: str | None = None,
        config_files: Sequence[str | Path] = (),
        overrides: Mapping[str, Any] | None = None,
        overrides_from: str = "command line",
    ) -> None:
        named = {"model": model, "dataset": dataset}
        # RecBole modifies nested dictionaries in place.
        given = copy.deepcopy(dict(overrides or {}))
        given.update({name: value for name, value in named.items() if value is not None})
        self.sources = {}
        self.model_settings = ()
        self._external = [Layer(f"file {path}", read_yaml(Path(path))) for path in config_files]
        self._external.append(Layer(overrides_from, given))
        self.dropped = tuple(dropped_keys(self._external))
        for layer in self._external:
            for name in _OF_COMMAND_LINE:
                if layer.values.get(name) is not None:
                    raise UserError(
                        f"`{name}`: found {short(layer.values[name])} ({layer.source}), which has "
                        f"no effect there; give `--{name}` on the command line of the run"
                    )
            for name in ("field_separator", "seq_separator"):
                if isinstance(layer.values.get(name), str):
                    # In shells and single-quoted YAML a tab is written as these two characters.
                    layer.values[name] = layer.values[name].replace("\\t", "\t")
        super().__init__()
        for name in self.final_config_dict:
            self.sources.setdefault(name, DERIVED)

    def effective(self) -> dict[str, dict[str, Any]]:
        """Every plain value with its source, for YAML or JSON, sorted by name."""
        return {
            name: {"value": value, "from": self.sources[name]}
            for name, value in sorted(self.final_config_dict.items())
            if _is_plain(value)
        }

    def idle_without_features(self) -> list[str]:
        """Like ``idle``, of settings that only a dataset without features makes idle."""
        given, _ = merge(self._external)
        defaults = self.internal_config_dict
        values = {**defaults, **given, "modalities": []}
        lines = idle_settings(str(self["model"]), values, given, defaults)
        return [
            line.replace("with `modalities: []`", "on a dataset without features")
            for line in lines
            if line not in self.idle
        ]

    def __setitem__(self, key: str, value: Any) -> None:
        super().__setitem__(key, value)
        self.sources[key] = SET_BY_RUN

    def _init_parameters_category(self) -> None:
        super()._init_parameters_category()
        # RecBole appends dataset settings to lists shared by all configurations.
        self.parameters = {name: list(values) for name, values in self.parameters.items()}

    def _build_yaml_loader(self) -> type[PlainLoader]:
        return PlainLoader

    def _convert_config_dict(self, config_dict: dict[str, Any]) -> dict[str, Any]:
        return config_dict

    def _load_variable_config_dict(self, config_dict: Any) -> dict[str, Any]:
        return merge(self._external)[0]

    def _load_cmd_line(self) -> dict[str, Any]:
        return {}

    def _get_model_and_dataset(self, model: Any, dataset: Any) -> tuple[str, type, str]:
        example = "expected a name such as"
        name, data = (self.external_config_dict.get(key) for key in ("model", "dataset"))
        for key, value, common in (
            ("model", name, "PaInvRL"),
            ("dataset", data, "ml-trailers"),
        ):
            if not isinstance(value, str) or not value:
                near = get_close_matches(key, self.external_config_dict, n=1, cutoff=0.8)
                close = f" in place of `--{near[0]}`" if near and near[0] != key else ""
                raise UserError(f"`{key}`: found {value!r}, {example} `--{key}={common}`{close}")
        source = self.external_config_dict.get("model_from")
        found = model_class(name if source is None else str(source))
        if source is not None and (":" not in str(source) or found.__name__ != name):
            raise UserError(
                f"`model_from`: found {source} beside `model: {name}`, expected "
                f"package.module:{name}; remove it for a model of RecBole or of this project"
            )
        if ":" in name:
            # Recorded, so that a later process finds the model of the run folder.
            given = self._external[-1].values
            given.update(model=found.__name__, model_from=name)
            self.external_config_dict.update(given)
            name = found.__name__
        return name, found, data

    def _load_internal_config_dict(self, model: str, model_class: Any, dataset: str) -> None:
        internal = internal_layers(model, dataset, self._external)
        internal += default_columns(internal, self._external)
        check_names(model, internal, self._external)
        values, self.sources = merge([*internal, *self._external])
        check_values(model, values, self.sources)
        given, _ = merge(self._external)
        defaults, _ = merge(internal)
        self.idle = tuple(idle_settings(model, values, given, defaults))
        if spec_of(model) is None:
            own, _ = merge(layer for layer in internal if layer.source == "RecBole model")
            recbole_model_schema(model, own).from_config(values, self.sources)
            check_together(model, values)
            self.model_settings = tuple(own)
        self.internal_config_dict = defaults
        self.internal_config_dict["MODEL_TYPE"] = model_class.type

    def _init_device(self) -> None:
        values = self.final_config_dict
        visible = os.environ.get("CUDA_VISIBLE_DEVICES")
        chosen = self.sources["gpu_id"] != "RecBole overall"
        if visible is not None and not chosen:
            values["gpu_id"] = visible
        if values["use_gpu"] and (world_size() == 1 or chosen or visible is not None):
            super()._init_device()
        else:
            # RecBole's default shows the first GPU alone, and each process takes one.
            on_gpu = values["use_gpu"] and torch.cuda.is_available()
            values["gpu_id"] = str(values["gpu_id"])
            values.update(single_spec=True, local_rank=0)
            values["device"] = torch.device("cuda" if on_gpu else "cpu")
        if world_size() > 1 and values["device"].type == "cuda":
            values["device"] = torch.device("cuda", local_rank())

    def _set_default_parameters(self) -> None:
        # RecBole reads its bundled data for this name, even if the user has such a folder.
        folder = Path(self.final_config_dict["data_path"]) / "ml-100k"
        with _recbole_errors():
            super()._set_default_parameters()
        if self.dataset == "ml-100k" and folder.is_dir():
            self.final_config_dict["data_path"] = str(folder)

    def _set_train_neg_sample_args(self) -> None:
        with _recbole_errors():
            super()._set_train_neg_sample_args()

    def _set_eval_neg_sample_args(self, phase: Any) -> None:
        with _recbole_errors():
            super()._set_eval_neg_sample_args(phase)


def config_from_arguments(argv: Sequence[str]) -> SafeConfig:
    """Configuration of a command line.

    ``--config_files`` holds one file, or several as a YAML list or separated by spaces.

    Raises :class:`UserError` with one line for the first error.
    """
    overrides = parse_overrides(argv)
    files = config_file_names(overrides.pop("config_files", None) or "")
    return SafeConfig(config_files=files, overrides=overrides)


def default_columns(internal: Sequence[Layer], external: Sequence[Layer]) -> list[Layer]:
    """RecBole's default ``load_col``, adapted to renamed id columns or ``unload_col``."""
    given, _ = merge(external)
    defaults, sources = merge(internal)
    if "load_col" in given:
        return []
    columns = defaults["load_col"]
    if given.get("unload_col"):
        columns = None
    elif columns is not None:
        renamed = {
            name.lower()[:-6]: given[name] for name in _IDS if isinstance(given.get(name), str)
        }
        columns = {**columns, "inter": [renamed.get(name, name) for name in columns["inter"]]}
    return [Layer(sources["load_col"], {"load_col": columns})]


@contextmanager
def _recbole_errors() -> Iterator[None]:
    """Turn errors of RecBole's own checks of settings into one line."""
    try:
        yield
    except UserError:
        raise
    except (ValueError, TypeError, KeyError, NotImplementedError, RuntimeError) as error:
        message = " ".join(str(error).split())
        raise UserError(f"RecBole refuses the configuration: {message}") from error


def _is_plain(value: Any) -> bool:
    if isinstance(value, dict):
        return all(isinstance(key, str) and _is_plain(item) for key, item in value.items())
    if isinstance(value, list | tuple):
        return all(_is_plain(item) for item in value)
    return value is None or isinstance(value, bool | int | float | str)
