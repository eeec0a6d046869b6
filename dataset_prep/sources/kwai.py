"""Source ``kwai``: Kuaishou's user interest modelling release of 2018.

Confirmed from public solutions of the challenge: train_interaction.txt has no header and the
columns of ``LOG``, tab-separated; visual features are one NumPy file per photo, named by
its id without an extension, of shape [1, 2048], in a folder or zip; train_text.txt holds the photo
id and its word numbers, comma-separated, 0 for none. Not confirmed: which rows and photos the
paper kept (298,492 interactions); the default is clicks.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from dataset_prep.encoders.text import encode_texts
from dataset_prep.finish import source
from dataset_prep.interactions import as_tokens
from dataset_prep.options import PAPER, RawDataset
from dataset_prep.read.features import read_features
from dataset_prep.read.ids import IdSource
from dataset_prep.read.matrices import FeatureTable
from dataset_prep.read.tables import chunks, sniff
from dataset_prep.report import Report
from dataset_prep.sources.common import find_file, need_file
from dataset_prep.sources.logs import Log, add_log_options, read_log
from dataset_prep.sources.vectors import read_small_arrays
from recbole_painvrl.errors import UserError

LOG = Log(
    names=(
        *("user_id", "photo_id", "click", "like", "follow", "time"),
        *("playing_time", "duration_time"),
    ),
    roles={"user": "user_id", "item": "photo_id", "time": "time"},
    actions=("click", "like", "follow"),
    patterns=("*train_interaction.txt", "*train_interaction*", "*interaction*"),
)
_SUMMARY = "Kuaishou short videos 2018, raw release"
_DESCRIPTION = """Read the training log (train_interaction.txt) and the visual features of the
Kuaishou user interest modelling challenge: a folder or zip with one NumPy file
per photo (final_visual_train), or any feature file with ids (.npy, .npz, CSV,
Parquet). The counts are compared with the paper's; how the paper filtered the
release is not known."""
_EXAMPLE = """example:
  python -m dataset_prep kwai --input kuaishou2018/train --actions click --k-core 5 \\
      --all-modalities --output dataset/kwai
  python -m dataset_prep kwai --input kuaishou2018/train --visual final_visual_train.zip \\
      --text train_text.txt --output dataset/kwai"""


def _add_options(parser: argparse.ArgumentParser) -> None:
    several = "click, like, follow, several (any of them)"
    add_log_options(parser, LOG.names[2:], several, "click")
    for option, metavar, text in (
        ("--visual", "PATH", "folder, zip or feature file of the photos"),
        ("--visual-ids", "FILE", "photo id of each row of --visual FILE.npy"),
        ("--text", "FILE", "word numbers of the photos (not in the paper)"),
    ):
        parser.add_argument(option, type=Path, metavar=metavar, help=text)


def read(arguments: argparse.Namespace, report: Report, spool: Path) -> RawDataset:
    """Interactions and features of the release."""
    folder: Path = arguments.input
    interactions, log = read_log(arguments, LOG, report)
    rated = interactions.rated().tolist()
    visual = arguments.visual or need_file(
        folder, ("*visual_train", "*visual*.zip", "*visual*"), "visual features", "--visual"
    )
    if visual.is_dir() or visual.suffix == ".zip":
        features = [read_small_arrays("visual", visual, rated, report, spool)]
    else:
        encoding = arguments.encoding
        ids = IdSource(file=arguments.visual_ids, encoding=encoding, rated=frozenset(rated))
        features = [read_features("visual", visual, report, spool, ids)]
    inputs = [log] if visual.is_dir() else [log, visual]
    if arguments.text is not None:
        features.append(_words(arguments, set(rated), report))
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


def _words(arguments: argparse.Namespace, rated: set[str], report: Report) -> FeatureTable:
    """TF-IDF + SVD of the word numbers of each photo."""
    path, width = arguments.text, arguments.text_size
    layout = sniff(path, ("photo_id", "words"), arguments.encoding)
    tokens: list[str] = []
    texts: list[str] = []
    for frame in chunks(layout, ["photo_id", "words"], report):
        for token, words in zip(as_tokens(frame["photo_id"]), frame["words"], strict=True):
            if token in rated and words.strip() not in ("", "0"):
                tokens.append(token)
                # CountVectorizer ignores words of one letter; word numbers may have one digit.
                texts.append(" ".join(f"w{word.strip()}" for word in words.split(",")))
    if not tokens:
        raise UserError(f"{path}: no photo with interactions has words; check that files match")
    return encode_texts(texts, "tfidf", width).table("textual", path.name, tokens)


COMMAND = source("kwai", (_SUMMARY, _DESCRIPTION, _EXAMPLE), _add_options, read)
