"""Features for MovieLens: the MMTF-14K release, and ids of IMDb and TMDb by ``links.csv``."""

from __future__ import annotations

import argparse
from pathlib import Path

from dataset_prep.interactions import as_tokens
from dataset_prep.read.features import read_features
from dataset_prep.read.ids import IdSource
from dataset_prep.read.matrices import FeatureTable
from dataset_prep.read.tables import chunks, sniff
from dataset_prep.report import Report
from recbole_painvrl.errors import UserError

ID_KINDS = ("movielens", "imdb", "tmdb")
_AGGREGATES = {"avg": "Avg", "avgvar": "AvgVar", "med": "Med", "medmad": "MedMad"}
_BLOCKS = (
    "correlation",
    "deltaspectral",
    "logarithmicfluctuation",
    "spectralcontrast",
    "spectral",
    "variancedeltaspectral",
)


def add_mmtf_options(parser: argparse.ArgumentParser) -> None:
    """Options of the MMTF-14K release."""
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


def mmtf_features(
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


def read_links(folder: Path, kind: str, report: Report, encoding: str) -> dict[str, str]:
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


def with_movie_ids(table: FeatureTable, links: dict[str, str], kind: str) -> None:
    """Replace the ids of the rows by MovieLens ids; unknown ids get their kind as a prefix."""
    table.tokens = [
        links.get(_number(token), f"{kind}:{token}") if token else "" for token in table.tokens
    ]
    table.notes = {**table.notes, "ids": f"from {kind} by links.csv"}


def _number(token: str) -> str:
    """``tt0114709``, ``0114709`` and ``114709`` are the same film."""
    return token.removeprefix("tt").lstrip("0")
