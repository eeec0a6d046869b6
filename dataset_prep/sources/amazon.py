"""Source ``amazon``: reviews, ratings, metadata and visual features of 2014, 2018 and 2023.

Confirmed from public code and pages: reviews of 2014 are JSON lines with reviewerID, asin, overall,
unixReviewTime; its metadata are Python literals (parsed as constants, never evaluated); its
image_features_*.b repeats ten bytes of item id and 4,096 float32; items of 2023 are parent_asin.
Not confirmed: the same review fields in 2018;
user_id, rating and timestamp in milliseconds in 2023; and the order of ratings without a header,
user first in 2014 and item first in 2018. The order is therefore inferred from the data (item ids
have ten characters) and refused if it is unclear.
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from dataset_prep.encoders.text import encode_texts
from dataset_prep.finish import source
from dataset_prep.interactions import InteractionBuilder, clean_token
from dataset_prep.options import RawDataset, add_column_options, columns_of
from dataset_prep.read.files import readable
from dataset_prep.read.interactions import TableColumns, read_interactions
from dataset_prep.read.json_data import first_of, json_lines
from dataset_prep.read.matrices import FeatureTable
from dataset_prep.read.tables import sniff
from dataset_prep.read.titles import as_text, item_table
from dataset_prep.report import Report
from dataset_prep.sources.common import TERMS, add_text_encoder
from dataset_prep.sources.vectors import read_id_records
from recbole_painvrl.errors import UserError

_ITEM = ("parent_asin", "asin")
_NAMES: Mapping[str, tuple[str, ...]] = {
    "user": ("reviewerID", "user_id"),
    "item": _ITEM,
    "rating": ("overall", "rating"),
    "time": ("unixReviewTime", "timestamp", "sort_timestamp"),
}
_TEXTS = ("title", "brand", "store", "categories", "category", "features", "feature", "description")
_TABLES = (".csv", ".tsv", ".txt", ".parquet")
_ID_LENGTH = 10
_LARGEST_WIDTH = 100_000
_ROWS_PER_BLOCK = 100_000
# Larger than any time in seconds and smaller than any in milliseconds of these releases.
_MILLISECONDS = 1e11
_DESCRIPTION = """Read reviews (JSON lines) or ratings (CSV), plain or .gz, of Amazon 2014, 2018 or
2023; --metadata adds titles and, with --text-encoder, a modality textual; --visual
adds the 4,096 visual columns of 2014 (image_features_*.b)."""
_EXAMPLE = """example:
  python -m dataset_prep amazon --input reviews_Baby_5.json.gz --metadata meta_Baby.json.gz \\
      --visual image_features_Baby.b --text-encoder tfidf --k-core 5 --all-modalities \\
      --output dataset/baby
  python -m dataset_prep amazon --input All_Beauty.jsonl.gz --metadata meta_All_Beauty.jsonl.gz \\
      --text-encoder minilm --min-rating 4 --k-core 5 --output dataset/beauty"""


def _add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--input", type=Path, nargs="+", required=True, metavar="FILE", help="reviews or ratings"
    )
    add_column_options(parser)
    parser.add_argument("--metadata", type=Path, nargs="+", default=[], metavar="FILE")
    parser.add_argument("--visual", type=Path, metavar="FILE", help="image_features_*.b of 2014")
    text = "its columns (default %(default)s)"
    parser.add_argument("--visual-size", type=int, default=4096, metavar="D", help=text)
    add_text_encoder(parser, "metadata")


def read(arguments: argparse.Namespace, report: Report, spool: Path) -> RawDataset:
    """Interactions, titles and features."""
    if arguments.text_encoder and not arguments.metadata:
        raise UserError("--text-encoder: needs --metadata FILE, where the texts are")
    if not 0 < arguments.visual_size <= _LARGEST_WIDTH:
        raise UserError(
            f"--visual-size {arguments.visual_size}: must be from 1 to {_LARGEST_WIDTH}"
        )
    builder = InteractionBuilder()
    given = columns_of(arguments)
    for path in arguments.input:
        if path.name.removesuffix(".gz").lower().endswith(_TABLES):
            read_interactions(path, builder, report, _columns(path, given))
        else:
            _read_reviews(path, builder, report, given)
    interactions = builder.finish(", ".join(path.name for path in arguments.input), report)
    rated = set(interactions.rated().tolist())
    features: list[FeatureTable] = []
    if arguments.visual is not None:
        width = arguments.visual_size
        found = read_id_records("visual", arguments.visual, width, rated, report, spool)
        features.append(found)
    titles, texts = _read_metadata(arguments.metadata, rated, report)
    if arguments.text_encoder:
        encoded = encode_texts(list(texts.values()), arguments.text_encoder, arguments.text_size)
        where = ", ".join(path.name for path in arguments.metadata)
        features.append(encoded.table("textual", where, list(texts)))
    titled = pd.DataFrame({"item": list(titles), "title": list(titles.values())})
    inputs = [*arguments.input, *arguments.metadata]
    return RawDataset(
        interactions=interactions,
        features=features,
        item_table=item_table(titled, "item", "title") if titles else None,
        source="Amazon reviews, " + ", ".join(path.name for path in arguments.input),
        licence=TERMS,
        inputs=inputs + ([arguments.visual] if arguments.visual else []),
    )


def _columns(path: Path, given: TableColumns) -> TableColumns:
    """The given columns; ratings without a header have item ids of ten characters."""
    if given.names is not None:
        return given
    roles = {"item": "parent_asin", **given.roles}
    if ".parquet" in path.name:
        return replace(given, roles=roles)
    expected = tuple(given.roles.values())
    layout = sniff(path, encoding=given.encoding, expected=expected, separator=given.separator)
    if layout.has_header:
        return replace(given, roles=roles) if "parent_asin" in layout.names else given
    if len(layout.names) != 4:
        raise UserError(f"{path}: has {len(layout.names)} columns; ratings have four")
    looks = [all(len(row[i]) == _ID_LENGTH for row in layout.sample if row) for i in (0, 1)]
    if looks[0] == looks[1]:
        raise UserError(
            f"{path}: cannot tell users from items; name them, as in --columns "
            "user,item,rating,timestamp"
        )
    first = ("item", "user") if looks[0] else ("user", "item")
    return replace(given, names=(*first, "rating", "timestamp"))


def _read_reviews(
    path: Path, builder: InteractionBuilder, report: Report, given: TableColumns
) -> None:
    """Append the reviews; lines without user, item, rating and time are malformed."""
    if given.names is not None or given.separator is not None or "part" in given.roles:
        raise UserError(
            f"{path}: is read as JSON lines; leave out --columns, --separator and --part-column"
        )
    if given.encoding != TableColumns().encoding:
        raise UserError(f"{path}: is read as JSON lines, which are UTF-8; leave out --encoding")
    names = {role: (given.roles[role],) if role in given.roles else _NAMES[role] for role in _NAMES}
    rows: list[tuple[Any, Any, float, float]] = []
    bad = 0
    for found in json_lines(path, report, python=True):
        user, item = first_of(found, names["user"]), first_of(found, names["item"])
        try:
            rating, time = (float(first_of(found, names[role])) for role in ("rating", "time"))
            finite = math.isfinite(rating) and math.isfinite(time)
        except (TypeError, ValueError, OverflowError):
            finite = False
        if not finite or not all(isinstance(token, str | int | float) for token in (user, item)):
            bad += 1
            continue
        rows.append((user, item, rating, time / 1000 if time > _MILLISECONDS else time))
        if len(rows) == _ROWS_PER_BLOCK:
            _add(rows, builder)
    _add(rows, builder)
    if bad:
        what = f"{bad} lines have no user, item, rating or time"
        report.found(path.name, what, bad, "drop-rows")


def _add(rows: list[tuple[Any, Any, float, float]], builder: InteractionBuilder) -> None:
    if rows:
        table = pd.DataFrame(rows, columns=["user", "item", "rating", "time"])
        ratings, times = np.asarray(table["rating"]), np.asarray(table["time"])
        builder.add(table["user"], table["item"], ratings, times)
        rows.clear()


def _read_metadata(
    paths: Iterable[Path], rated: set[str], report: Report
) -> tuple[dict[str, str], dict[str, str]]:
    """Title and text of each rated item with metadata; the first line of an item is used."""
    titles: dict[str, str] = {}
    texts: dict[str, str] = {}
    for path in paths:
        with readable(path):
            for found in json_lines(path, report, python=True):
                token = clean_token(first_of(found, _ITEM))
                if token in rated and token not in texts:
                    titles[token] = as_text(found.get("title"))
                    words = " ".join(as_text(found.get(name)) for name in _TEXTS)
                    texts[token] = " ".join(words.split())
        if not texts:
            raise UserError(
                f"{path}: describes no item with interactions; check that the files belong together"
            )
    if texts and len(texts) < len(rated):
        report.note(f"metadata: {len(rated) - len(texts)} items with interactions have no entry")
    return titles, texts


_SUMMARY = "Amazon reviews 2014, 2018, 2023"
COMMAND = source("amazon", (_SUMMARY, _DESCRIPTION, _EXAMPLE), _add_options, read)
