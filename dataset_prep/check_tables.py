"""Checks of single tables of a dataset folder: header, numbers, titles; and of its manifest."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from dataset_prep.findings import Findings
from dataset_prep.folder import atomic_layout
from dataset_prep.read.text_tables import chunks
from dataset_prep.report import Report
from recbole_painvrl.data.features import available_modalities, load_modality

_TYPES = ("token", "token_seq", "float", "float_seq")


def check_columns(path: Path, findings: Findings) -> None:
    """Header as RecBole needs it (``rating:float``), and a finite number in every float cell."""
    names = atomic_layout(path).names
    untyped = [name for name in names if name.partition(":")[2] not in _TYPES]
    if untyped:
        findings.bad(
            f"{path}: column `{untyped[0]}` has no type; RecBole needs a header as in "
            "user_id:token, item_id:token, rating:float"
        )
    numeric = [name for name in names if name.endswith(":float")]
    if not numeric:
        return
    wrong = dict.fromkeys(numeric, 0)
    for frame in chunks(atomic_layout(path), numeric, Report(), numeric):
        for name in numeric:
            wrong[name] += int((~np.isfinite(frame[name].to_numpy(np.float64))).sum())
    for name, count in wrong.items():
        if count:
            findings.bad(f"{path}: {count} rows have no number in {name}; prepare it again")


def check_item_table(path: Path, rated: set[str], findings: Findings) -> None:
    """The .item file: every id once, and whose they are."""
    check_columns(path, findings)
    column = next((n for n in atomic_layout(path).names if n.partition(":")[0] == "item_id"), None)
    if column is None:
        findings.bad(f"{path}: has no column item_id:token; prepare it again")
        return
    seen: set[str] = set()
    rows = 0
    report = Report()
    for frame in chunks(atomic_layout(path), [column], report):
        rows += len(frame)
        seen.update(frame[column])
    for fault in report.faults:
        findings.bad(f"{path}: {fault.what}; prepare it again")
    if rows > len(seen):
        findings.bad(f"{path}: {rows - len(seen)} rows repeat an item; remove them")
    elif not seen & rated:
        findings.bad(f"{path}: none of its items is in the interactions; prepare it again")
    else:
        findings.good(f"{path.name}: {len(seen & rated):,} of {len(rated):,} items")


def check_manifest(
    folder: Path, manifest: dict[str, Any], splits: dict[str, int], findings: Findings
) -> None:
    """What the manifest says about splits and modalities agrees with the files."""
    place = folder / "manifest.json"
    before = findings.broken
    if manifest.get("splits") not in (None, splits):
        findings.bad(f"{place}: says splits {manifest['splits']}, the files have {splits}")
    told = manifest.get("modalities")
    if isinstance(told, dict):
        there = available_modalities(folder)
        for name in sorted(set(told) ^ set(there)):
            findings.bad(f"{place}: modality {name} is in only one of manifest and features/")
        for name in sorted(set(told) & set(there)):
            shape = list(load_modality(folder, name)[0].shape)
            stated = [told[name].get("rows"), told[name].get("dims")]
            if stated != shape:
                findings.bad(f"{place}: says {name} is {stated}, the file has {shape}")
    if findings.broken == before:
        findings.good("manifest.json: agrees with splits and modalities")
