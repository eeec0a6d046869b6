"""Source ``tiktok``: the ICME 2019 short-video release (track 2; track 1 has the same form).

Confirmed from public solutions of the challenge: the log has no header and the columns of
``LOG_COLUMNS``, tab-separated; finish and like are 0 or 1 (-1 in the test log); features are JSON
lines with ``video_feature_dim_128``, ``audio_feature_128_dim`` (empty where there is none) and
``title_features``, a count per word number. Not confirmed: which rows and items the paper kept
(726,065 interactions); finished videos are the default here. ``creat_time`` is when the video was
made, not when it was watched, so that no timestamp is written.
"""

from __future__ import annotations

import argparse
from collections.abc import Collection
from pathlib import Path
from typing import Any

import numpy as np
import scipy.sparse as sp

from dataset_prep.encoders.text import encode_words
from dataset_prep.finish import run_source
from dataset_prep.options import PAPER, RawDataset, add_source
from dataset_prep.read.features import FeatureTable
from dataset_prep.report import Report
from dataset_prep.sources.folders import find_file
from dataset_prep.sources.impressions import (
    LogColumns,
    add_log_options,
    chosen_actions,
    log_interactions,
)
from dataset_prep.sources.json_lines import json_lines, json_vectors
from dataset_prep.tokens import clean_token
from recbole_painvrl.errors import UserError

LOG_COLUMNS = (
    *("uid", "user_city", "item_id", "author_id", "item_city", "channel"),
    *("finish", "like", "music_id", "did", "creat_time", "video_duration"),
)
_ACTIONS = ("finish", "like")
_VECTORS = {
    "visual": ("video", ("video_feature_dim_128", "video_feature_128_dim")),
    "acoustic": ("audio", ("audio_feature_128_dim", "audio_feature_dim_128")),
}
_DESCRIPTION = """Read the log (final_track2_train.txt), the visual and acoustic features
(track2_video_features.txt, track2_audio_features.txt) and the title words
(track2_title.txt) of the ICME 2019 short-video challenge, unpacked, plain or .gz.
Title words become TF-IDF + SVD columns. The counts stand beside the paper's; how
the paper filtered the release is not known."""
_EXAMPLE = """example:
  python -m dataset_prep tiktok --input icme2019/track2 --actions finish --k-core 5 \\
      --all-modalities --output dataset/tiktok"""


def add_parser(subparsers: Any) -> None:
    """Add the subcommand and its options."""
    parser = add_source(
        subparsers, "tiktok", "ICME 2019 short videos, raw release", _DESCRIPTION, _EXAMPLE
    )
    parser.add_argument(
        "--input", type=Path, required=True, metavar="FOLDER", help="the unpacked release"
    )
    add_log_options(parser, (*_ACTIONS, "video_duration"))
    for name in ("video", "audio", "title"):
        parser.add_argument(f"--{name}", type=Path, metavar="FILE", help=f"{name} features")
    parser.add_argument(
        "--actions",
        default="finish",
        metavar="NAME,...",
        help="rows that count: finish, like, both (either of them), or any (default %(default)s)",
    )
    parser.add_argument(
        "--text-size", type=int, default=128, metavar="D", help="columns of the text features"
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
        ("*train.txt", "*train.txt.gz", "final_track*train*"),
        LogColumns(
            *(LOG_COLUMNS, "uid", "item_id", actions),
            rating=arguments.rating_column,
            encoding=arguments.encoding,
        ),
        report,
    )
    rated = set(interactions.rated().tolist())
    features, inputs = [], [log]
    for name, (stem, keys) in _VECTORS.items():
        path = getattr(arguments, stem) or _feature_file(folder, stem, f"--{stem}")
        if path is None:
            report.note(f"*{stem}_features*: not there, no modality {name}")
            continue
        features.append(json_vectors(name, path, keys, rated, report, spool))
        inputs.append(path)
    title = arguments.title or _feature_file(folder, "title", "--title")
    if title is None:
        report.note("*title*: not there, no modality textual")
    else:
        features.append(_title_words(title, rated, report, arguments.text_size))
        inputs.append(title)
    return RawDataset(
        interactions=interactions,
        features=features,
        source=f"ICME 2019 short video challenge, rows with {arguments.actions}",
        licence="terms of the challenge; check them before sharing",
        paper=PAPER["tiktok"],
        inputs=inputs,
    )


def _feature_file(folder: Path, stem: str, option: str) -> Path | None:
    return find_file(
        folder, (f"*{stem}*.txt", f"*{stem}*.txt.gz", f"*{stem}*.json*"), f"{stem} file", option
    )


def _title_words(path: Path, rated: Collection[str], report: Report, width: int) -> FeatureTable:
    """TF-IDF + SVD of the words of each title.

    Raises:
        UserError: no title of an item with interactions has a word.
    """
    tokens: list[str] = []
    rows: list[int] = []
    words: list[int] = []
    counts: list[float] = []
    bad = 0
    for found in json_lines(path, report):
        token, bag = clean_token(found.get("item_id")), found.get("title_features")
        if token not in rated:
            continue
        try:
            if not isinstance(bag, dict):
                raise TypeError
            pairs = [(int(word), float(count)) for word, count in bag.items()]
        except (TypeError, ValueError):
            bad += 1
            continue
        if pairs:
            words.extend(word for word, _ in pairs)
            counts.extend(count for _, count in pairs)
            rows.extend([len(tokens)] * len(pairs))
            tokens.append(token)
    if bad:
        report.found(path.name, f"{bad} lines have no count of words", bad, "drop-rows")
    if not tokens or min(words) < 0:
        raise UserError(
            f"{path}: no title of an item with interactions has words; check that the files "
            "belong together"
        )
    _, numbers = np.unique(np.asarray(words), return_inverse=True)
    matrix = sp.csr_matrix((counts, (rows, numbers)), shape=(len(tokens), int(numbers.max()) + 1))
    return encode_words(matrix, width).table("textual", path.name, tokens)
