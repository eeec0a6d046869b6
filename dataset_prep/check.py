"""``check``: everything about a dataset folder that can be verified, one line per finding."""

from __future__ import annotations

import argparse
import re
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from dataset_prep.check_tables import check_columns, check_item_table, check_manifest
from dataset_prep.findings import Findings
from dataset_prep.fix.selection import Selection
from dataset_prep.folder import (
    FolderReader,
    FolderTable,
    dataset_folder,
    split_files,
)
from dataset_prep.read.arrays import open_matrix
from dataset_prep.read.features import FeatureTable
from recbole_painvrl.data.features import LIMIT, available_modalities, load_modality
from recbole_painvrl.data.folder import MANIFEST, file_hash, read_manifest, read_truth
from recbole_painvrl.reading import inside

_EXAMPLE = """example:
  python -m dataset_prep check dataset/ml-trailers"""

# What runs keep there under `split_protocol: iid_ood`, by a digest of their settings.
_SPLIT_OF_A_RUN = re.compile(r"splits/iid_ood-[0-9a-f]{16}\.npz")


def add_parser(subparsers: Any) -> None:
    """Add the subcommand and its options."""
    parser: argparse.ArgumentParser = subparsers.add_parser(
        "check",
        help="verify a dataset folder; exit code 2 if it is broken",
        description="Verify files, checksums, ids, splits and features of a dataset folder.",
        epilog=_EXAMPLE,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("folder", type=Path, metavar="FOLDER", help="dataset folder")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Print the findings; exit code 2 when something is broken."""
    folder = dataset_folder(arguments.folder)
    findings = Findings()
    findings.guard(lambda: check_files(folder, findings))
    reader = FolderReader()
    tables: list[FolderTable] = []
    findings.guard(lambda: check_interactions(folder, findings, reader, tables))
    if tables:
        rated = set(reader.item_tokens())
        sizes: dict[str, int] = {}
        findings.guard(lambda: check_splits(folder, findings, reader, tables[0], sizes))
        for path in [folder / f"{folder.name}.inter", *split_files(folder).values()]:
            findings.guard(partial(check_columns, path, findings))
        items = folder / f"{folder.name}.item"
        if items.is_file():
            findings.guard(lambda: check_item_table(items, rated, findings))
        for modality in available_modalities(folder):
            findings.guard(partial(check_modality, folder, modality, rated, findings))
        findings.guard(lambda: check_truth(folder, findings))
        findings.guard(lambda: _manifest_agrees(folder, sizes, findings))
    count = findings.broken
    verdict = f"{count} {'thing is' if count == 1 else 'things are'} broken" if count else "sound"
    print(f"{folder}: {verdict}")
    return 2 if count else 0


def _manifest_agrees(folder: Path, sizes: dict[str, int], findings: Findings) -> None:
    if (folder / MANIFEST).is_file():
        check_manifest(folder, read_manifest(folder), sizes, findings)


def check_files(folder: Path, findings: Findings) -> None:
    """Manifest, checksums, and files that neither it nor a run wrote."""
    manifest = read_manifest(folder)
    if not manifest:
        findings.warn(f"{folder / MANIFEST}: missing, so the files cannot be verified")
        return
    listed = manifest.get("sha256")
    if not isinstance(listed, dict):
        findings.bad(f"{folder / MANIFEST}: has no checksums; prepare the dataset again")
        return
    changed = 0
    for name, expected in listed.items():
        path = inside(folder, name)
        if path is None:
            findings.bad(
                f"{folder / MANIFEST}: lists {str(name)[:80]!r}, which is outside the folder; "
                "prepare the dataset again"
            )
        elif not path.is_file():
            findings.bad(f"{path}: missing, the manifest lists it; prepare the dataset again")
        elif file_hash(path) != expected:
            findings.bad(f"{path}: changed since it was written; prepare the dataset again")
        else:
            continue
        changed += 1
    if not changed:
        findings.good(f"{len(listed)} files have their checksums")
    present = {p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file()}
    for name in sorted(present - set(listed) - {MANIFEST}):
        if not (name.startswith(("caches/", ".")) or _SPLIT_OF_A_RUN.fullmatch(name)):
            findings.warn(f"{folder / name}: not in the manifest")


def check_interactions(
    folder: Path, findings: Findings, reader: FolderReader, tables: list[FolderTable]
) -> None:
    """The main table: header, ids, duplicates."""
    path = folder / f"{folder.name}.inter"
    table = reader.read(path)
    tables.append(table)
    if table.n_missing:
        findings.bad(f"{path}: {table.n_missing} rows have no user or item id; remove them")
    if repeated := len(table) - len(table.pairs()):
        findings.bad(f"{path}: {repeated} rows repeat a pair; remove them")
    users, items = len(reader.user_tokens()), len(reader.item_tokens())
    findings.good(f"{path.name}: {len(table):,} interactions, {users:,} users, {items:,} items")


def check_splits(
    folder: Path,
    findings: Findings,
    reader: FolderReader,
    whole: FolderTable,
    sizes: dict[str, int],
) -> None:
    """Fixed splits: disjoint, together the main table, trained users and items; their ``sizes``."""
    every = whole.pairs()
    seen = every[:0]
    train: FolderTable | None = None
    for part, path in split_files(folder).items():
        table = reader.read(path)
        sizes[part] = len(table)
        pairs = table.pairs()
        train = table if part == "train" else train
        if leaks := len(np.intersect1d(pairs, seen, assume_unique=True)):
            findings.bad(f"{path}: {leaks} pairs are in an earlier split too; remove them")
        if strangers := int((~np.isin(pairs, every)).sum()):
            findings.bad(f"{path}: {strangers} pairs are not in {folder.name}.inter")
        seen = np.union1d(seen, pairs)
        if train is not None and part != "train":
            cold_users = len(np.setdiff1d(table.users, train.users))
            cold_items = len(np.setdiff1d(table.items, train.items))
            if cold_users or cold_items:
                findings.warn(
                    f"{path}: {cold_users} users and {cold_items} items have no training row; "
                    "they are left out of the evaluation"
                )
        findings.good(f"{path.name}: {len(table):,} interactions")
    if len(seen) and (lost := int((~np.isin(every, seen)).sum())):
        findings.warn(f"{folder}: {lost} interactions are in no split")


def check_modality(folder: Path, modality: str, rated: set[str], findings: Findings) -> None:
    """Rows, ids and values of one modality."""
    _, tokens = load_modality(folder, modality)
    path = folder / "features" / f"{modality}.npy"
    before = findings.broken
    strangers = len(set(tokens) - rated)
    if strangers == len(tokens):
        findings.bad(f"{path}: none of its ids is in the interactions; prepare it again")
    elif strangers:
        findings.warn(
            f"{path}: {strangers} rows are of items without interaction; runs need "
            "`unknown_items: ignore`"
        )
    selection = Selection.of(FeatureTable(modality, str(path), tokens, open_matrix(path)))
    scan = selection.scan()
    if scan.broken_rows.any():
        findings.bad(f"{path}: {int(scan.broken_rows.sum())} rows hold NaN or Inf")
    if scan.exploding(LIMIT).any():
        findings.bad(f"{path}: {int(scan.exploding(LIMIT).sum())} columns exceed {LIMIT:.0e}")
    if len(tokens) > 1 and scan.constant.any():
        findings.warn(f"{path}: {int(scan.constant.sum())} columns are constant")
    if scan.zero_rows.any():
        findings.warn(f"{path}: {int(scan.zero_rows.sum())} rows are zero throughout")
    if findings.broken == before:
        covered = len(rated & set(tokens))
        shape = "{:,} x {:,}".format(*selection.shape)
        share = covered / max(len(rated), 1)
        findings.good(f"{modality}: {shape}, {covered:,} of {len(rated):,} items ({share:.1%})")


def check_truth(folder: Path, findings: Findings) -> None:
    """Planted truth fits the features."""
    truth = read_truth(folder)
    if truth is None:
        return
    for modality, mask in truth.columns.items():
        matrix, _ = load_modality(folder, modality)
        if len(mask) != matrix.shape[1]:
            findings.bad(
                f"{folder / 'truth' / 'columns.tsv'}: {len(mask)} columns for {modality}, which "
                f"has {matrix.shape[1]}; prepare the dataset again"
            )
    if np.any([mask.any() for mask in truth.columns.values()]):
        findings.good(f"truth: {len(truth.columns)} modalities, {len(truth.environments):,} rows")
