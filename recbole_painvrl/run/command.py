"""The command that makes a run again, wherever its settings came from."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import yaml

from recbole_painvrl.config.layers import is_given
from recbole_painvrl.config.loading import TEXT_SETTINGS, PlainLoader
from recbole_painvrl.run.folder import CONFIG
from recbole_painvrl.run.program import program
from recbole_painvrl.run.resume import stored_entries, stored_settings

# Output, display and resuming: the folder is taken, and the new run resumes nothing.
_LEFT_OUT = frozenset({"output_dir", "run_name", "show_progress", "resume"})
_FIRST = ("model", "dataset")


def command_again(folder: Path, threads: int | None) -> list[str]:
    """Words of a command that makes the run of a folder again, in a new folder.

    Args:
        folder: a run folder; its ``config.yaml`` says what the user set, in files, on a command
            line or through ``benchmark``, ``ablate`` and ``tune``.
        threads: CPU threads, if neither the user nor the data chose them; else None.
    """
    path = folder / CONFIG
    values = stored_settings(path)
    given = {
        name: values[name]
        for name, entry in stored_entries(path).items()
        if is_given(entry["from"])
    }
    if threads is not None:
        given["n_threads"] = threads
    names = [*_FIRST, *sorted(set(given) - _LEFT_OUT - set(_FIRST))]
    return [*program(), *(f"--{name}={setting_text(name, given[name])}" for name in names)]


def setting_text(name: str, value: Any) -> str:
    """A value as the command line reads it."""
    if value is None:
        return "~"
    if name in TEXT_SETTINGS:
        return str(value).replace("\t", "\\t")
    flow: str = yaml.safe_dump([value], default_flow_style=True, width=math.inf, allow_unicode=True)
    text = flow.strip()[1:-1]
    # Text that only the command line's reader takes for a number, such as 1e3.
    same = yaml.load(text, Loader=PlainLoader) == value
    return text if same else json.dumps(value, ensure_ascii=False)
