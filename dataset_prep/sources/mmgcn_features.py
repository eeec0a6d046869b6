"""Feature files of the MMGCN family: plain or PyTorch matrices, and TikTok's word bags."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import scipy.sparse as sp

from dataset_prep.read.features import read_tensor
from dataset_prep.read.matrices import ArrayMatrix, FeatureTable, RowMatrix, open_matrix
from dataset_prep.report import Report
from dataset_prep.sources.common import check_rows
from recbole_painvrl.errors import UserError

_STEMS = {
    "visual": ("FeatureVideo", "feat_v", "v_feat", "visual_feat"),
    "acoustic": ("FeatureAudio", "feat_a", "a_feat", "audio_feat"),
    "textual": ("FeatureText", "feat_t", "t_feat", "text_feat"),
}
# A table has a place for every number up to the largest.
_LARGEST_NUMBER = 10**7
_BAG_WIDTH = 128


def read_mmgcn_features(
    folder: Path, n_items: int, report: Report
) -> tuple[list[FeatureTable], list[Path]]:
    """One table per modality that the folder has, and the files."""
    tables, files = [], []
    for name, stems in _STEMS.items():
        candidates = sorted(
            path
            for path in folder.iterdir()
            if path.suffix in (".npy", ".pt") and path.name.startswith(stems)
        )
        if not candidates:
            report.note(f"{folder.name}: no features for modality {name}")
            continue
        path = candidates[0]
        if len(candidates) > 1:
            others = ", ".join(other.name for other in candidates[1:])
            report.note(f"{name}: {path.name} is taken; move it away to take {others}")
        matrix, encoder = _open(path, n_items)
        check_rows(path, matrix, n_items)
        tokens = [str(row) for row in range(matrix.shape[0])]
        tables.append(FeatureTable(name, path.name, tokens, matrix, encoder=encoder))
        files.append(path)
    return tables, files


def _open(path: Path, n_items: int) -> tuple[RowMatrix, str]:
    if path.suffix == ".npy":
        matrix = open_matrix(path)
        if matrix.shape[0] != 2 or matrix.dtype.kind not in "iu":
            return matrix, "not recorded"
        array = np.asarray(matrix.read(0, 2))
    else:
        array = read_tensor(path)
    if array.ndim == 2 and array.shape[0] == 2 and array.dtype.kind in "iu":
        if array.size == 0 or int(array.min()) < 0 or int(array.max()) > _LARGEST_NUMBER:
            raise UserError(
                f"{path}: as a bag of words it must hold numbers of items and words from 0 to "
                f"{_LARGEST_NUMBER}; copy it again"
            )
        width = min(_BAG_WIDTH, n_items - 1, int(array[1].max()))
        bag = word_bag(array, n_items, width)
        return ArrayMatrix(bag), f"TF-IDF of word numbers, SVD to {bag.shape[1]} columns"
    if array.ndim != 2:
        raise UserError(f"{path}: has shape {array.shape}; give one row per item")
    return ArrayMatrix(array), "not recorded"


def word_bag(
    pairs: npt.NDArray[np.integer[Any]], n_items: int, width: int
) -> npt.NDArray[np.float32]:
    """Dense rows [n_items, width] of a word bag given as (item row, word) columns [2, n].

    *Deviation* from MMGCN, which learns a vector per word: here TF-IDF and an SVD stand in, so
    that every model gets the same features.
    """
    if int(pairs[0].max()) >= n_items:
        n_items = int(pairs[0].max()) + 1
    counts = sp.csr_matrix((np.ones(pairs.shape[1]), (pairs[0], pairs[1])))
    counts.resize(n_items, counts.shape[1])
    # Imported here: scikit-learn takes a second to load, and every other source does without.
    from sklearn.decomposition import TruncatedSVD
    from sklearn.feature_extraction.text import TfidfTransformer

    weights = TfidfTransformer().fit_transform(counts)
    dense = TruncatedSVD(max(1, width), random_state=0).fit_transform(weights)
    return np.asarray(dense, dtype=np.float32)
