"""Source ``microlens``: MicroLens-50K, -100K and -1M.

Confirmed from the release's readme and from projects that use it: ``*_pairs.csv`` has the columns
user, item, timestamp; ``*_pairs.tsv`` has a user, a tab and its items in order, separated by
spaces; ``*_titles.csv`` has an item and a title. Not confirmed: whether ``*_title_en.csv`` has a
header (both are read), and the names and row order of released feature matrices, which therefore
need ids: --feature-ids, or --rows-from N if row 0 is item N.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import pandas as pd

from dataset_prep.encoders.text import encode_texts
from dataset_prep.finish import source
from dataset_prep.interactions import InteractionBuilder
from dataset_prep.options import RawDataset, add_column_options, columns_of, refuse_columns
from dataset_prep.read.interactions import read_interactions
from dataset_prep.read.tables import chunks, find_role, sniff
from dataset_prep.read.titles import item_table
from dataset_prep.report import Report
from dataset_prep.sources.common import (
    TERMS,
    add_text_encoder,
    find_file,
    need_file,
    read_lists,
)
from recbole_painvrl.errors import UserError

_DESCRIPTION = """Read the pairs (CSV, or TSV with a list of items per user) and titles of
MicroLens, with any number of feature files. Titles can become the modality
textual: --text-encoder tfidf or minilm."""
_EXAMPLE = """example:
  python -m dataset_prep microlens --input MicroLens-50k --text-encoder tfidf \\
      --features visual=video_features.npy --rows-from 1 --k-core 5 \\
      --fix drop-unrated --output dataset/microlens"""


def _add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--input", type=Path, required=True, metavar="FOLDER", help="the release")
    parser.add_argument("--pairs", type=Path, metavar="FILE", help="pairs, if there are several")
    parser.add_argument("--titles", type=Path, metavar="FILE", help="titles, if there are several")
    add_text_encoder(parser, "titles")
    add_column_options(parser)


def read(arguments: argparse.Namespace, report: Report, spool: Path) -> RawDataset:
    """Interactions, titles and features of the release."""
    folder: Path = arguments.input
    pairs = arguments.pairs or need_file(folder, ("*pairs.csv", "*pairs.tsv"), "pairs", "--pairs")
    builder = InteractionBuilder()
    if pairs.suffix == ".tsv":
        refuse_columns(arguments, pairs)
        form = "a user, a tab and items"
        read_lists(pairs, builder, report, arguments.encoding, _split, form, ordered=True)
        report.note(f"{pairs.name}: has the order of items, not times; timestamps are 0, 1, ...")
    else:
        read_interactions(pairs, builder, report, columns_of(arguments))
    interactions = builder.finish(str(pairs), report)
    inputs = [pairs]
    titles = arguments.titles or find_file(
        folder, ("*title_en.csv", "*titles.csv", "*title*.csv"), "titles", "--titles"
    )
    features = []
    items = None
    if titles is not None:
        items = _read_titles(titles, arguments.encoding, report)
        inputs.append(titles)
    if arguments.text_encoder:
        if items is None or titles is None:
            raise UserError(f"{folder}: has no titles to encode; name them with --titles")
        chosen = items[items["item_id:token"].isin(set(interactions.rated()))]
        texts = chosen["movie_title:token_seq"].tolist()
        encoded = encode_texts(texts, arguments.text_encoder, arguments.text_size, str(titles))
        tokens = chosen["item_id:token"].tolist()
        features.append(encoded.table("textual", titles.name, tokens))
    return RawDataset(
        interactions=interactions,
        features=features,
        item_table=items,
        source=f"MicroLens, {folder.resolve().name}",
        licence=TERMS,
        inputs=inputs,
    )


def _split(line: str) -> tuple[str, list[str]] | None:
    """User and items of ``user<TAB>item item item``."""
    user, _, rest = line.rstrip("\r\n").partition("\t")
    items = rest.split()
    if find_role([user], "user") and items and find_role(items[:1], "item"):
        # A header, which has no place in this form.
        return None
    return (user, items) if user.strip() and items else None


def _read_titles(path: Path, encoding: str, report: Report) -> pd.DataFrame:
    """Item and title, with or without a header."""
    layout = sniff(path, None, encoding)
    if not layout.has_header:
        layout = sniff(path, ("item", "title"), encoding)
    title = next((name for name in layout.names if "title" in name.lower()), None)
    item = find_role(layout.names, "item")
    if title is None or item is None:
        raise UserError(f"{path}: its columns are {', '.join(layout.names[:6])}; name item, title")
    table = pd.concat(chunks(layout, [item, title], report))
    return item_table(table, item, title)


_SUMMARY = "MicroLens pairs, titles, features"
COMMAND = source("microlens", (_SUMMARY, _DESCRIPTION, _EXAMPLE), _add_options, read)
