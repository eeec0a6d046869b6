"""Takes up an interrupted run with nothing but its folder."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import yaml

from recbole_painvrl.config import SafeConfig, parse_overrides
from recbole_painvrl.config.safe import DERIVED
from recbole_painvrl.errors import InterruptedRunError, UserError
from recbole_painvrl.run.folder import RESULT

# Models of RecBole whose trainers hold state beyond weights, one optimiser and generators.
_NOT_EXACT = frozenset({"RecVAE", "DiffRec", "LDiffRec", "NCL", "RaCT"})
_SET_BY_RUN = "set by the run"
# What a resumed run may change: nothing that its numbers depend on.
_FREE = frozenset({"resume", "show_progress"})


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
    path = folder / "config.yaml"
    if not path.is_file():
        raise UserError(f"{folder}: no run to resume, there is no config.yaml")
    if (folder / RESULT).is_file():
        raise UserError(f"{folder}: the run is complete, see {RESULT}; nothing is left to do")
    values = {name: entry["value"] for name, entry in _read(path).items()}
    if values["model"] in _NOT_EXACT:
        raise UserError(
            f"{folder}: a run of {values['model']} cannot be resumed exactly; start it again"
        )
    # RecBole appends the dataset's name to the path.
    values["data_path"] = str(Path(values["data_path"]).parent)
    negatives = values.get("train_neg_sample_args")
    if negatives is not None and negatives.get("distribution") == "none":
        # RecBole rewrites "no negatives" to a form that it does not accept as input.
        values["train_neg_sample_args"] = None
    values.update({name: overrides[name] for name in _FREE & set(overrides) - {"resume"}})
    return folder, SafeConfig(overrides=values, overrides_from=str(path))


@contextmanager
def how_to_go_on(folder: Path, model: str) -> Iterator[None]:
    """Ctrl-C inside says how to go on.

    Raises:
        InterruptedRunError: Ctrl-C, with the command to type.
    """
    try:
        yield
    except KeyboardInterrupt as error:
        if model in _NOT_EXACT:
            message = f"stopped; a run of {model} cannot be resumed exactly, start it again"
        else:
            message = f"stopped; go on with: python run_recbole.py --resume={folder}"
        raise InterruptedRunError(message) from error


def _read(path: Path) -> dict[str, dict[str, Any]]:
    """Settings of ``config.yaml`` that the run did not derive itself."""
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
        return {
            name: entry
            for name, entry in content.items()
            if entry["from"] not in (DERIVED, _SET_BY_RUN)
        }
    except (OSError, yaml.YAMLError, AttributeError, KeyError, TypeError) as error:
        raise UserError(f"{path}: not readable as the configuration of a run") from error
