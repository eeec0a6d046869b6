"""Source ``planted``: fully synthetic data whose true mask and environments are known."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from dataclasses import fields

from dataset_prep.options import Command, add_output_options, output_folder, use_of
from recbole_painvrl.data.folder import write_dataset
from recbole_painvrl.data.planted import PlantedDesign, generate_planted
from recbole_painvrl.errors import UserError

_DEFAULT = PlantedDesign()
_DESCRIPTION = """Draw a synthetic dataset: users like an item's content everywhere, prefer its
style in the majority environment and avoid it in the minority one. Half of the
feature columns show the content (invariant), half the style (spurious); the
folder records which."""
_EXAMPLE = """examples:
  python -m dataset_prep planted --output dataset/planted-small --users 500 --items 400
  python -m dataset_prep planted --output dataset/planted-av --modality audio=32 --modality video=64
  python -m dataset_prep planted --output dataset/planted-big --users 100000 --items 20000 --dry-run
"""

_OPTIONS: tuple[tuple[str, str, type, str], ...] = (
    ("--users", "n_users", int, "number of users"),
    ("--items", "n_items", int, "number of items"),
    ("--min-interactions", "min_interactions", int, "fewest interactions of a user"),
    ("--max-interactions", "max_interactions", int, "most interactions of a user"),
    ("--majority", "majority", float, "fraction drawn in the majority environment"),
    ("--gamma", "gamma", float, "weight of style: +gamma in the majority, -gamma elsewhere"),
    ("--factors", "n_factors", int, "number of content factors and of style factors"),
    ("--personal", "spurious_personal", float, "personal component of the preference for styles"),
    ("--noise", "noise", float, "noise on the feature columns"),
    ("--ood", "n_ood", int, "extra minority draws per user for the OOD test"),
    ("--seed", "seed", int, "seed of everything that is drawn"),
)


def add_options(parser: argparse.ArgumentParser) -> None:
    """The output folder and the parameters of the design."""
    text = "new folder; its last component names the dataset"
    add_output_options(parser, text, "print the counts, write nothing")
    for option, name, kind, text in _OPTIONS:
        default = getattr(_DEFAULT, name)
        parser.add_argument(
            option,
            dest=name,
            type=kind,
            default=default,
            metavar="N" if kind is int else "X",
            help=f"{text} (default {default})",
        )
    parser.add_argument(
        "--modality",
        dest="modalities",
        metavar="NAME=COLUMNS",
        action="append",
        type=_modality,
        help=f"a modality and its width, once per modality (default {_show(_DEFAULT.modalities)})",
    )


def run(arguments: argparse.Namespace) -> int:
    """Draw the data, print its counts and write the folder unless it is a dry run."""
    chosen = {field.name: getattr(arguments, field.name) for field in fields(PlantedDesign)}
    modalities = dict(arguments.modalities or _DEFAULT.modalities)
    if arguments.modalities and len(modalities) < len(arguments.modalities):
        raise UserError(f"--modality: a name is given twice ({_show(modalities)} remain)")
    design = PlantedDesign(**(chosen | {"modalities": modalities}))
    folder = output_folder(arguments)
    content = generate_planted(design, name=folder.name)
    for what, count in content.counts.items():
        print(f"{what:>24}  {count}")
    if arguments.dry_run:
        print("dry run: nothing was written")
    else:
        write_dataset(content, folder, replace=arguments.force)
        print(f"written to {arguments.output}; try {use_of(arguments.output)}")
    return 0


def _modality(text: str) -> tuple[str, int]:
    name, _, width = text.partition("=")
    if not name or not width.isdigit():
        raise argparse.ArgumentTypeError(f"{text!r} is not NAME=COLUMNS, as in visual=64")
    return name, int(width)


def _show(modalities: Mapping[str, int]) -> str:
    return " ".join(f"{name}={width}" for name, width in modalities.items())


_SUMMARY = "fully synthetic data of any size with known mask and environments"
COMMAND = Command("planted", _SUMMARY, _DESCRIPTION, _EXAMPLE, add_options, run)
