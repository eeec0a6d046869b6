"""Features without interactions: a folder of NAME.npy, NAME.items.tsv and NAME.encoder.json."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path

import pandas as pd

from dataset_prep.fix.features import check_result, repair_ids, repair_rows
from dataset_prep.fix.selection import Selection
from dataset_prep.read.features import ENCODER_ENDING, encoder_record
from dataset_prep.read.matrices import FeatureTable
from dataset_prep.report import Report
from recbole_painvrl.atomic import atomic_file, write_json, write_with
from recbole_painvrl.data.writing import new_folder, save_matrix

_ENDINGS = (".npy", ".items.tsv", ENCODER_ENDING)


def repaired(tables: Sequence[FeatureTable], report: Report) -> list[Selection]:
    """Repaired rows; all columns are kept, since later items may need them."""
    selections = []
    for table in tables:
        selection = Selection.of(table)
        repair_ids(selection, dict.fromkeys(filter(None, table.tokens)), report)
        repair_rows(selection, report)
        check_result(selection, report)
        selections.append(selection)
    return selections


def holds_only_features(folder: Path) -> bool:
    """Whether a folder was written by :func:`write_features` and may be replaced."""
    names = [path.name for path in folder.iterdir()]
    recorded = any(name.endswith(ENCODER_ENDING) for name in names)
    return recorded and all(name.endswith(_ENDINGS) for name in names)


def write_features(selections: Sequence[Selection], folder: Path, report: Report) -> None:
    """Write the folder atomically; an existing one is replaced."""
    with new_folder(folder, replace=True) as work:
        for selection in selections:
            name = selection.table.name
            matrix, ids = work / f"{name}.npy", work / f"{name}.items.tsv"
            write_with(matrix, partial(save_matrix, matrix=selection))
            rows = pd.DataFrame({"row": range(len(selection.rows)), "item_id": selection.tokens})
            with atomic_file(ids) as stream:
                rows.to_csv(stream, sep="\t", index=False, lineterminator="\n", encoding="utf-8")
            where = selection.table.where
            repairs = [repair for repair in report.repairs if repair["where"] == where]
            notes = {**selection.table.notes, "made_from": where, "repairs_before": repairs}
            record = encoder_record(selection.table.encoder, notes, [matrix, ids])
            write_json(work / f"{name}{ENCODER_ENDING}", record)
