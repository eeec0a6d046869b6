"""From what a source read to the dataset folder: repairs, filters, summary, writing."""

from __future__ import annotations

import argparse
import datetime
from collections.abc import Collection
from typing import Any

import numpy as np
import pandas as pd

from dataset_prep.fix import features as feature_faults
from dataset_prep.fix.filters import Filters, clean, select
from dataset_prep.fix.selection import Selection
from dataset_prep.given import add_given, check_given
from dataset_prep.interactions import PARTS, Interactions
from dataset_prep.options import (
    RawDataset,
    Reader,
    filters_of,
    output_folder,
    report_of,
    spool_folder,
    use_of,
)
from dataset_prep.report import Report
from dataset_prep.summary import print_summary
from recbole_painvrl.data.folder import DatasetContent, file_hash, write_dataset
from recbole_painvrl.errors import UserError


def run_source(arguments: argparse.Namespace, read: Reader) -> int:
    """Read, mend, filter, report and write; exit code 0, or 2 where a dry run found faults.

    Raises:
        UserError: the input is faulty and no chosen repair mends it; nothing was written.
    """
    folder = output_folder(arguments.output, arguments.force, arguments.dry_run)
    check_given(arguments)
    report = report_of(arguments)
    filters = filters_of(arguments)
    with spool_folder() as spool:
        raw = read(arguments, report, spool)
        add_given(raw, arguments, report, spool)
        interactions, selections = mend_and_filter(raw, filters, report, arguments.dtype)
        print_summary(raw, interactions, selections, report)
        if arguments.dry_run:
            print("dry run: nothing was written")
            return 2 if report.faults else 0
        report.refuse_if_broken(folder.name)
        content = _content(folder.name, raw, interactions, selections, report, arguments)
        write_dataset(content, folder, replace=arguments.force)
    print(f"written to {arguments.output}; try {use_of(arguments.output)}")
    return 0


def mend_and_filter(
    raw: RawDataset, filters: Filters, report: Report, dtype: str
) -> tuple[Interactions, list[Selection]]:
    """Interactions after the filters and the feature rows that belong to them."""
    interactions = clean(raw.interactions, filters, report)
    # The unfiltered table is the largest thing in memory.
    raw.interactions = interactions
    rated = dict.fromkeys(interactions.rated().tolist())
    selections = []
    for table in raw.features:
        selection = Selection.of(table)
        selection.out = np.dtype(dtype)
        feature_faults.mend_ids(selection, rated, report)
        feature_faults.mend_columns(selection, report)
        if len(selection.rows) and len(selection.columns):
            feature_faults.mend_rows(selection, report)
        selections.append(selection)
    modalities = {s.table.name: s.tokens.tolist() for s in selections}
    interactions = select(interactions, filters, modalities, report)
    raw.interactions = interactions
    left = set(interactions.rated().tolist())
    for selection in selections:
        _follow_filters(selection, rated, left, report)
        feature_faults.mend_columns(selection, report, again=True)
        feature_faults.standardise(selection, report)
        feature_faults.check_result(selection, report)
    for fix in sorted(report.fixes - {str(repair["fix"]) for repair in report.repairs}):
        report.note(f"--fix {fix}: nothing to mend")
    return interactions, selections


def _follow_filters(
    selection: Selection, rated: Collection[str], left: set[str], report: Report
) -> None:
    """Rows of items that the filters removed go with them; ``rated`` are those before."""
    if "keep-unrated" in report.fixes:
        return
    stay = np.array([token in left for token in selection.tokens], dtype=np.bool_)
    # Rows whose item had no interaction before either are a fault of their own.
    removed = sum(token in rated for token in selection.tokens[~stay])
    if removed:
        name = selection.table.name
        report.note(f"{name}: {removed} rows of items that the filters removed are left out")
    selection.keep_rows(stay)


def _content(
    name: str,
    raw: RawDataset,
    interactions: Interactions,
    selections: list[Selection],
    report: Report,
    arguments: argparse.Namespace,
) -> DatasetContent:
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
    item_table = _rated_items(raw.item_table, interactions.rated().tolist())
    return DatasetContent(
        name=name,
        edition=raw.edition,
        source=raw.source,
        licence=raw.licence,
        interactions=frame,
        splits=splits,
        item_table=item_table,
        features={s.table.name: (s, s.tokens.tolist()) for s in selections},
        default_protocol="files" if splits else "random",
        counts={step: count for step, count, _, _ in report.steps}
        | {part: len(rows) for part, rows in splits.items()},
        encoders={s.table.name: s.table.encoder for s in selections},
        modality_notes={s.table.name: _notes(s, report) for s in selections},
        provenance=_provenance(raw, report, arguments),
    )


def _rated_items(table: pd.DataFrame | None, rated: list[str]) -> pd.DataFrame | None:
    """Titles of the items with interactions, the first of each."""
    if table is None:
        return None
    there = table[table["item_id:token"].isin(set(rated))]
    if there.empty and len(table):
        first = table["item_id:token"].iloc[0]
        raise UserError(
            f"titles: none of their ids ({first!r}...) is among the interactions ({rated[0]!r}...);"
            " give the table that belongs to them"
        )
    return there.drop_duplicates("item_id:token")


def _notes(selection: Selection, report: Report) -> dict[str, Any]:
    standard = "standardise" in report.fixes
    notes = {
        "file": selection.table.where,
        "columns_in_file": selection.table.matrix.shape[1],
        "columns_dropped": selection.table.matrix.shape[1] - selection.shape[1],
        "repairs": [r for r in report.repairs if r["where"] == selection.table.where],
        **selection.table.notes,
    }
    if standard:
        notes["normalisation"] = (
            "columns standardised in the file; rows are divided by their L2 norm on loading"
        )
    return notes


def _provenance(raw: RawDataset, report: Report, arguments: argparse.Namespace) -> dict[str, Any]:
    filters = vars(filters_of(arguments))
    return {
        "prepared": datetime.datetime.now(tz=datetime.UTC).date().isoformat(),
        "inputs": [
            {"name": path.name, "bytes": path.stat().st_size, "sha256": file_hash(path)}
            for path in raw.inputs
        ],
        "filters": filters,
        "fixes": sorted(report.fixes),
        "repairs": report.repairs,
        "notes": report.notes,
        "steps": [
            {"step": step, "interactions": count, "users": users, "items": items}
            for step, count, users, items in report.steps
        ],
    }
