"""Source ``lattice``: 5-core JSON of LATTICE, MICRO and MMSSL.

Confirmed from LATTICE's own code: ``5-core/train.json``, ``val.json`` and ``test.json`` map a user
number to a list of item numbers, ``5-core/item_list.txt`` and ``user_list.txt`` hold original id
and number, tab-separated; ``image_feat.npy`` and ``text_feat.npy`` are one folder higher, one
row per item number, and items without a picture hold the mean of the others. MMSSL has the same
three JSON files beside the features (and a pickled ``train_mat``, which is not needed). That they
are beside the features rather than in ``5-core`` is not confirmed, so both folders are searched.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np

from dataset_prep.finish import source
from dataset_prep.interactions import PARTS, InteractionBuilder
from dataset_prep.options import RawDataset
from dataset_prep.read.json_data import whole_value
from dataset_prep.report import Report
from dataset_prep.sources.common import (
    add_original_ids,
    find_file,
    need_file,
    numbered_dataset,
)
from recbole_painvrl.errors import UserError

_LARGEST_ITEM = 2**62
_FILES = {"train": ("train.json",), "valid": ("val.json", "valid.json"), "test": ("test.json",)}
_DESCRIPTION = """Read train.json, val.json and test.json (user -> list of items) from a folder or
its 5-core subfolder, and image_feat.npy, text_feat.npy, audio_feat.npy with one
row per item number: LATTICE, MICRO, MMSSL. The splits are kept; --resplit merges
them."""
_EXAMPLE = """example:
  python -m dataset_prep lattice --input LATTICE/data/sports --original-ids \\
      --fix drop-rows --output dataset/sports"""


def _add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--input", type=Path, required=True, metavar="FOLDER", help="the folder of one dataset"
    )
    add_original_ids(parser, "item_list.txt and user_list.txt")


def read(arguments: argparse.Namespace, report: Report, spool: Path) -> RawDataset:
    """Splits and features of the folder."""
    folder: Path = arguments.input
    train = find_file(folder, ("train.json",), "train.json", "--input") or need_file(
        folder, ("*-core/train.json",), "train.json", "--input FOLDER/5-core"
    )
    core = train.parent
    builder = InteractionBuilder()
    inputs: list[Path] = []
    for part in PARTS:
        path = find_file(core, _FILES[part], part, "--input")
        if path is None:
            if part != "valid":
                raise UserError(f"{core}: has no {_FILES[part][0]}; give the whole folder")
            report.note(f"{_FILES[part][0]}: not there, no split {part}")
            continue
        _read_lists(path, builder, part, arguments.encoding)
        inputs.append(path)
    mappings = [
        need_file(core, (f"{kind}_list.txt",), "list of ids", "no --original-ids")
        for kind in (("user", "item") if arguments.original_ids else ())
    ]
    return numbered_dataset(
        report,
        builder.finish(str(core), report),
        inputs,
        [folder, core, core.parent],
        "LATTICE family",
        mappings=mappings,
        encoding=arguments.encoding,
    )


def _read_lists(path: Path, builder: InteractionBuilder, part: str, encoding: str) -> None:
    """Append user -> items; an empty list is a user without items in this split."""
    found = whole_value(path, encoding)
    if not isinstance(found, dict) or not all(isinstance(items, list) for items in found.values()):
        raise UserError(f'{path}: must map users to lists of items, as in {{"0": [5, 7]}}')
    every = [item for items in found.values() for item in items]
    if not all(isinstance(item, int) and 0 <= item <= _LARGEST_ITEM for item in every):
        raise UserError(f"{path}: holds an item that is not a number from 0; give the 5-core files")
    users = np.repeat(np.array(list(found), dtype=object), [len(i) for i in found.values()])
    items = np.array(every, dtype=np.int64)
    builder.add(users, items, part=part)


_SUMMARY = "5-core JSON of LATTICE, MICRO, MMSSL"
COMMAND = source("lattice", (_SUMMARY, _DESCRIPTION, _EXAMPLE), _add_options, read)
