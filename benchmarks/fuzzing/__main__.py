"""Damages files of every kind and reads them: each must be loaded correctly or refused by name.

    python -m benchmarks.fuzzing --inputs 100000
    python -m benchmarks.fuzzing --inputs 2000 --seed 7 --readers checkpoint features

The same seed gives the same files. The smallest file that makes a reader fail is kept in --keep.
The exit code is 1 if one failed: an error other than a refusal, a hang, too much memory, wrong
content loaded, or code in a file that ran.
"""

from __future__ import annotations

import logging
import os
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from benchmarks.common import command_line, print_table
from benchmarks.fuzzing.attack import attack
from benchmarks.fuzzing.own_files import own_readers
from benchmarks.fuzzing.sources import source_readers


def main() -> int:
    """Attack the readers and print a row for each; returns the exit code."""
    parser = command_line(__doc__)
    parser.add_argument("--inputs", type=int, default=2000, help="total over the readers")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--readers", nargs="+", default=None, help="names; default: all")
    parser.add_argument("--keep", type=Path, default=Path("runs/fuzzing"))
    given = parser.parse_args()
    keep, failures = given.keep.resolve(), []
    logging.getLogger().setLevel(logging.CRITICAL)
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        readers = [*own_readers(Path(folder) / "own"), *source_readers(Path(folder) / "sources")]
        names = [reader.name for reader in readers]
        if unknown := set(given.readers or []) - set(names):
            parser.error(f"--readers: found {', '.join(unknown)}, expected of {', '.join(names)}")
        chosen = [one for one in readers if not given.readers or one.name in given.readers]
        total = sum(reader.weight for reader in chosen)

        def rows() -> Iterator[tuple[object, ...]]:
            for reader in chosen:
                inputs = max(1, round(given.inputs * reader.weight / total))
                try:
                    counts = attack(reader, inputs, given.seed, keep)
                except AssertionError as error:
                    failures.append(str(error))
                else:
                    yield reader.name, counts.total(), counts["loaded"], counts["refused"]

        print_table(("reader", "inputs", "loaded", "refused"), rows())
        os.chdir(keep.anchor)
    print(f"\n{len(failures)} failures", *failures, sep="\n")
    return int(bool(failures))


if __name__ == "__main__":
    sys.exit(main())
