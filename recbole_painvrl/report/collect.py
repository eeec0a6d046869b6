"""Finds and reads the runs in given folders, such as ``runs/*``."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
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


@dataclass(frozen=True)
class PlannedRun:
    """A run of a grid that failed or has no folder.

    Attributes:
        folder: where it is or will be.
        row: label of its row.
        seed: its seed.
        state: ``not run``, or why it failed.
    """

    folder: Path
    row: str
    seed: int
    state: str


@dataclass
class Collected:
    """Runs and other paths among the given ones.

    Attributes:
        runs: complete or not, each once.
        left: paths that are not on the page.
        missing: runs that grids have planned and that failed or have no folder, by folder.
        of_methods: run folders of the methods that grids have recorded.
        of_partial_rows: of the rows of grids that lack seeds, run folder and ``feature_mask``; None
            for all rows of the folder.
        masks: values of ``feature_mask`` of the rows of grids that have a run, by its folder.
    """

    runs: list[RunData] = field(default_factory=list)
    left: list[LeftOut] = field(default_factory=list)
    missing: dict[Path, PlannedRun] = field(default_factory=dict)
    of_methods: set[Path] = field(default_factory=set)
    of_partial_rows: set[tuple[Path, str | None]] = field(default_factory=set)
    masks: dict[Path, list[str]] = field(default_factory=dict)


class _GridRun(BaseModel):
    group: str
    row: str
    folder: str
    seed: int = 0
    reason: str | None = None
    arguments: list[str] = []

    @property
    def mask(self) -> str | None:
        """The value of ``feature_mask``."""
        return argument(self.arguments, "feature_mask")

    @property
    def key(self) -> tuple[str, str, str | None]:
        """Its row: a folder may have tables of several datasets."""
        return self.group, self.row, argument(self.arguments, "dataset")


class _ChangedRun(BaseModel):
    folder: str
    group: str = ""
    row: str = ""
    seed: int | None = None
    dataset: str | None = None
    changed: list[str] = []


class _Grid(BaseModel):
    """The values of ``cells.json`` that a report reads; ``methods`` is a row by table."""

    cells: list[_GridRun] = []
    left: list[_ChangedRun] = []
    earlier: list[_GridRun] = []
    methods: dict[str, str] = {}

    @property
    def runs(self) -> list[_GridRun]:
        """Those of the last call, and of rows that only earlier calls had."""
        rows = {run.key for run in self.cells}
        return self.cells + [run for run in self.earlier if run.key not in rows]


def argument(words: Sequence[str], name: str) -> str | None:
    """The value of a setting among the arguments of a run."""
    start = f"--{name}="
    return next((word.removeprefix(start) for word in words if word.startswith(start)), None)


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
        if inside and (path / GRID).is_file():
            inside = _of_grid(path, inside, found)
        for folder in inside:
            folders.setdefault(folder.resolve(), folder)
    for folder in found.missing:
        folders.pop(folder, None)
    seen: dict[tuple[str, ...], RunData] = {}
    masks: dict[tuple[str, ...], list[str]] = {}
    for folder in folders.values():
        try:
            run = read_run(folder)
        except UserError as error:
            # Other programs may write files of the same names.
            ours = (folder / "train.log").is_file() or (folder / "checkpoint").is_dir()
            found.left.append(LeftOut(folder, str(error), damaged=ours))
            continue
        first = seen.setdefault(_identity(run), run)
        masks.setdefault(_identity(run), []).extend(found.masks.get(folder.resolve(), []))
        if first is not run:
            reason = f"repeats {first.folder}: the same settings and weights"
            found.left.append(LeftOut(folder, reason))
    for identity, run in seen.items():
        found.runs += _by_row(run, list(dict.fromkeys(masks[identity])))
    if not found.runs:
        raise UserError(_nothing_left(found.left))
    return found


def _of_grid(path: Path, inside: Sequence[Path], found: Collected) -> list[Path]:
    """The runs of a grid without those that were made again with other code, data or settings."""
    grid = read_file(path / GRID, lambda file: _Grid.model_validate_json(file.read_text()))
    rows: dict[tuple[str, str, str | None], set[tuple[Path, str | None]]] = {}
    open_runs = set()
    for run in grid.runs:
        folder = path / run.folder
        rows.setdefault(run.key, set()).add((folder.resolve(), run.mask))
        masks = found.masks.setdefault(folder.resolve(), [])
        if run.mask is not None and run.mask not in masks:
            masks.append(run.mask)
        if (folder / RESULT).is_file():
            continue
        # Records of earlier versions do not name the dataset of a changed run.
        open_runs |= {(*run.key, run.seed), (run.group, run.row, None, run.seed)}
        if run.reason or not is_run(folder):
            state = f"failed: {run.reason}" if run.reason else "not run"
            planned = PlannedRun(folder, run.row, run.seed, state)
            found.missing.setdefault(folder.resolve(), planned)
    for (group, row, _), folders in rows.items():
        if grid.methods.get(group) == row:
            found.of_methods |= {folder for folder, _ in folders}
        if not all((folder / RESULT).is_file() for folder, _ in folders):
            found.of_partial_rows |= folders
    again = {}
    for old in grid.left:
        folder = (path / old.folder).resolve()
        if (old.group, old.row, old.dataset, old.seed) in open_runs:
            # Shown until it is run again, but excluded from the comparison as a partial row.
            found.of_partial_rows.add((folder, None))
        else:
            again[folder] = " and ".join(old.changed)
    left = [folder for folder in inside if folder.resolve() in again]
    found.left += [
        LeftOut(folder, f"made again since, as {again[folder.resolve()]} had changed")
        for folder in left
    ]
    return [folder for folder in inside if folder not in left]


def _by_row(run: RunData, masks: Sequence[str]) -> list[RunData]:
    """A complete run once for every row of a grid that has it: controls may have equal masks."""
    if not masks or run.result is None:
        return [run]
    entry = run.config.get("feature_mask", {"from": "command line"})
    given = [{**run.config, "feature_mask": {**entry, "value": mask}} for mask in masks]
    return [replace(run, config=config) for config in given]


def _identity(run: RunData) -> tuple[str, ...]:
    """Equal for a run and its copy, which must not count as another seed."""
    weights = "" if run.result is None else run.result.hashes.get("weights", "")
    code = "" if run.result is None else run.result.hashes.get("code", "")
    if weights:
        return weights, config_hash(run.config), code
    return (str(run.folder.resolve()),)


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
