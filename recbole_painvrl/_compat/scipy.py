"""SciPy 1.13 removed a private method by which RecBole's graph models fill their matrices."""

from __future__ import annotations

from typing import Any

from scipy.sparse import dok_matrix


def add_dok_update() -> None:
    """Add ``dok_matrix._update`` where it is absent, for LightGCN, NGCF, NCL, GCMC, SpectralCF.

    Unnecessary with a RecBole that builds its adjacency matrices by public methods.
    """
    if not hasattr(dok_matrix, "_update"):
        dok_matrix._update = _update


def _update(matrix: Any, entries: Any) -> None:
    matrix._dict.update(entries)
