"""Which file of a dataset's folder is which split, for the protocol ``files``."""

from __future__ import annotations

from pathlib import Path

from recbole_painvrl.data.parts import OOD, PARTS, TEST, TRAIN, VALID
from recbole_painvrl.errors import UserError


def split_files(folder: Path, dataset: str) -> dict[str, str]:
    """Split -> suffix of its file; the IID test may be called ``test`` or ``iid``.

    Raises:
        UserError: there is no training file or no test file.
    """
    found = {
        path.name[len(dataset) + 1 : -len(".inter")] for path in folder.glob(f"{dataset}.*.inter")
    }
    names = {split: split for split in PARTS if split in found}
    if TEST not in names and "iid" in found:
        names[TEST] = "iid"
    if TRAIN not in names or not ({TEST, OOD} & set(names)):
        raise UserError(
            f"{folder}: protocol `files` needs {dataset}.train.inter and {dataset}.test.inter, "
            f"found splits {sorted(found) or 'none'}; add them or choose `--protocol=random`"
        )
    return names


def benchmark_files(given: list[str], protocol: str | None) -> dict[str, str]:
    """The same by RecBole's ``benchmark_filename``, whose order says which split is which.

    Args:
        given: suffixes of the files.
        protocol: what the user set, None for nothing.

    Raises:
        UserError: another protocol is set, or the files are neither two nor three.
    """
    if protocol not in (None, "files"):
        raise UserError(
            f"`benchmark_filename`: found {given} with protocol `{protocol}`, which makes its own "
            "split; leave one of the two out"
        )
    if len(given) not in (2, 3) or len(set(given)) < len(given):
        raise UserError(
            f"`benchmark_filename`: found {given}, expected the files of training, validation and "
            "test, or of training and test alone, such as [train, valid, test]"
        )
    return dict(zip((TRAIN, VALID, TEST) if given[2:] else (TRAIN, TEST), given, strict=True))
