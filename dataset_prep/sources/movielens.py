"""Source ``movielens``: GroupLens folders of any size with trailer, text or poster features."""

from __future__ import annotations

import argparse
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd

from dataset_prep.finish import source
from dataset_prep.interactions import InteractionBuilder
from dataset_prep.options import PAPER, RawDataset, add_column_options, columns_of
from dataset_prep.read.id_lists import read_ids
from dataset_prep.read.interactions import read_interactions
from dataset_prep.read.matrices import FeatureTable, open_matrix, read_array
from dataset_prep.read.tables import chunks, sniff
from dataset_prep.read.titles import item_table
from dataset_prep.report import Report
from dataset_prep.sources.movielens_features import (
    ID_KINDS,
    add_mmtf_options,
    mmtf_features,
    read_links,
    with_movie_ids,
)
from recbole_painvrl.errors import UserError

_DESCRIPTION = """Read a GroupLens folder as unpacked (100K, 1M, 10M, 20M, 25M, 32M), or a folder
of prepared trailer data (interactions.npz, feature_rows.tsv, *.npy), and the
features of its films: MMTF-14K as released, or any .npy/.npz/CSV/Parquet file
with MovieLens ids, or with IMDb or TMDb ids where the folder has links.csv."""
_EXAMPLE = """example:
  python -m dataset_prep movielens --input ml-10M100K --mmtf Final_MMTF14K_Web \\
      --features textual=sentences.parquet --min-rating 4 --all-modalities --k-core 5 \\
      --fix drop-unrated,drop-rows,drop-columns --output dataset/ml-trailers
  python -m dataset_prep movielens --input ml1m-trailers \\
      --fix drop-unrated,drop-columns,drop-rows --output dataset/ml-trailers"""
_LICENCE = (
    "GroupLens MovieLens: research use, no redistribution without permission; cite Harper and "
    "Konstan (2015)"
)
_RATINGS = ("ratings.csv", "ratings.dat", "u.data", "interactions.npz")
_COLUMNS = ("user", "item", "rating", "timestamp")
# Files of titles and their separators; None to detect it.
_MOVIES = {"movies.csv": None, "movies.dat": "::", "u.item": "|"}
# Names of the modalities by the start of a file name.
_MODALITIES = {"audio": "acoustic", "text": "textual", "visual": "visual", "image": "visual"}
# The paper's dataset was made from MovieLens 10M, which has about 70,000 users.
_PAPER_USERS = range(50_000, 100_000)


def add_options(parser: argparse.ArgumentParser) -> None:
    """The options of this source alone."""
    parser.add_argument("--input", type=Path, required=True, metavar="FOLDER", help="the ratings")
    add_column_options(parser)
    add_mmtf_options(parser)
    parser.add_argument(
        "--feature-ids-are",
        choices=ID_KINDS,
        default=ID_KINDS[0],
        help="ids of --features files; imdb and tmdb are looked up in links.csv (default "
        "%(default)s)",
    )


def read(arguments: argparse.Namespace, report: Report, spool: Path) -> RawDataset:
    """Ratings, titles and features of the folder."""
    folder: Path = arguments.input
    ratings = next((folder / n for n in _RATINGS if (folder / n).is_file()), None)
    if ratings is None:
        raise UserError(
            f"{folder}: has none of {', '.join(_RATINGS)}; give the unpacked GroupLens folder"
        )
    rows = folder / "feature_rows.tsv"
    if ratings.suffix == ".npz" and not rows.is_file():
        raise UserError(
            f"{ratings}: has no {rows.name} beside it, so its items may not be films; "
            "read it with the source `diffmm` or `table`"
        )
    builder = InteractionBuilder()
    columns = columns_of(arguments)
    if ratings.suffix not in (".csv", ".npz") and columns.names is None:
        columns = replace(columns, names=_COLUMNS)
    read_interactions(ratings, builder, report, columns)
    interactions = builder.finish(str(ratings), report)
    features: list[FeatureTable] = []
    inputs = [ratings]
    if rows.is_file():
        features = trailer_features(folder, report)
        inputs += [rows, *sorted(folder.glob("*.npy"))]
    for table, path in mmtf_features(arguments, report, spool):
        features.append(table)
        inputs.append(path)
    inputs += [folder / name for name in (*_MOVIES, "links.csv") if (folder / name).is_file()]
    rename, kind = None, arguments.feature_ids_are
    if kind != ID_KINDS[0]:
        links = read_links(folder, kind, report, arguments.encoding)
        rename = partial(with_movie_ids, links=links, kind=kind)
    return RawDataset(
        interactions=interactions,
        features=features,
        item_table=_titles(folder, report, arguments.encoding),
        source=f"MovieLens, {folder.resolve().name}",
        licence=_LICENCE,
        edition="real features" if features or arguments.features else "no features",
        paper=PAPER["movielens"] if interactions.n_users() in _PAPER_USERS else None,
        inputs=inputs,
        rename=rename,
    )


def trailer_features(folder: Path, report: Report) -> list[FeatureTable]:
    """Every matrix of the folder, with a row per line of ``feature_rows.tsv``."""
    ids = folder / "feature_rows.tsv"
    tokens = read_ids(ids, report)
    absent = {
        path.stem.removeprefix("has_"): ~read_array(path).astype(np.bool_)
        for path in sorted(folder.glob("has_*.npy"))
    }
    tables: list[FeatureTable] = []
    for path in sorted(folder.glob("*.npy")):
        if path.stem.startswith("has_"):
            continue
        matrix = open_matrix(path)
        if matrix.shape[0] != len(tokens):
            raise UserError(
                f"{path}: has {matrix.shape[0]} rows where {ids.name} lists {len(tokens)}; the two "
                "belong together, copy both again"
            )
        name = _modality(path.stem, {table.name for table in tables})
        mask = next((m for key, m in absent.items() if key in path.stem.split("_")), None)
        if mask is not None and len(mask) != len(tokens):
            raise UserError(f"{folder}: a has_*.npy has {len(mask)} rows, not {len(tokens)}")
        tables.append(FeatureTable(name, path.name, tokens, matrix, mask, encoder=path.stem))
    return tables


def _modality(stem: str, taken: set[str]) -> str:
    """Name of a modality by its file; posters are a modality beside the frames of a trailer."""
    if "poster" in stem:
        return "poster"
    name = _MODALITIES.get(stem.split("_")[0], stem)
    return stem if name in taken else name


def _titles(folder: Path, report: Report, given: str) -> pd.DataFrame | None:
    """Titles of the films, or None if the folder has none."""
    for file, separator in _MOVIES.items():
        path = folder / file
        if path.is_file():
            layout = sniff(path, None, _encoding(path, given), separator=separator)
            if len(layout.names) < 2:
                raise UserError(f"{path}: has one column, expected ids and titles; copy it again")
            id_column, title = layout.names[:2]
            break
    else:
        path = folder / "feature_rows.tsv"
        if not path.is_file():
            return None
        layout = sniff(path, None, given)
        id_column, title = "itemId", "title"
        if not {id_column, title} <= set(layout.names):
            return None
    table = pd.concat(chunks(layout, [id_column, title], report))
    return item_table(table, id_column, title)


def _encoding(path: Path, given: str) -> str:
    """The given encoding; the files of older releases, which are not CSV, may be Latin-1."""
    if path.suffix != ".csv" and given == "utf-8-sig":
        try:
            path.read_bytes().decode("utf-8")
        except UnicodeDecodeError:
            return "latin-1"
    return given


_SUMMARY = "GroupLens folders (100K to 32M) with MMTF-14K or other features"
COMMAND = source("movielens", (_SUMMARY, _DESCRIPTION, _EXAMPLE), add_options, read)
