"""Finds and reads the runs in given folders, such as ``runs/*``."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from pydantic import BaseModel

from recbole_painvrl.errors import UserError, did_you_mean
from recbole_painvrl.report.read import RunData, read_file, read_run
from recbole_painvrl.run import RESULT
from recbole_painvrl.run.folder import CONFIG, config_hash, experiment_runs, is_run

# Written by `benchmark` and `ablate`.
GRID = "cells.json"
_SHOWN = 3


@dataclass(frozen=True)
class LeftOut:
    """A given path that is not on the page.

    Attributes:
        path: file or folder.
        reason: why it is left out.
        damaged: whether it is a run with an unreadable file.
    """

    path: Path
    reason: str
    damaged: bool = False


@dataclass
class Collected:
    """Runs and other paths among the given ones.

    Attributes:
        runs: complete or not, each once.
        left: paths that are not on the page.
        of_methods: run folders of the methods that grids have recorded.
    """

    runs: list[RunData] = field(default_factory=list)
    left: list[LeftOut] = field(default_factory=list)
    of_methods: set[Path] = field(default_factory=set)


class _GridRun(BaseModel):
    group: str
    row: str
    folder: str


class _Grid(BaseModel):
    """The values of ``cells.json`` that a report reads; ``methods`` is a row by table."""

    cells: list[_GridRun] = []
    methods: dict[str, str] = {}


def collect(paths: Sequence[Path]) -> Collected:
    """Read all runs, complete or not, each once.

    Args:
        paths: run folders, folders of ``benchmark``, ``ablate`` and ``tune``, and any other.

    Raises:
        UserError: a path does not exist, or there is no readable run.
    """
    folders: dict[Path, Path] = {}
    found = Collected()
    for path in paths:
        if not path.exists() and not path.is_symlink():
            siblings = [p.name for p in path.parent.glob("*") if p.is_dir()]
            raise UserError(
                f"{path}: no such folder{did_you_mean(path.name, siblings)}; name run folders"
            )
        inside = [path] if is_run(path) else experiment_runs(path)
        if not inside:
            found.left.append(LeftOut(path, _why_no_run(path)))
        for folder in inside:
            folders.setdefault(folder.resolve(), folder)
        if inside and (path / GRID).is_file():
            found.of_methods |= _of_methods(path)
    seen: dict[tuple[str, ...], Path] = {}
    for folder in folders.values():
        try:
            run = read_run(folder)
        except UserError as error:
            # Other programs may write files of the same names.
            ours = (folder / "train.log").is_file() or (folder / "checkpoint").is_dir()
            found.left.append(LeftOut(folder, str(error), damaged=ours))
            continue
        first = seen.setdefault(_identity(run), folder)
        if first == folder:
            found.runs.append(run)
        else:
            reason = f"repeats {first}: the same settings and weights"
            found.left.append(LeftOut(folder, reason))
    if not found.runs:
        raise UserError(_nothing_left(found.left))
    return found


def _of_methods(folder: Path) -> set[Path]:
    """Folders of the runs of a grid's methods."""
    grid = read_file(folder / GRID, lambda path: _Grid.model_validate_json(path.read_text()))
    return {
        (folder / run.folder).resolve()
        for run in grid.cells
        if grid.methods.get(run.group) == run.row
    }


def _identity(run: RunData) -> tuple[str, ...]:
    """Equal for a run and its copy, which must not count as another seed."""
    weights = "" if run.result is None else run.result.hashes.get("weights", "")
    return (weights, config_hash(run.config)) if weights else (str(run.folder.resolve()),)


def _why_no_run(path: Path) -> str:
    if not path.is_dir():
        return "a file, not a run folder" if path.exists() else "a broken link"
    inside = sorted(folder for folder in path.glob("*") if is_run(folder))
    if inside:
        return (
            f"holds {len(inside)} run folders but is not one itself; name the runs, such as "
            f"{inside[0]}"
        )
    if (path / "cells").is_dir():
        return "none of its runs has begun"
    return f"not a run folder: it has neither {CONFIG} nor {RESULT}"


def _nothing_left(left: Sequence[LeftOut]) -> str:
    reasons = [
        one.reason if one.reason.startswith(str(one.path)) else f"{one.path}: {one.reason}"
        for one in left
    ]
    if len(reasons) == 1:
        return reasons[0]
    more = "; ..." if len(reasons) > _SHOWN else ""
    return f"no readable run among {len(reasons)}: {'; '.join(reasons[:_SHOWN])}{more}"
