"""Datasets and runs that are found where the command was started."""

from __future__ import annotations

import fcntl
import json
from collections.abc import Iterator
from pathlib import Path

from recbole_painvrl.doctor.findings import Finding

BUILT_IN = ("ml-trailers", "planted", "ml-100k")
_NPY = b"\x93NUMPY"
_SHOWN = 5
# A run folder lies in runs/, or in the folder of a search or a grid in there.
_DEPTHS = ("*", "*/*", "*/*/*")


def check_datasets(data_path: Path) -> list[Finding]:
    """Every dataset folder, by its headers alone; `dataset_prep check` reads everything."""
    found = [Finding("ok", f"need no download: {', '.join(BUILT_IN)}")]
    if not data_path.is_dir():
        text = f"{data_path}: no such folder, so there are no datasets of your own"
        return [*found, Finding("note", text, "type: python -m dataset_prep --help")]
    for folder in sorted(path for path in data_path.iterdir() if path.is_dir()):
        if folder.name.startswith("."):
            continue
        problems = list(_problems(folder))
        found += [
            Finding("FAIL", p, f"type: python -m dataset_prep check {folder}") for p in problems
        ]
        if not problems:
            names = sorted(path.stem for path in (folder / "features").glob("*.npy"))
            found.append(Finding("ok", f"{folder}: modalities {', '.join(names) or 'none'}"))
    return found


def check_runs(output: Path) -> list[Finding]:
    """Runs that were interrupted, with the command that goes on, and those at work."""
    open_runs = [folder for folder in _run_folders(output) if not _is_finished(folder)]
    found = [_open_run(folder) for folder in open_runs[:_SHOWN]]
    if len(open_runs) > _SHOWN:
        found.append(Finding("note", f"{len(open_runs) - _SHOWN} more interrupted runs"))
    return found or [Finding("ok", f"{output}: no interrupted run")]


def _problems(folder: Path) -> Iterator[str]:
    """What a run on this dataset would stumble over first."""
    inter = folder / f"{folder.name}.inter"
    if not inter.is_file():
        yield f"{folder}: lacks {inter.name}"
        return
    with open(inter, "rb") as stream:
        header = stream.readline().decode(errors="replace").strip().split("\t")
        first = stream.readline()
    missing = {"user_id:token", "item_id:token"} - set(header)
    if missing:
        yield f"{inter}: the first line lacks {', '.join(sorted(missing))}"
    elif not first.strip():
        yield f"{inter}: holds no interaction"
    for matrix in sorted((folder / "features").glob("*.npy")):
        with open(matrix, "rb") as stream:
            if stream.read(len(_NPY)) != _NPY:
                yield f"{matrix}: is no .npy file"
        items = matrix.with_name(f"{matrix.stem}.items.tsv")
        if not items.is_file():
            yield f"{matrix}: lacks {items.name}, which says whose rows they are"
    manifest = folder / "manifest.json"
    if manifest.is_file():
        try:
            json.loads(manifest.read_text(encoding="utf-8"))
        except ValueError:
            yield f"{manifest}: is no JSON"


def _run_folders(output: Path) -> list[Path]:
    files = (path for depth in _DEPTHS for path in output.glob(f"{depth}/config.yaml"))
    return sorted(path.parent for path in files)


def _is_finished(folder: Path) -> bool:
    return any((folder / name).is_file() for name in ("result.json", "trial.json"))


def _open_run(folder: Path) -> Finding:
    lock = folder / ".lock"
    holder = lock.read_text(encoding="utf-8").strip() if lock.is_file() else ""
    if holder and _is_held(lock):
        return Finding("ok", f"{folder}: process {holder} is writing it")
    left = f" and left its lock (process {holder}), which hinders nobody" if holder else ""
    advice = f"go on with: python run_recbole.py --resume={folder}"
    if (folder.parent / "study.journal").is_file():
        advice = "the same `tune` command goes on with it, if it was still at work"
    return Finding("note", f"{folder}: was interrupted{left}", advice)


def _is_held(lock: Path) -> bool:
    with open(lock, "rb") as stream:
        try:
            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            return True
    return False
