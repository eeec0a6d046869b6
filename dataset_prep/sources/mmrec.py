"""Source ``mmrec``: folders of the MMRec toolbox.

Confirmed from MMRec's own preprocessing and from projects that use it: ``<name>.inter`` is
tab-separated with a header (userID, itemID, rating, timestamp, x_label; 0, 1, 2 for training,
validation, test), ids are numbers from 0, row i of ``image_feat.npy`` and ``text_feat.npy``
belongs to item i, ``i_id_mapping.csv`` and ``u_id_mapping.csv`` are tab-separated original ids and
numbers. Not confirmed: what stands for items without a picture or text (MMRec says only that it is
not zero); rows that repeat the mean of the others, as in LATTICE, are detected.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from dataset_prep.finish import source
from dataset_prep.interactions import InteractionBuilder
from dataset_prep.options import RawDataset, add_column_options, columns_of
from dataset_prep.read.interactions import read_interactions
from dataset_prep.report import Report
from dataset_prep.sources.common import add_original_ids, need_file, numbered_dataset

_DESCRIPTION = """Read a dataset folder of MMRec: <name>.inter with the splits in x_label,
image_feat.npy and text_feat.npy (audio_feat.npy if there) with one row per item
number. The splits are kept; --resplit merges them."""
_EXAMPLE = """example:
  python -m dataset_prep mmrec --input MMRec/data/baby --original-ids \\
      --fix drop-rows,drop-unrated --output dataset/baby"""


def _add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--input", type=Path, required=True, metavar="FOLDER", help="MMRec's data/NAME"
    )
    parser.add_argument("--inter", type=Path, metavar="FILE", help="if there are several .inter")
    add_original_ids(parser, "i_id_mapping.csv and u_id_mapping.csv")
    add_column_options(parser)


def read(arguments: argparse.Namespace, report: Report, spool: Path) -> RawDataset:
    """Splits and features of the folder."""
    folder: Path = arguments.input
    path = arguments.inter or need_file(
        folder, (f"{folder.resolve().name}.inter", "*.inter"), ".inter file", "--inter"
    )
    builder = InteractionBuilder()
    read_interactions(path, builder, report, columns_of(arguments))
    mappings = [
        need_file(folder, (f"{kind}_id_mapping.csv",), "mapping", "no --original-ids")
        for kind in ("ui" if arguments.original_ids else "")
    ]
    return numbered_dataset(
        report,
        builder.finish(str(path), report),
        [path],
        [folder],
        "MMRec",
        mappings=mappings,
        encoding=arguments.encoding,
    )


_SUMMARY = "MMRec .inter and *_feat.npy"
COMMAND = source("mmrec", (_SUMMARY, _DESCRIPTION, _EXAMPLE), _add_options, read)
