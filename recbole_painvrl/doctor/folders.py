"""Checks of the datasets and runs below the working directory."""

from __future__ import annotations

import glob
import json
import re
from collections.abc import Iterator
from pathlib import Path

from recbole_painvrl.doctor import BUILT_IN
from recbole_painvrl.doctor.system import Finding

_NPY = b"\x93NUMPY"
_TOKEN = re.compile(rb":token\b")
_SHOWN = 5
# A run folder is in runs/, or in the folder of a search or a grid in it.
_DEPTHS = ("*", "*/*", "*/*/*")


def check_datasets(data_path: Path) -> list[Finding]:
    """Check the headers of every dataset folder; `dataset_prep check` reads all of its content."""
    found = [Finding("ok", f"need no download: {', '.join(BUILT_IN)}")]
    if not data_path.is_dir():
        text = f"{data_path}: no such folder, so there are no datasets"
        return [*found, Finding("note", text, "type: python -m dataset_prep --help")]
    for folder in sorted(path for path in data_path.iterdir() if path.is_dir()):
        if folder.name.startswith("."):
            continue
        problems = list(_problems(folder))
        advice = f"type: python -m dataset_prep check {folder}"
        found += [Finding("FAIL", problem, advice) for problem in problems]
        if not problems:
            names = sorted(path.stem for path in (folder / "features").glob("*.npy"))
            found.append(Finding("ok", f"{folder}: modalities {', '.join(names) or 'none'}"))
    return found


def check_runs(output: Path) -> list[Finding]:
    """Interrupted runs, with the command that resumes them, and active runs."""
    folders = sorted(
        path.parent for depth in _DEPTHS for path in output.glob(f"{depth}/config.yaml")
    )
    ends = ("result.json", "trial.json")
    left = [one for one in folders if not any((one / name).is_file() for name in ends)]
    found = [_open_run(folder) for folder in left[:_SHOWN]]
    if len(left) > _SHOWN:
        found.append(Finding("note", f"{len(left) - _SHOWN} more interrupted runs"))
    return found or [Finding("ok", f"{output}: no interrupted run")]


def _problems(folder: Path) -> Iterator[str]:
    """Faults of a dataset folder with which a run would fail."""
    files = [folder / f"{folder.name}{part}.inter" for part in ("", ".train")]
    # `benchmark_filename` may give the splits other names.
    others = sorted(folder.glob(f"{glob.escape(folder.name)}.*.inter"))
    inter = next((path for path in [*files, *others] if path.is_file()), None)
    if inter is None:
        yield f"{folder}: lacks {files[0].name} or {files[1].name}"
        return
    with open(inter, "rb") as stream:
        header, first = stream.readline(), stream.readline()
    # Settings may give the columns other names, another separator and an encoding such as UTF-16.
    if len(_TOKEN.findall(header.replace(b"\0", b""))) < 2:
        yield f"{inter}: the first line lacks two columns such as user_id:token and item_id:token"
    elif not first.strip():
        yield f"{inter}: holds no interaction"
    for matrix in sorted((folder / "features").glob("*.npy")):
        with open(matrix, "rb") as stream:
            if stream.read(len(_NPY)) != _NPY:
                yield f"{matrix}: not a .npy file"
        items = matrix.with_name(f"{matrix.stem}.items.tsv")
        if not items.is_file():
            yield f"{matrix}: lacks {items.name}, which lists the items of its rows"
    for items in sorted((folder / "features").glob("*.items.tsv")):
        if not items.with_name(f"{items.name.removesuffix('.items.tsv')}.npy").is_file():
            yield f"{items}: lists the items of a .npy file that is not there"
    manifest = folder / "manifest.json"
    if manifest.is_file():
        try:
            json.loads(manifest.read_text(encoding="utf-8"))
        except ValueError:
            yield f"{manifest}: not valid JSON"


def _open_run(folder: Path) -> Finding:
    # Imported here: a missing package is reported as a finding.
    from recbole_painvrl.locks import LOCK, holder
    from recbole_painvrl.run.program import shell_command

    process = holder(folder / LOCK)
    if process:
        return Finding("ok", f"{folder}: process {process} is running it")
    advice = f"resume with: {shell_command(resume=folder)}"
    if (folder.parent / "study.journal").is_file():
        advice = "the same `tune` command resumes it, if it was still active"
    return Finding("note", f"{folder}: was interrupted", advice)
