"""Takes up an interrupted run with nothing but its folder."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from logging import getLogger
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from recbole_painvrl.atomic import is_write_failure, remove_temporary, write_failure
from recbole_painvrl.config import SafeConfig, parse_overrides
from recbole_painvrl.config.layers import DERIVED, SET_BY_RUN
from recbole_painvrl.config.loading import YAML_ERRORS, BoundedLoader
from recbole_painvrl.data.feature_mask import COPY
from recbole_painvrl.data.folder import file_hash
from recbole_painvrl.errors import InterruptedRunError, UserError, WriteError
from recbole_painvrl.parallel import group
from recbole_painvrl.run import RESULT
from recbole_painvrl.run.folder import CONFIG, FINAL_CONFIG, config_hash, write_config
from recbole_painvrl.run.program import shell_command
from recbole_painvrl.training.shard_files import is_saved

if TYPE_CHECKING:
    from recbole_painvrl.training.pipeline import Pipeline

# Without these there is no run.
_NAMES = ("model", "dataset", "data_path")
_GPUS = "gpu_id"
# What must not have changed since the run began; other changes only give a warning.
_DECISIVE = frozenset(
    {"data", "truth", "protocol", "feature_mask", "settings", FINAL_CONFIG}
    | {"recbole_painvrl", "recbole", "torch"}
)
_HASH_LENGTH = 64
# Settings that a resumed run may change, since its numbers do not depend on them.
_FREE = frozenset({"resume", "show_progress", "memory_check", "data_path"})


def interrupted_run(argv: Sequence[str]) -> tuple[Path, SafeConfig]:
    """Folder and configuration of the run that ``--resume=RUN`` names.

    Raises:
        UserError: no such run, a complete one, or settings that a resumed run cannot change.
    """
    overrides = parse_overrides(argv)
    folder = Path(str(overrides["resume"]))
    changed = sorted(set(overrides) - _FREE)
    if changed:
        raise UserError(
            f"`{changed[0]}`: a resumed run keeps its settings; leave it out, or start a new run"
        )
    path = folder / CONFIG
    if not path.is_file():
        raise UserError(
            f"{folder}: no run to resume, there is no {CONFIG}; start the run again"
            + (" under another name, or delete the folder first" if folder.is_dir() else "")
        )
    refuse_complete(folder)
    values = stored_settings(path)
    recorded = Path(values["output_dir"], values["run_name"] or folder.name)
    values["data_path"] = str(data_path_from_here(folder, values["data_path"], recorded))
    values.update({name: overrides[name] for name in _FREE & set(overrides) - {"resume"}})
    return folder, stored_config(path, values)


def refuse_complete(folder: Path) -> None:
    """Raise :class:`UserError` where the run of a folder has its result."""
    if (folder / RESULT).is_file():
        raise UserError(f"{folder}: the run is complete, see {RESULT}; nothing is left to do")


def take_up(folder: Path, pipeline: Pipeline, now: Mapping[str, Any]) -> Mapping[str, Any]:
    """Load the last state of an interrupted run; without one, the run begins again.

    Args:
        folder: the run folder, locked.
        pipeline: that of the trainer.
        now: data, truth, protocol, settings, code and versions of this process
            (:func:`run.folder.origin`).

    Returns:
        The same of the process that saved it; empty if the run begins again.

    Raises:
        UserError: the checkpoint is unreadable, or something its numbers depend on has changed.
    """
    refuse_complete(folder)
    log = getLogger("recbole_painvrl")
    for name in remove_temporary(folder) if group.is_first() else ():
        log.info("%s: removed %s, which a killed process left half-written", folder, name)
    group.wait()
    if not pipeline.is_saved:
        log.info("%s: stopped before its first checkpoint; it begins again", folder)
        return {}
    began = pipeline.load()
    changed = [
        f"{name} ({_shown(began[name])} then, {_shown(value)} now)"
        for name, value in now.items()
        if name in began and began[name] != value
    ]
    decisive = [text for text in changed if text.partition(" (")[0] in _DECISIVE]
    if decisive:
        raise UserError(
            f"{folder}: cannot be resumed exactly, since it began with other {decisive[0]}; put "
            "that back, or start a new run"
        )
    if changed:
        log.warning("%s: resumed with other %s; figures may differ", folder, ", ".join(changed))
    log.info("%s: goes on after the %.0f s until its last checkpoint", folder, pipeline.spent()[0])
    return began


def _shown(value: Any) -> str:
    """A value as text; a hash is shortened."""
    text = str(value)
    return text[:8] if len(text) == _HASH_LENGTH else text


def stored_config(path: Path, values: Mapping[str, Any]) -> SafeConfig:
    """The configuration of a run that goes on, with the settings with which it began.

    Args:
        path: its ``config.yaml``.
        values: :func:`stored_settings`, perhaps with some changed.
    """
    config = SafeConfig(overrides=values, overrides_from=str(path))
    if _GPUS not in values:
        # The recorded value, so that other visible GPUs do not count as another setting.
        recorded = stored_entries(path).get(_GPUS, {"value": config[_GPUS]})
        config.final_config_dict[_GPUS] = recorded["value"]
    return config


def stored_settings(path: Path) -> dict[str, Any]:
    """Settings of a run's ``config.yaml``, as overrides that give the same configuration again.

    Unless the user set them, GPUs are left out: a scheduler gives every process its own.

    Raises:
        UserError: the file is not the configuration of a run.
    """
    entries = stored_entries(path)
    if entries.get(_GPUS, {}).get("from") == "RecBole overall":
        del entries[_GPUS]
    values = {name: entry["value"] for name, entry in entries.items()}
    # RecBole appends the dataset's name to the path.
    values["data_path"] = str(Path(values["data_path"]).parent)
    negatives = values.get("train_neg_sample_args")
    if isinstance(negatives, dict) and negatives.get("distribution") == "none":
        # RecBole rewrites "no negatives" to a form that it does not accept as input.
        values["train_neg_sample_args"] = None
    for name in ("config_file", "config_files", "resume"):
        # Runs of earlier versions may hold them; they had no effect, and are refused today.
        values.pop(name, None)
    return values


def settings_hash(path: Path) -> str:
    """The :func:`~recbole_painvrl.run.folder.config_hash` of a ``config.yaml``."""
    return config_hash(yaml.load(path.read_text(encoding="utf-8"), Loader=BoundedLoader))


def kept_hashes(folder: Path) -> dict[str, str]:
    """Hashes of the files of a run from which it is opened again."""
    found = {"config": settings_hash(folder / CONFIG)}
    if (folder / FINAL_CONFIG).is_file():
        found[FINAL_CONFIG] = settings_hash(folder / FINAL_CONFIG)
    if (folder / COPY).is_file():
        found["feature_mask"] = file_hash(folder / COPY)
    return found


def data_path_from_here(folder: Path, data_path: str | Path, recorded: str | Path) -> Path:
    """The ``data_path`` of a run, seen from the present directory.

    Args:
        folder: of the run.
        data_path: of its configuration; if relative, to the directory where the run began.
        recorded: the path of the folder, as seen from that directory.
    """
    path, recorded, here = Path(data_path), Path(recorded), Path(os.path.abspath(folder))
    depth = len(recorded.parts)
    relative = depth and not (path.is_absolute() or recorded.is_absolute())
    if relative and here.parts[-depth:] == recorded.parts:
        began = here.parents[depth - 1]
        if began != Path.cwd() and (began / path).is_dir():
            return began / path
    return path


def keep_data_path(folder: Path, data_path: str) -> None:
    """Write where the data are now into the configuration of a run that goes on elsewhere."""
    for path in (folder / CONFIG, folder / FINAL_CONFIG):
        if path.is_file():
            content = yaml.load(path.read_text(encoding="utf-8"), Loader=BoundedLoader)
            if Path(content["data_path"]["value"]) != Path(data_path):
                content["data_path"]["value"] = os.path.abspath(data_path)
                write_config(folder, content, path.name)


def can_resume(folder: Path) -> bool:
    """Whether a run that was stopped has left enough to go on exactly."""
    saved = is_saved(folder / "checkpoint" / "last.safetensors")
    return saved and (folder / CONFIG).is_file()


@contextmanager
def how_to_go_on(folder: Path, save: Callable[[], None]) -> Iterator[None]:
    """Save at Ctrl-C and SIGTERM; name the resuming command in their error and a full disk's.

    Args:
        folder: the run folder.
        save: writes what the run needs to go on and has not written yet.

    Raises:
        InterruptedRunError: Ctrl-C, with the command to type.
        WriteError: a file could not be written, with the command to type once it can.
    """
    advice = f"go on with: {shell_command(resume=folder)}"
    try:
        yield
    except KeyboardInterrupt as error:
        raise InterruptedRunError(f"stopped{_saved(save)}; {advice}") from error
    except WriteError as error:
        raise WriteError(f"{error}; then {advice}") from error
    except OSError as error:
        # TensorBoard writes from a thread of its own, whose errors name no file.
        if error.filename is None and is_write_failure(error):
            raise WriteError(f"{write_failure(folder, error)}; then {advice}") from error
        raise


def _saved(save: Callable[[], None]) -> str:
    """Save; returns words about what is lost if saving fails or is interrupted, else nothing."""
    try:
        save()
    except (KeyboardInterrupt, OSError, MemoryError, RuntimeError) as error:
        reason = str(error) or type(error).__name__
        return f" without what came after the last save ({reason})"
    return ""


def stored_entries(path: Path) -> dict[str, dict[str, Any]]:
    """Settings of ``config.yaml`` that the run did not derive itself, with their sources.

    Raises:
        UserError: the file is not the configuration of a run.
    """
    try:
        content = yaml.load(path.read_text(encoding="utf-8"), Loader=BoundedLoader)
        kept = {
            name: {"value": entry["value"], "from": entry["from"]}
            for name, entry in content.items()
            if entry["from"] not in (DERIVED, SET_BY_RUN)
        }
        for name in _NAMES:
            if not isinstance(kept[name]["value"], str):
                raise TypeError(name)
        if not all(isinstance(name, str) for name in kept):
            raise TypeError("name of a setting")
        return kept
    except (OSError, *YAML_ERRORS) as error:
        raise UserError(f"{path}: not readable as the configuration of a run") from error
