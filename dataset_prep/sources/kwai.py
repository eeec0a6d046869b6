"""Source ``kwai``: Kuaishou's user interest modelling release of 2018.

Confirmed from public solutions of the challenge: train_interaction.txt has no header and the
columns of ``LOG_COLUMNS``, tab-separated; visual features are one NumPy file per photo, named by
its id without an extension, of shape [1, 2048], in a folder or zip; train_text.txt holds the photo
id and its word numbers, comma-separated, 0 for none. Not confirmed: which rows and photos the
paper kept (298,492 interactions); clicks are the default here.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from dataset_prep.encoders.text import encode_texts
from dataset_prep.finish import run_source
from dataset_prep.options import PAPER, RawDataset, add_source
from dataset_prep.read.features import FeatureTable, read_features
from dataset_prep.read.id_columns import IdSource
from dataset_prep.read.text_tables import chunks, sniff
from dataset_prep.report import Report
from dataset_prep.sources.folders import find_file, need_file
from dataset_prep.sources.impressions import (
    LogColumns,
    add_log_options,
    chosen_actions,
    log_interactions,
)
from dataset_prep.sources.small_arrays import read_small_arrays
from dataset_prep.tokens import as_tokens
from recbole_painvrl.errors import UserError

LOG_COLUMNS = (
    *("user_id", "photo_id", "click", "like", "follow", "time"),
    *("playing_time", "duration_time"),
)
_ACTIONS = ("click", "like", "follow")
_DESCRIPTION = """Read the training log (train_interaction.txt) and the visual features of the
Kuaishou user interest modelling challenge: a folder or zip with one NumPy file
per photo (final_visual_train), or any feature file with ids (.npy, .npz, CSV,
Parquet). The counts stand beside the paper's; how the paper filtered the release
is not known."""
_EXAMPLE = """example:
  python -m dataset_prep kwai --input kuaishou2018/train --actions click --k-core 5 \\
      --all-modalities --output dataset/kwai
  python -m dataset_prep kwai --input kuaishou2018/train --visual final_visual_train.zip \\
      --text train_text.txt --output dataset/kwai"""


def add_parser(subparsers: Any) -> None:
    """Add the subcommand and its options."""
    parser = add_source(
        subparsers, "kwai", "Kuaishou short videos 2018, raw release", _DESCRIPTION, _EXAMPLE
    )
    parser.add_argument(
        "--input", type=Path, required=True, metavar="FOLDER", help="the unpacked release"
    )
    add_log_options(parser, LOG_COLUMNS[2:])
    parser.add_argument(
        "--visual", type=Path, metavar="PATH", help="folder, zip or feature file of the photos"
    )
    parser.add_argument(
        "--visual-ids", type=Path, metavar="FILE", help="photo id of each row of --visual FILE.npy"
    )
    parser.add_argument(
        "--text", type=Path, metavar="FILE", help="word numbers of the photos (not in the paper)"
    )
    parser.add_argument(
        "--text-size", type=int, default=128, metavar="D", help="columns of the text features"
    )
    parser.add_argument(
        "--actions",
        default="click",
        metavar="NAME,...",
        help="rows that count: click, like, follow, several (any of them), or any (default "
        "%(default)s)",
    )
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Prepare the folder."""
    return run_source(arguments, read)


def read(arguments: argparse.Namespace, report: Report, spool: Path) -> RawDataset:
    """Interactions and features of the release.

    Raises:
        UserError: a file is missing, ambiguous, unreadable or of another layout.
    """
    folder: Path = arguments.input
    actions = chosen_actions(arguments.actions, _ACTIONS)
    interactions, log = log_interactions(
        arguments.log,
        folder,
        ("*train_interaction.txt", "*train_interaction*", "*interaction*"),
        LogColumns(
            *(LOG_COLUMNS, "user_id", "photo_id", actions, "time"),
            rating=arguments.rating_column,
            encoding=arguments.encoding,
        ),
        report,
    )
    rated = interactions.rated().tolist()
    visual = arguments.visual or need_file(
        folder, ("*visual_train", "*visual*.zip", "*visual*"), "visual features", "--visual"
    )
    ids = IdSource(file=arguments.visual_ids, encoding=arguments.encoding, rated=frozenset(rated))
    features = [_visual(visual, rated, ids, report, spool)]
    inputs = [log] if visual.is_dir() else [log, visual]
    if arguments.text is not None:
        features.append(_words(arguments.text, set(rated), report, arguments.text_size))
        inputs.append(arguments.text)
    elif (text := find_file(folder, ("*train_text.txt",), "text", "--text")) is not None:
        report.note(f"{text.name}: left out as in the paper; add it with --text {text}")
    return RawDataset(
        interactions=interactions,
        features=features,
        source=f"Kuaishou user interest modelling 2018, rows with {arguments.actions}",
        licence="terms of the challenge; check them before sharing",
        paper=PAPER["kwai"],
        inputs=inputs,
    )


def _visual(
    path: Path, rated: list[str], ids: IdSource, report: Report, spool: Path
) -> FeatureTable:
    if path.is_dir() or path.suffix == ".zip":
        return read_small_arrays("visual", path, rated, report, spool)
    return read_features("visual", path, report, spool, ids)


def _words(path: Path, rated: set[str], report: Report, width: int) -> FeatureTable:
    """TF-IDF + SVD of the word numbers of each photo."""
    if not path.is_file():
        raise UserError(f"{path}: no such file; check --text")
    layout = sniff(path, ("photo_id", "words"))
    tokens: list[str] = []
    texts: list[str] = []
    for frame in chunks(layout, ["photo_id", "words"], report):
        for token, words in zip(as_tokens(frame["photo_id"]), frame["words"], strict=True):
            if token in rated and words.strip() not in ("", "0"):
                tokens.append(token)
                # CountVectorizer drops words of one letter; word numbers may have one digit.
                texts.append(" ".join(f"w{word.strip()}" for word in words.split(",")))
    if not tokens:
        raise UserError(f"{path}: no photo with interactions has words; check that files match")
    return encode_texts(texts, "tfidf", width).table("textual", path.name, tokens)
