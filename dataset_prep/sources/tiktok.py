"""Source ``tiktok``: the ICME 2019 short-video release (track 2; track 1 has the same form).

Confirmed from public solutions of the challenge: the log has no header and the columns of
``LOG``, tab-separated; finish and like are 0 or 1 (-1 in the test log); features are JSON
lines with ``video_feature_dim_128``, ``audio_feature_128_dim`` (empty where there is none) and
``title_features``, a count per word number. Not confirmed: which rows and items the paper kept
(726,065 interactions); the default is finished videos. ``creat_time`` is when the video was made,
not when it was watched, so that no timestamp is written.
"""

from __future__ import annotations

import argparse
from collections.abc import Collection
from pathlib import Path

import numpy as np
import scipy.sparse as sp

from dataset_prep.encoders.text import encode_words
from dataset_prep.finish import source
from dataset_prep.interactions import clean_token
from dataset_prep.options import PAPER, RawDataset
from dataset_prep.read.json_data import json_lines
from dataset_prep.read.matrices import FeatureTable
from dataset_prep.report import Report
from dataset_prep.sources.common import find_file
from dataset_prep.sources.logs import Log, add_log_options, read_log
from dataset_prep.sources.vectors import read_json_vectors
from recbole_painvrl.errors import UserError

LOG = Log(
    names=(
        *("uid", "user_city", "item_id", "author_id", "item_city", "channel"),
        *("finish", "like", "music_id", "did", "creat_time", "video_duration"),
    ),
    roles={"user": "uid", "item": "item_id"},
    actions=("finish", "like"),
    patterns=("*train.txt", "*train.txt.gz", "final_track*train*"),
)
_VECTORS = {
    "visual": ("video", ("video_feature_dim_128", "video_feature_128_dim")),
    "acoustic": ("audio", ("audio_feature_128_dim", "audio_feature_dim_128")),
}
_SUMMARY = "ICME 2019 short videos, raw release"
_DESCRIPTION = """Read the log (final_track2_train.txt), the visual and acoustic features
(track2_video_features.txt, track2_audio_features.txt) and the title words
(track2_title.txt) of the ICME 2019 short-video challenge, unpacked, plain or .gz.
Title words become TF-IDF + SVD columns. The counts are compared with the paper's;
how the paper filtered the release is not known."""
_EXAMPLE = """example:
  python -m dataset_prep tiktok --input icme2019/track2 --actions finish --k-core 5 \\
      --all-modalities --output dataset/tiktok"""


def _add_options(parser: argparse.ArgumentParser) -> None:
    several = "finish, like, or finish,like (either of them)"
    add_log_options(parser, (*LOG.actions, "video_duration"), several, "finish")
    for name in ("video", "audio", "title"):
        parser.add_argument(f"--{name}", type=Path, metavar="FILE", help=f"{name} features")


def read(arguments: argparse.Namespace, report: Report, spool: Path) -> RawDataset:
    """Interactions and features of the release."""
    interactions, log = read_log(arguments, LOG, report)
    rated = set(interactions.rated().tolist())
    features, inputs = [], [log]
    for name, (stem, keys) in _VECTORS.items():
        path = _feature_file(arguments, stem)
        if path is None:
            report.note(f"*{stem}_features*: not there, no modality {name}")
            continue
        features.append(read_json_vectors(name, path, keys, rated, report, spool))
        inputs.append(path)
    title = _feature_file(arguments, "title")
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


def _feature_file(arguments: argparse.Namespace, stem: str) -> Path | None:
    given: Path | None = getattr(arguments, stem)
    patterns = (f"*{stem}*.txt", f"*{stem}*.txt.gz", f"*{stem}*.json*")
    return given or find_file(arguments.input, patterns, f"{stem} file", f"--{stem}")


def _title_words(path: Path, rated: Collection[str], report: Report, width: int) -> FeatureTable:
    """TF-IDF + SVD of the words of each title."""
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
            pairs = [(int(word), float(count)) for word, count in bag.items()]  # type: ignore[union-attr]
            possible = all(np.isfinite(count) and count >= 0 for _, count in pairs)
        except (AttributeError, TypeError, ValueError, OverflowError):
            possible = False
        if not possible:
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


COMMAND = source("tiktok", (_SUMMARY, _DESCRIPTION, _EXAMPLE), _add_options, read)
