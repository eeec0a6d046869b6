"""Source ``movielens``: GroupLens folders of any size with trailer, text or poster features."""

from __future__ import annotations

import argparse
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd

from dataset_prep.finish import source
from dataset_prep.interactions import InteractionBuilder, as_tokens
from dataset_prep.options import PAPER, RawDataset, add_column_options, columns_of
from dataset_prep.read.features import read_features
from dataset_prep.read.id_lists import read_ids
from dataset_prep.read.ids import IdSource
from dataset_prep.read.interactions import read_interactions
from dataset_prep.read.matrices import FeatureTable, open_matrix, read_array
from dataset_prep.read.tables import chunks, sniff
from dataset_prep.read.titles import item_table
from dataset_prep.report import Report
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
_ID_KINDS = ("movielens", "imdb", "tmdb")
_AGGREGATES = {"avg": "Avg", "avgvar": "AvgVar", "med": "Med", "medmad": "MedMad"}
_BLOCKS = (
    "correlation",
    "deltaspectral",
    "logarithmicfluctuation",
    "spectralcontrast",
    "spectral",
    "variancedeltaspectral",
)


def _add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--input", type=Path, required=True, metavar="FOLDER", help="the ratings")
    add_column_options(parser)
    parser.add_argument(
        "--feature-ids-are",
        choices=_ID_KINDS,
        default=_ID_KINDS[0],
        help="ids of --features files; imdb and tmdb are looked up in links.csv (default "
        "%(default)s)",
    )
    group = parser.add_argument_group("MMTF-14K")
    group.add_argument(
        "--mmtf", type=Path, metavar="FOLDER", help="unpacked release (has Audio and Visual)"
    )
    group.add_argument(
        "--mmtf-visual",
        default="alexnet-avg",
        metavar="KIND",
        help="alexnet or avf, and avg, avgvar, med or medmad, as in avf-avg; or none "
        "(default %(default)s)",
    )
    group.add_argument(
        "--mmtf-audio",
        default="ivector-512-100",
        metavar="KIND",
        help="ivector-GMM-DIMENSIONS, blf-NAME as in blf-spectral, or none (default %(default)s)",
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
    for table, path in _mmtf_features(arguments, report, spool):
        features.append(table)
        inputs.append(path)
    inputs += [folder / name for name in (*_MOVIES, "links.csv") if (folder / name).is_file()]
    rename, kind = None, arguments.feature_ids_are
    if kind != _ID_KINDS[0]:
        links = _read_links(folder, kind, report, arguments.encoding)
        rename = partial(_with_movie_ids, links=links, kind=kind)
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
    absent = {}
    for path in sorted(folder.glob("has_*.npy")):
        mask = read_array(path)
        if mask.shape != (len(tokens),) or mask.dtype.kind not in "biuf":
            raise UserError(
                f"{path}: is {mask.dtype} {mask.shape}; give one True or False for each of the "
                f"{len(tokens)} rows of {ids.name}"
            )
        absent[path.stem.removeprefix("has_")] = ~mask.astype(np.bool_)
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
        without = next((m for key, m in absent.items() if key in path.stem.split("_")), None)
        tables.append(FeatureTable(name, path.name, tokens, matrix, without, encoder=path.stem))
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


def _mmtf_features(
    arguments: argparse.Namespace, report: Report, spool: Path
) -> list[tuple[FeatureTable, Path]]:
    """The chosen files of the release, each with its path."""
    if arguments.mmtf is None:
        return []
    found = []
    for name, kind, relative in (
        ("visual", arguments.mmtf_visual, _visual_path(arguments.mmtf_visual)),
        ("acoustic", arguments.mmtf_audio, _audio_path(arguments.mmtf_audio)),
    ):
        if relative is None:
            continue
        path = arguments.mmtf / relative
        if not path.is_file():
            raise UserError(
                f"{path}: no such file; give the unpacked MMTF-14K folder, or another "
                f"--mmtf-{'audio' if name == 'acoustic' else name}"
            )
        # In every file of the release, the first column holds the film.
        ids = IdSource(first_column=True, encoding="latin-1")
        table = read_features(name, path, report, spool, ids)
        table.encoder = f"MMTF-14K {kind}"
        found.append((table, path))
    return found


def _visual_path(kind: str) -> Path | None:
    if kind == "none":
        return None
    family, _, aggregate = kind.partition("-")
    if family not in ("alexnet", "avf") or aggregate not in _AGGREGATES:
        raise UserError(
            f"--mmtf-visual {kind}: must be alexnet- or avf- and {', '.join(_AGGREGATES)}, or none"
        )
    folder, upper = _AGGREGATES[aggregate], aggregate.upper()
    if family == "alexnet":
        return Path("Visual", "AlexNet features", folder, f"AlexNetFeatures - {upper} - fc7.csv")
    return Path("Visual", "Aesthetic features", folder, f"AestheticFeatures - {upper} - All.csv")


def _audio_path(kind: str) -> Path | None:
    if kind == "none":
        return None
    parts = kind.split("-")
    if parts[0] == "ivector" and len(parts) == 3 and all(part.isdigit() for part in parts[1:]):
        file = f"IVec_splitItem_fold_1_gmm_{parts[1]}_tvDim_{parts[2]}.csv"
        return Path("Audio", "ivector features", file)
    if parts[0] == "blf" and len(parts) == 2 and parts[1] in _BLOCKS:
        file = f"BLF_{parts[1].upper()}feat.csv"
        return Path("Audio", "Block level features", "Component6", file)
    raise UserError(
        f"--mmtf-audio {kind}: must be ivector-GMM-DIMENSIONS, blf-NAME with NAME of "
        f"{', '.join(_BLOCKS)}, or none"
    )


def _read_links(folder: Path, kind: str, report: Report, encoding: str) -> dict[str, str]:
    """MovieLens id of each IMDb or TMDb number."""
    path = folder / "links.csv"
    if not path.is_file():
        raise UserError(
            f"{path}: no such file, and --feature-ids-are {kind} needs it; releases from 20M on "
            "have it"
        )
    layout = sniff(path, encoding=encoding)
    wanted = ["movieId", f"{kind}Id"]
    absent = next((name for name in wanted if name not in layout.names), None)
    if absent is not None:
        raise UserError(f"{path}: no column `{absent}`; it has {', '.join(layout.names)}")
    links: dict[str, str] = {}
    shared = 0
    for frame in chunks(layout, wanted, report):
        for movie, other in zip(*(as_tokens(frame[name]) for name in wanted), strict=True):
            if movie and other:
                shared += _number(other) in links
                links.setdefault(_number(other), movie)
    if shared:
        report.note(f"{path.name}: {shared} films share a {kind} id with another; the first counts")
    return links


def _with_movie_ids(table: FeatureTable, links: dict[str, str], kind: str) -> None:
    """Replace the ids of the rows by MovieLens ids; unknown ids get their kind as a prefix."""
    table.tokens = [
        links.get(_number(token), f"{kind}:{token}") if token else "" for token in table.tokens
    ]
    table.notes = {**table.notes, "ids": f"from {kind} by links.csv"}


def _number(token: str) -> str:
    """``tt0114709``, ``0114709`` and ``114709`` are the same film."""
    return token.removeprefix("tt").lstrip("0")


_SUMMARY = "GroupLens folders (100K to 32M) with MMTF-14K or other features"
COMMAND = source("movielens", (_SUMMARY, _DESCRIPTION, _EXAMPLE), _add_options, read)
