"""MMTF-14K trailer features in the folders and CSV files of their release."""

from __future__ import annotations

import argparse
from pathlib import Path

from dataset_prep.read.features import read_features
from dataset_prep.read.ids import IdSource
from dataset_prep.read.matrices import FeatureTable
from dataset_prep.report import Report
from recbole_painvrl.errors import UserError

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
    for name, kind, place in (
        ("visual", arguments.mmtf_visual, _visual_path(arguments.mmtf_visual)),
        ("acoustic", arguments.mmtf_audio, _audio_path(arguments.mmtf_audio)),
    ):
        if place is None:
            continue
        path = arguments.mmtf / place
        if not path.is_file():
            raise UserError(
                f"{path}: no such file; give the unpacked MMTF-14K folder, or another "
                f"--mmtf-{'audio' if name == 'acoustic' else name}"
            )
        # Every file of the release has a header whose first column is the film.
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
