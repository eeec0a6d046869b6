"""Feature files and titles that the options add to what a source reads."""

from __future__ import annotations

import argparse
from collections.abc import Iterable
from pathlib import Path

from dataset_prep.options import RawDataset
from dataset_prep.read.features import read_features
from dataset_prep.read.id_columns import IdSource
from dataset_prep.read.titles import read_item_table
from dataset_prep.report import Report
from recbole_painvrl.errors import UserError


def check_given(arguments: argparse.Namespace) -> None:
    """Refuse options that contradict each other or lack their file, before anything is read.

    Raises:
        UserError: a modality given twice, two places of ids, or no such file.
    """
    refuse_twice([name for name, _ in arguments.features])
    if arguments.feature_ids is not None and arguments.rows_from is not None:
        raise UserError(
            "--feature-ids, --rows-from: both say which item a row belongs to; leave one out"
        )
    files = [(f"--features {name}", path) for name, path in arguments.features]
    files += [("--feature-ids", arguments.feature_ids), ("--items", arguments.items)]
    for option, path in files:
        if path is not None and not path.is_file():
            raise UserError(f"{path}: no such file; check the path of {option}")
    options = ["feature_ids", "rows_from"]
    # `extract` also looks for this column in its tables of texts.
    options += [] if getattr(arguments, "id_column_of_texts", False) else ["feature_id_column"]
    for option in options:
        if not arguments.features and getattr(arguments, option) is not None:
            name = option.replace("_", "-")
            raise UserError(f"--{name}: says what the rows of --features are; give both or neither")


def add_given(raw: RawDataset, arguments: argparse.Namespace, report: Report, spool: Path) -> None:
    """Add the files of ``--features`` and ``--items`` to what a source read.

    Raises:
        UserError: a modality that the source provides itself, or a file that cannot be read.
    """
    own = [table.name for table in raw.features]
    refuse_twice(own)
    taken = next((name for name, _ in arguments.features if name in own), None)
    if taken is not None:
        raise UserError(
            f"--features {taken}=...: this source provides a modality {taken} itself; choose "
            f"another name, there are {', '.join(own)}"
        )
    ids = ids_of(arguments, raw.interactions.rated().tolist() if raw.rename is None else ())
    for name, path in arguments.features:
        table = read_features(name, path, report, spool, ids)
        if raw.rename is not None:
            raw.rename(table)
        raw.features.append(table)
        raw.inputs.append(path)
    option = "rows-from" if arguments.feature_ids is None else "feature-ids"
    if (arguments.feature_ids or arguments.rows_from is not None) and all(
        table.own_ids for table in raw.features[len(own) :]
    ):
        raise UserError(
            f"--{option}: has no effect, since every file of --features holds its ids itself; "
            "leave the option out"
        )
    if arguments.items is not None:
        if raw.item_table is not None:
            report.note(f"{arguments.items.name}: its titles stand for those of the source")
        raw.item_table = read_item_table(arguments.items, report, arguments.encoding)
        raw.inputs.append(arguments.items)
    if arguments.features and arguments.feature_ids is not None:
        raw.inputs.append(arguments.feature_ids)


def ids_of(arguments: argparse.Namespace, rated: Iterable[str]) -> IdSource:
    """Where the ids of feature files are."""
    return IdSource(
        column=arguments.feature_id_column,
        file=arguments.feature_ids,
        first_row=arguments.rows_from,
        encoding=arguments.encoding,
        rated=frozenset(rated),
        advice="say where its ids are with `--feature-id-column` or `--feature-ids`",
    )


def refuse_twice(names: list[str]) -> None:
    """Raise :class:`UserError` where two modalities share a name: one would hide the other."""
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise UserError(f"modality {twice}: is given twice; give each file a name of its own")
