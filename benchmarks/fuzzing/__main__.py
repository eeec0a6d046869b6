"""Damages files of every kind and reads them: each is loaded correctly or refused by name.

    python -m benchmarks.fuzzing --inputs 100000
    python -m benchmarks.fuzzing --inputs 2000 --seed 7 --readers checkpoint features

Input N of a seed is the same file every time. What fails is kept below --keep. Exit code 1 if
anything failed: another error than a refusal, a hang, too much memory, wrong content loaded, or
code in a file that ran.
"""

from __future__ import annotations

import argparse
import logging
import os
import sys
import tempfile
from pathlib import Path

from benchmarks.fuzzing.campaign import Outcome, Reader, campaign
from benchmarks.fuzzing.own_files import own_readers
from benchmarks.fuzzing.sources import source_readers

_EVERY = 5000


def main() -> int:
    """Run the campaign and print a table; returns the exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.fuzzing",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--inputs", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--readers", nargs="+", default=None, help="names; default: all")
    parser.add_argument("--keep", type=Path, default=Path("runs/fuzzing"))
    arguments = parser.parse_args()
    keep = arguments.keep.resolve()
    logging.getLogger().setLevel(logging.CRITICAL)
    with tempfile.TemporaryDirectory() as folder:
        # A file that runs code would leave a file called HARM where we stand.
        os.chdir(folder)
        readers = chosen_readers(Path(folder), arguments.readers)
        outcome = campaign(readers, arguments.inputs, arguments.seed, keep, _progress)
        os.chdir(keep.anchor)
    print_table(readers, outcome)
    return 1 if outcome.failures else 0


def chosen_readers(root: Path, names: list[str] | None = None) -> list[Reader]:
    """Samples below ``root`` and their readers, or those of some names."""
    readers = [*own_readers(root / "own"), *source_readers(root / "sources")]
    if names is None:
        return readers
    unknown = sorted(set(names) - {reader.name for reader in readers})
    if unknown:
        known = ", ".join(reader.name for reader in readers)
        raise SystemExit(f"error: no reader {unknown[0]!r}; there are {known}")
    return [reader for reader in readers if reader.name in names]


def print_table(readers: list[Reader], outcome: Outcome) -> None:
    """Markdown: inputs, loaded and refused per reader; then the failures."""
    print("| reader | inputs | loaded | refused |\n|---|---|---|---|")
    for reader in readers:
        loaded, refused = (outcome.counts[reader.name, kind] for kind in ("loaded", "refused"))
        print(f"| {reader.name} | {loaded + refused} | {loaded} | {refused} |")
    print(f"\n{outcome.inputs} inputs, {len(outcome.failures)} failures, {outcome.seconds:.0f} s")
    for line in outcome.failures[:100]:
        print(line)


def _progress(outcome: Outcome) -> None:
    if outcome.inputs % _EVERY == 0:
        print(
            f"{outcome.inputs} inputs, {len(outcome.failures)} failures, {outcome.seconds:.0f} s",
            file=sys.stderr,
            flush=True,
        )


if __name__ == "__main__":
    sys.exit(main())
