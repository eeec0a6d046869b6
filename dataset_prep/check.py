"""Command ``check``: verifies a dataset folder, one line per finding."""

from __future__ import annotations

import argparse
import re
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd

from dataset_prep.fix.selection import Selection
from dataset_prep.folder import SPLITS, Ids, dataset_folder, read_table, split_files
from dataset_prep.options import Command
from dataset_prep.read.matrices import FeatureTable, open_matrix
from recbole_painvrl.data.features import LIMIT, available_modalities, load_modality
from recbole_painvrl.data.folder import MANIFEST, RATINGS, file_hash, read_manifest, read_truth
from recbole_painvrl.errors import UserError

# What runs write: hidden files, caches, and splits of the protocol `iid_ood` by their settings.
_OF_RUNS = re.compile(r"\..*|(caches|graphs)/.*|splits/iid_ood-[0-9a-f]{16}\.npz", re.DOTALL)

Pairs = npt.NDArray[np.int64]


def add_options(parser: argparse.ArgumentParser) -> None:
    """The folder."""
    parser.add_argument("folder", type=Path, metavar="FOLDER", help="dataset folder")


def run(arguments: argparse.Namespace) -> int:
    """Print the findings; exit code 2 if something is broken."""
    checks = _Checks(dataset_folder(arguments.folder))
    for check in (checks.files, checks.interactions, checks.splits, checks.titles):
        checks.guard(check)
    for modality in available_modalities(checks.folder) if checks.rated else ():
        checks.guard(partial(checks.modality, modality))
    checks.guard(checks.truth)
    count = checks.broken
    verdict = f"{count} {'thing is' if count == 1 else 'things are'} broken" if count else "sound"
    print(f"{checks.folder}: {verdict}")
    return 2 if count else 0


class _Checks:
    """Checks of one folder, which print their findings.

    After the first two checks, ``rated`` holds the ids of the items. It is empty if the main table
    cannot be read; the following checks are then skipped.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.broken = 0
        self.rated: set[str] = set()
        self._users, self._items = Ids(), Ids()
        self._pairs: Pairs = np.empty(0, dtype=np.int64)

    def guard(self, check: Callable[[], None]) -> None:
        """Run a check; a file that cannot be read is a finding."""
        try:
            check()
        except UserError as error:
            self._bad(str(error))
        except OSError as error:
            self._bad(f"{error.filename}: not readable ({error.strerror}); check its permission")

    def _bad(self, text: str) -> None:
        self.broken += 1
        print(f"broken: {text}")

    def files(self) -> None:
        """Manifest, checksums, and files that are not in the manifest."""
        manifest_path = self.folder / MANIFEST
        manifest = read_manifest(self.folder)
        if not manifest:
            print(f"warning: {manifest_path}: missing, so the files cannot be verified")
            return
        listed = manifest.get("sha256")
        if not isinstance(listed, dict):
            self._bad(f"{manifest_path}: has no checksums; prepare the dataset again")
            return
        before, again = self.broken, "prepare the dataset again"
        for name, expected in listed.items():
            path = inside(self.folder, name)
            if path is None:
                shown = str(name)[:80]
                self._bad(f"{manifest_path}: lists {shown!r}, which is outside the folder; {again}")
            elif not path.is_file():
                self._bad(f"{path}: missing, the manifest lists it; {again}")
            elif file_hash(path) != expected:
                self._bad(f"{path}: changed since it was written; {again}")
        if self.broken == before:
            print(f"ok: {len(listed)} files have their checksums")
        paths = [path for path in self.folder.rglob("*") if path.is_file()]
        present = {path.relative_to(self.folder).as_posix() for path in paths}
        for name in sorted(present - set(listed) - {MANIFEST}):
            if not _OF_RUNS.fullmatch(name):
                print(f"warning: {self.folder / name}: not in the manifest")

    def interactions(self) -> None:
        """The main table: header, numbers, ids, duplicates."""
        path = self.folder / f"{self.folder.name}.inter"
        table = self._read(path)
        if missing := int(((table["user"] < 0) | (table["item"] < 0)).sum()):
            self._bad(f"{path}: {missing} rows have no user or item id; remove them")
        self._pairs = _keys(table)
        if repeated := len(table) - len(self._pairs):
            print(
                f"warning: {path}: {repeated} rows repeat a (user, item) pair; a run keeps the "
                "first row of each pair, or the earliest if its protocol uses times"
            )
        users, items = len(self._users.numbers), len(self._items.numbers)
        print(f"ok: {path.name}: {len(table):,} interactions, {users:,} users, {items:,} items")
        self.rated = set(self._items.numbers)

    def _read(self, path: Path) -> pd.DataFrame:
        """Indices of the users and items of a table, whose floats must be finite."""
        table = read_table(path)
        if table.empty:
            raise UserError(f"{path}: has no row; prepare it again")
        for name in table.columns[table.dtypes == np.float64]:
            if count := int((~np.isfinite(table[name])).sum()):
                self._bad(
                    f"{path}: {count} rows have no finite number in {name}:float; prepare it again"
                )
            if name in RATINGS and (count := int((table[name] <= 0).sum())):
                print(
                    f"warning: {path}: {count} of {len(table)} rows have {name} <= 0; runs need a "
                    f"`val_interval` for it, such as \"--val_interval={{{name}: '(0,inf)'}}\""
                )
        return self._encoded(table)

    def _encoded(self, table: pd.DataFrame) -> pd.DataFrame:
        users, items = self._users.encode(table["user_id"]), self._items.encode(table["item_id"])
        return pd.DataFrame({"user": users, "item": items})

    def splits(self) -> None:
        """Fixed splits: disjoint, parts of the main table, users and items with training rows."""
        seen = self._pairs[:0]
        train: pd.DataFrame | None = None
        files = split_files(self.folder) if self.rated else {}
        if files and not ("train" in files and {"test", "iid", "ood"} & set(files)):
            self._bad(
                f"{self.folder}: splits {', '.join(files)}; runs need "
                f"{self.folder.name}.train.inter and {self.folder.name}.test.inter"
            )
        for part in set(files) - set(SPLITS):
            print(f"warning: {files[part]}: no split of this name is read")
        for part, path in files.items():
            table = self._read(path)
            pairs = _keys(table)
            if repeated := len(table) - len(pairs):
                print(
                    f"warning: {path}: {repeated} rows repeat a (user, item) pair; a run keeps "
                    "the first row of each pair"
                )
            if leaks := len(np.intersect1d(pairs, seen, assume_unique=True)):
                self._bad(f"{path}: {leaks} pairs are in an earlier split too; remove them")
            if unknown := int((~np.isin(pairs, self._pairs)).sum()):
                self._bad(f"{path}: {unknown} pairs are not in {self.folder.name}.inter")
            seen = np.union1d(seen, pairs)
            train = table if part == "train" else train
            if train is not None and part != "train":
                users, items = (
                    len(np.setdiff1d(table[role], train[role])) for role in ("user", "item")
                )
                if users or items:
                    print(
                        f"warning: {path}: {users} users and {items} items have no training row; "
                        "they are left out of the evaluation"
                    )
            print(f"ok: {path.name}: {len(table):,} interactions")
        if len(seen) and (lost := int((~np.isin(self._pairs, seen)).sum())):
            print(f"warning: {self.folder}: {lost} interactions are in no split")

    def titles(self) -> None:
        """The .item file: every id once, and ids of items with interactions."""
        path = self.folder / f"{self.folder.name}.item"
        if not self.rated or not path.is_file():
            return
        ids = read_table(path, ("item_id",))["item_id"]
        known = set(ids) & self.rated
        if repeated := int(ids.duplicated().sum()):
            self._bad(f"{path}: {repeated} rows repeat an item; remove them")
        elif not known:
            self._bad(f"{path}: none of its items is in the interactions; prepare it again")
        else:
            print(f"ok: {path.name}: {len(known):,} of {len(self.rated):,} items")

    def modality(self, name: str) -> None:
        """Rows, ids and values of one modality."""
        _, tokens = load_modality(self.folder, name)
        path = self.folder / "features" / f"{name}.npy"
        before, rated = self.broken, self.rated
        unrated = len(set(tokens) - rated)
        if unrated == len(tokens):
            self._bad(f"{path}: none of its ids is in the interactions; prepare it again")
        elif unrated:
            print(
                f"warning: {path}: {unrated} rows are of items without interaction; runs need "
                "`unknown_items: ignore`"
            )
        selection = Selection.of(FeatureTable(name, str(path), tokens, open_matrix(path)))
        scan = selection.scan()
        exploding = int(scan.exploding(LIMIT).sum())
        if scan.broken_rows.any():
            self._bad(f"{path}: {int(scan.broken_rows.sum())} rows hold NaN or Inf")
        if exploding:
            self._bad(f"{path}: {exploding} columns exceed {LIMIT:.0e}")
        if len(tokens) > 1 and scan.constant.any():
            print(f"warning: {path}: {int(scan.constant.sum())} columns are constant")
        if scan.zero_rows.any():
            print(f"warning: {path}: {int(scan.zero_rows.sum())} rows are all zero")
        if self.broken == before:
            covered = len(rated & set(tokens))
            shape = "{:,} x {:,}".format(*selection.shape)
            fraction = covered / max(len(rated), 1)
            print(f"ok: {name}: {shape}, {covered:,} of {len(rated):,} items ({fraction:.1%})")

    def truth(self) -> None:
        """Planted truth and features have the same columns."""
        truth = read_truth(self.folder) if self.rated else None
        if truth is None:
            return
        for name, mask in truth.columns.items():
            width = load_modality(self.folder, name)[0].shape[1]
            if len(mask) != width:
                self._bad(
                    f"{self.folder / 'truth' / 'columns.tsv'}: {len(mask)} columns for {name}, "
                    f"which has {width}; prepare the dataset again"
                )
        known = _keys(self._encoded(truth.environments))
        if lost := len(np.setdiff1d(known, self._pairs)):
            self._bad(
                f"{self.folder / 'truth' / 'environments.tsv'}: {lost} pairs are not in "
                f"{self.folder.name}.inter; prepare the dataset again"
            )
        if any(mask.any() for mask in truth.columns.values()):
            rows = len(truth.environments)
            print(f"ok: truth: {len(truth.columns)} modalities, {rows:,} rows")


def inside(folder: Path, name: object) -> Path | None:
    """The path of a file named by a manifest, or None if it is outside the folder.

    Symbolic links are followed.
    """
    if not isinstance(name, str) or not name:
        return None
    try:
        path = folder / name
        return path if path.resolve().is_relative_to(folder.resolve()) else None
    except (OSError, RuntimeError, ValueError):
        return None


def _keys(table: pd.DataFrame) -> Pairs:
    """One number per distinct (user, item) pair, in ascending order."""
    return np.unique((table["user"].to_numpy() << 32) + table["item"].to_numpy())


COMMAND = Command(
    "check",
    "verify a dataset folder; exit code 2 if it is broken",
    "Verify files, checksums, ids, splits and features of a dataset folder.",
    """example:
  python -m dataset_prep check dataset/ml-trailers""",
    add_options,
    run,
)
