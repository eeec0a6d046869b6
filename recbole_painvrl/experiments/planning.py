"""Planning of a grid: settings per model, keys and folders of its runs."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from recbole_painvrl.config import SafeConfig, config_from_arguments, parse_overrides
from recbole_painvrl.config.loading import read_yaml
from recbole_painvrl.data.folder import read_manifest
from recbole_painvrl.data.prepare import ensure_dataset
from recbole_painvrl.errors import UserError
from recbole_painvrl.evaluation.evaluation_settings import evaluation_settings
from recbole_painvrl.experiments.progress import say
from recbole_painvrl.experiments.runs import GridRun, RunKey, run_folder
from recbole_painvrl.run.code import code_hash
from recbole_painvrl.run.identity import data_hash, identity

# Settings that a grid sets -> the option that controls them.
_OWN = {
    "model": "--models",
    "seed": "--seeds",
    "output_dir": "--output",
    "run_name": "--output",
    "resume": "the same command, which resumes by itself",
}
# The same for a setting of one model, which options of the command give otherwise.
_OWN_OF_MODEL = {**_OWN, "dataset": "--dataset", "config_files": "--model-config MODEL=FILE"}


@dataclass(frozen=True)
class Row:
    """A row of a table: a label, one run per seed, and the group (table) it belongs to."""

    label: str
    runs: tuple[GridRun, ...]
    group: str = ""


@dataclass
class Plan:
    """Creates the runs of a grid.

    Args:
        dataset: name of the dataset.
        seeds: seeds of every row.
        output: folder of tables and runs.
        models: name of a model -> value of ``--model``.
        common: setting -> value as text, for all runs.
        files: configuration files of all runs.
        own_files: model -> its additional configuration files.
        own: model -> setting -> value as text; overrides all of the above.
    """

    dataset: str
    seeds: Sequence[int]
    output: Path
    models: Mapping[str, str]
    common: dict[str, str] = field(default_factory=dict)
    files: tuple[str, ...] = ()
    own_files: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    own: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    _data: dict[Path, str] = field(init=False, default_factory=dict)
    _said: set[str] = field(init=False, default_factory=set)
    # Group and label of every row -> its settings without effect, a line each.
    _idle: dict[tuple[str, str], tuple[str, ...]] = field(init=False, default_factory=dict)
    _test_sets: dict[str, tuple[str, dict[str, Any]]] = field(init=False, default_factory=dict)

    def __post_init__(self) -> None:
        for name in self.common:
            if name in _OWN:
                raise UserError(f"`--{name}`: a grid sets this itself; use {_OWN[name]}")
        for model, settings in self.own.items():
            for name in settings:
                if name in _OWN_OF_MODEL:
                    raise UserError(
                        f"`--set {model}.{name}`: a grid sets this itself; use "
                        f"{_OWN_OF_MODEL[name]}"
                    )

    @cached_property
    def code(self) -> str:
        """Hash of the package's code."""
        return code_hash()

    def row(
        self, label: str, model: str, settings: Mapping[str, str] | None = None, group: str = ""
    ) -> Row:
        """Create a row of a table: one run per seed.

        Args:
            label: its name in the table.
            model: the model.
            settings: settings of this row; they override those of the user.
            group: the table it belongs to.

        Raises:
            UserError: the configuration or the data are wrong.
        """
        runs = tuple(self.run(model, seed, settings or {}) for seed in self.seeds)
        config = self.config(runs[0].arguments)
        for line in (*config.dropped, *self._without_effect(model)):
            if line not in self._said:
                self._said.add(line)
                say(line)
        self._check_test_sets(label, group, config)
        self._idle[group, label] = config.idle
        return Row(label, runs, group)

    def say_idle(self) -> None:
        """Say each setting without effect once, with the rows, unless it is in all of them."""
        for line in dict.fromkeys(line for lines in self._idle.values() for line in lines):
            found = [label for (_, label), lines in self._idle.items() if line in lines]
            names = ", ".join(dict.fromkeys(found))
            say(line if len(found) == len(self._idle) else f"{line} ({names})")

    def _without_effect(self, model: str) -> Iterator[str]:
        """One line per setting of a configuration file that the grid sets to another value."""
        values: dict[str, Any] = {"model": self.models[model], "dataset": self.dataset}
        if len(self.seeds) == 1:
            values["seed"] = self.seeds[0]
        for path in (*self.files, *self.own_files.get(model, ())):
            for name, value in read_yaml(Path(path)).items():
                option = _OWN_OF_MODEL.get(name)
                if option and value is not None and value != values.get(name):
                    yield (
                        f"`{name}: {value}` (file {path}) has no effect: a grid sets this itself; "
                        f"use {option}"
                    )

    def _check_test_sets(self, label: str, group: str, config: SafeConfig) -> None:
        """Refuse a row whose runs are evaluated otherwise than those of the table's first row."""
        path = Path(config["data_path"])
        protocol = config["protocol"] or read_manifest(path).get("default_protocol") or "random"
        protocol = "files" if config["benchmark_filename"] else protocol
        found = {"protocol": protocol, **evaluation_settings(config.__getitem__, protocol)}
        first, expected = self._test_sets.setdefault(group, (label, found))
        for name in {**found, **expected}:
            if found.get(name) != expected.get(name):
                raise UserError(
                    f"`{name}`: found {found.get(name)} for {label} and {expected.get(name)} for "
                    f"{first}, which would be compared although they are evaluated differently; "
                    "set it for all models, or use a grid for each"
                )

    def run(self, model: str, seed: int, settings: Mapping[str, str]) -> GridRun:
        """One run of a model with some settings."""
        arguments = self.arguments(model, {**settings, "seed": str(seed)})
        config = self.config(arguments)
        key = run_key(config, self.data_hash(config), self.code)
        folder = run_folder(self.output / "cells", model, self.dataset, seed, key)
        return GridRun(model, seed, arguments, key, folder)

    def arguments(self, model: str, settings: Mapping[str, str]) -> tuple[str, ...]:
        """Arguments of ``run`` for a model; ``own`` overrides files, which override ``common``."""
        own_files = self.own_files.get(model, ())
        own = self.own_names(model)
        values = {name: text for name, text in self.common.items() if name not in own}
        values.update(self.own.get(model, {}))
        values.update(settings)
        files = (*self.files, *own_files)
        words = [f"--model={self.models[model]}", f"--dataset={self.dataset}"]
        words += [f"--config_files={shlex.join(files)}"] if files else []
        return (*words, *(f"--{name}={text}" for name, text in values.items()))

    def own_names(self, model: str) -> set[str]:
        """Settings that are given to a model alone, on the command line or in files."""
        files = self.own_files.get(model, ())
        return {
            *self.own.get(model, {}),
            *(name for path in files for name in read_yaml(Path(path))),
        }

    def config(self, arguments: Sequence[str]) -> SafeConfig:
        """The effective configuration of a run.

        Raises:
            UserError: naming the model and how a setting is given to one model alone.
        """
        try:
            return config_from_arguments(arguments)
        except UserError as error:
            text = str(error)
            if "it is a setting of" in text:
                text += "; give it to one model alone by `--set MODEL.SETTING=VALUE`"
            elif not text.startswith("unknown setting"):
                text = f"{arguments[0].partition('=')[2]}: {text}"
            raise UserError(text) from error

    def data_hash(self, config: SafeConfig) -> str:
        """Hash of the dataset folder; a built-in dataset is generated first."""
        folder = Path(config["data_path"])
        if folder not in self._data:
            self._data[folder] = prepared_hash(config)
        return self._data[folder]


def run_key(config: SafeConfig, data: str, code: str) -> RunKey:
    """Identity of a run; arguments as of :func:`~recbole_painvrl.run.identity.identity`."""
    return RunKey(**identity(config, data, code))


def prepared_hash(config: SafeConfig) -> str:
    """Hash of the dataset of a run; a built-in dataset is generated first."""
    folder = Path(config["data_path"])
    ensure_dataset(config["dataset"], folder)
    return data_hash(folder)


def prepare_split(config: SafeConfig, say: Callable[[str], None]) -> None:
    """Compute the split of protocol ``iid_ood`` once, before parallel runs need it."""
    from recbole_painvrl.data.dataset import ModalityDataset

    default = read_manifest(Path(config["data_path"])).get("default_protocol")
    if (config["protocol"] or default) == "iid_ood":
        say("computing the iid_ood split, shared by all runs, unless it is cached")
        ModalityDataset(config).build_parts()


def words_of(argv: Sequence[str]) -> dict[str, str]:
    """``--key=value`` and ``--key value`` as text by key, checked as run_recbole.py checks them.

    Raises:
        UserError: an argument has another form.
    """
    parse_overrides(argv)
    found, words = {}, list(argv)
    while words:
        key, equals, text = words.pop(0)[2:].partition("=")
        found[key] = text if equals else words.pop(0)
    return found
