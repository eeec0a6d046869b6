"""Steps after a source was read: further files, repairs, filters, writing the folder."""

from __future__ import annotations

import argparse
import datetime
import tempfile
from collections.abc import Callable, Collection
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from dataset_prep.fix import features
from dataset_prep.fix.filters import Filters, clean, select
from dataset_prep.fix.selection import Selection
from dataset_prep.interactions import PARTS, Interactions
from dataset_prep.options import (
    Command,
    RawDataset,
    Reader,
    add_shared_options,
    filters_of,
    output_folder,
    use_of,
)
from dataset_prep.read.features import read_features
from dataset_prep.read.files import check_there
from dataset_prep.read.ids import IdSource
from dataset_prep.read.titles import read_item_table
from dataset_prep.report import Report, parse_fixes
from recbole_painvrl.data.folder import DatasetContent, file_hash, write_dataset
from recbole_painvrl.errors import UserError


def source(
    name: str,
    texts: tuple[str, str, str],
    add_options: Callable[[argparse.ArgumentParser], None],
    read: Reader,
) -> Command:
    """The subcommand of a source, with the shared options; ``texts`` as in :class:`Command`."""

    def add_all(parser: argparse.ArgumentParser) -> None:
        add_shared_options(parser)
        add_options(parser)

    return Command(name, *texts, add_all, lambda arguments: run_source(arguments, read))


def run_source(arguments: argparse.Namespace, read: Reader) -> int:
    """Read, repair, filter, report and write; exit code 0, or 2 if a dry run found faults."""
    folder = output_folder(arguments)
    _check_given(arguments)
    report = Report(parse_fixes(arguments.fix))
    filters = filters_of(arguments)
    # The environment variable TMPDIR chooses the disk.
    with tempfile.TemporaryDirectory(prefix="dataset-prep-") as spool:
        raw = read(arguments, report, Path(spool))
        _add_given(raw, arguments, report, Path(spool))
        selections = repair_and_filter(raw, filters, report, arguments.dtype)
        _print_summary(raw, selections, report)
        if arguments.dry_run:
            print("dry run: nothing was written")
            return 2 if report.faults else 0
        report.refuse_if_broken(folder.name)
        content = _content(folder.name, raw, selections, filters, report)
        write_dataset(content, folder, replace=arguments.force)
    rated = set(raw.interactions.rated().tolist())
    unrated = any(not rated.issuperset(selection.tokens.tolist()) for selection in selections)
    ignored = " --unknown_items=ignore" * unrated
    print(f"written to {arguments.output}; try {use_of(arguments.output)}{ignored}")
    return 0


def _check_given(arguments: argparse.Namespace) -> None:
    """Refuse contradictory options and missing files before anything is read."""
    refuse_twice([name for name, _ in arguments.features])
    if arguments.feature_ids is not None and arguments.rows_from is not None:
        raise UserError(
            "--feature-ids, --rows-from: both say which item a row belongs to; leave one out"
        )
    files = [(f"--features {name}", path) for name, path in arguments.features]
    files += [("--feature-ids", arguments.feature_ids), ("--items", arguments.items)]
    for option, path in files:
        if path is not None:
            check_there(path, f"check the path of {option}")
    options = ["feature_ids", "rows_from"]
    # `extract` also looks for this column in its tables of texts.
    options += [] if "text_columns" in arguments else ["feature_id_column"]
    for option in options:
        if not arguments.features and getattr(arguments, option) is not None:
            name = option.replace("_", "-")
            raise UserError(f"--{name}: says what the rows of --features are; give both or neither")


def _add_given(raw: RawDataset, arguments: argparse.Namespace, report: Report, spool: Path) -> None:
    """Add the files of ``--features`` and ``--items`` to what a source read."""
    local = [table.name for table in raw.features]
    refuse_twice(local)
    taken = next((name for name, _ in arguments.features if name in local), None)
    if taken is not None:
        raise UserError(
            f"--features {taken}=...: this source provides a modality {taken} itself; choose "
            f"another name, there are {', '.join(local)}"
        )
    ids = IdSource(
        column=arguments.feature_id_column,
        file=arguments.feature_ids,
        first_row=arguments.rows_from,
        encoding=arguments.encoding,
        rated=frozenset(raw.interactions.rated().tolist() if raw.rename is None else ()),
        advice="say where its ids are with `--feature-id-column` or `--feature-ids`",
    )
    given = [read_features(name, path, report, spool, ids) for name, path in arguments.features]
    for table in given if raw.rename is not None else ():
        raw.rename(table)  # type: ignore[misc]
    raw.features += given
    raw.inputs += [path for _, path in arguments.features]
    if (ids.file or ids.first_row is not None) and all(table.has_ids for table in given):
        option = "rows-from" if ids.file is None else "feature-ids"
        raise UserError(
            f"--{option}: has no effect, since every file of --features holds its ids; "
            "leave the option out"
        )
    if arguments.items is not None:
        if raw.item_table is not None:
            report.note(f"{arguments.items.name}: its titles replace those of the source")
        raw.item_table = read_item_table(arguments.items, report, arguments.encoding)
        raw.inputs.append(arguments.items)
    if ids.file is not None:
        raw.inputs.append(ids.file)


def refuse_twice(names: list[str]) -> None:
    """Raise :class:`UserError` if two modalities have the same name."""
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise UserError(f"modality {twice}: is given twice; give each file another name")


def repair_and_filter(
    raw: RawDataset, filters: Filters, report: Report, dtype: str
) -> list[Selection]:
    """Filter the interactions of ``raw`` and return the repaired features of their items."""
    # No other reference to the unfiltered table, so that its memory is freed.
    raw.interactions = clean(raw.interactions, filters, report)
    rated = dict.fromkeys(raw.interactions.rated().tolist())
    selections = []
    for table in raw.features:
        selection = Selection.of(table, dtype)
        features.repair_ids(selection, rated, report)
        features.repair_columns(selection, report)
        if len(selection.rows) and len(selection.columns):
            features.repair_rows(selection, report)
        selections.append(selection)
    emptied = True
    while emptied:
        modalities = {s.table.name: s.tokens.tolist() for s in selections}
        raw.interactions = select(raw.interactions, filters, modalities, report)
        left = set(raw.interactions.rated().tolist())
        emptied = False
        for selection in selections:
            _follow_filters(selection, rated, left, report)
            # An item that loses its row here no longer has all modalities.
            emptied |= features.repair_again(selection, report) and filters.all_modalities
    for selection in selections:
        features.standardise(selection, report)
        features.check_result(selection, report)
    for fix in sorted(report.fixes - {str(repair["fix"]) for repair in report.repairs}):
        report.note(f"--fix {fix}: nothing to repair")
    return selections


def _follow_filters(
    selection: Selection, rated: Collection[str], left: set[str], report: Report
) -> None:
    """Drop rows of items removed by filters; ``rated`` are the items before filtering."""
    if "keep-unrated" in report.fixes:
        return
    stay = np.array([token in left for token in selection.tokens], dtype=np.bool_)
    # Rows of items without interaction before filtering are reported as another fault.
    removed = sum(token in rated for token in selection.tokens[~stay])
    if removed:
        name = selection.table.name
        report.note(f"{name}: {removed} rows of items removed by filters are left out")
    selection.keep_rows(stay)


def _print_summary(raw: RawDataset, selections: list[Selection], report: Report) -> None:
    """Print counts after every step and in the paper, modalities, repairs, notes and faults."""
    print(f"{'step':>28} {'interactions':>14} {'users':>10} {'items':>10}")
    counts: Collection[int] = ()
    for step, *counts in report.steps:
        print("{:>28} {:>14,} {:>10,} {:>10,}".format(step, *counts))
    if raw.paper is not None:
        print("{:>28} {:>14,} {:>10,} {:>10,}".format("paper, Table 1", *raw.paper))
        difference = [count - published for count, published in zip(counts, raw.paper, strict=True)]
        print("{:>28} {:>+14,} {:>+10,} {:>+10,}".format("difference", *difference))
    for name in raw.interactions.part_names:
        print(f"{'split ' + name:>28} {int(raw.interactions.part(name).sum()):>14,}")
    rated = set(raw.interactions.rated().tolist())
    for selection in selections:
        covered = len(rated.intersection(selection.tokens.tolist()))
        rows, width = selection.shape
        print(
            f"{'modality ' + selection.table.name:>28} {rows:,} rows x {width} columns, "
            f"{covered:,} of {len(rated):,} items ({covered / max(len(rated), 1):.1%})"
        )
    report.print()


def _content(
    name: str,
    raw: RawDataset,
    selections: list[Selection],
    filters: Filters,
    report: Report,
) -> DatasetContent:
    interactions = raw.interactions
    frame = interactions.frame()
    splits = {
        part: frame[interactions.part(part)]
        for part in PARTS
        if part in interactions.part_names and interactions.part(part).any()
    }
    if splits and not {"train", "test"} <= set(splits):
        raise UserError(
            f"{name}: the splits are {', '.join(splits)}; give train and test, or --resplit"
        )
    return DatasetContent(
        name=name,
        edition=raw.edition,
        source=raw.source,
        licence=raw.licence,
        interactions=frame,
        splits=splits,
        item_table=_rated_items(raw.item_table, interactions),
        features={s.table.name: (s, s.tokens.tolist()) for s in selections},
        default_protocol="files" if splits else "random",
        counts={step: count for step, count, _, _ in report.steps}
        | {part: len(rows) for part, rows in splits.items()},
        encoders={s.table.name: s.table.encoder for s in selections},
        modality_notes={s.table.name: _notes(s, report) for s in selections},
        provenance=_provenance(raw, filters, report),
    )


def _rated_items(table: pd.DataFrame | None, interactions: Interactions) -> pd.DataFrame | None:
    """Titles of the items with interactions; the first title of an item is used."""
    if table is None:
        return None
    rated = interactions.rated().tolist()
    there = table[table["item_id:token"].isin(set(rated))]
    if there.empty and len(table):
        first = table["item_id:token"].iloc[0]
        raise UserError(
            f"titles: none of their ids ({first!r}...) is among the interactions ({rated[0]!r}...);"
            " give the table that belongs to them"
        )
    return there.drop_duplicates("item_id:token")


def _notes(selection: Selection, report: Report) -> dict[str, Any]:
    table = selection.table
    notes = {
        "file": table.where,
        "columns_in_file": table.matrix.shape[1],
        "columns_dropped": table.matrix.shape[1] - selection.shape[1],
        "repairs": [r for r in report.repairs if r["where"] == table.where],
        **table.notes,
    }
    if "standardise" in report.fixes:
        notes["normalisation"] = (
            "columns standardised in the file; rows are divided by their L2 norm on loading"
        )
    return notes


def _provenance(raw: RawDataset, filters: Filters, report: Report) -> dict[str, Any]:
    names = ("step", "interactions", "users", "items")
    return {
        "prepared": datetime.datetime.now(tz=datetime.UTC).date().isoformat(),
        "inputs": [
            {"name": path.name, "bytes": path.stat().st_size, "sha256": file_hash(path)}
            for path in raw.inputs
        ],
        "filters": vars(filters),
        "fixes": sorted(report.fixes),
        "repairs": report.repairs,
        "notes": report.notes,
        "steps": [dict(zip(names, step, strict=True)) for step in report.steps],
    }
