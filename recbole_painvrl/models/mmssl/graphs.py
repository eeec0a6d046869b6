"""Interaction graphs that MMSSL learns, one per modality, and how they are refreshed."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import scipy.sparse as sp
import torch
from torch import Tensor, nn

from recbole_painvrl.functional.propagation import GraphNorm, Propagation, interaction_matrices

# What a user's row of the graphs is: the training interactions, the nearest items, or nothing.
_INTERACTIONS, _NEAREST, _NOTHING = 0, 1, 2


class LearntGraphs(nn.Module):
    """G_r of every modality: which items belong to a user, refreshed from collected top-k items.

    All graphs start as the training interactions. Their rows and what has been collected since
    the last refresh are buffers, so that a saved model keeps them; the sparse matrices are built
    from these rows.

    Args:
        interactions: R, SciPy CSR, ``[n_users, n_items]``, entries 1.
        n_modalities: number of graphs.
        k: collected items per user.
        carry_over: whether a user who was not drawn since the last refresh keeps the row; else
            the row becomes empty.
        norm: scaling of the graphs.
        start: propagation from items to users and back over R, in use until the first refresh.
    """

    neighbours: Tensor
    kind: Tensor
    collected: Tensor
    collected_kind: Tensor

    def __init__(
        self,
        interactions: sp.csr_matrix,
        n_modalities: int,
        k: int,
        carry_over: bool,
        norm: GraphNorm,
        start: tuple[Propagation, Propagation],
    ) -> None:
        super().__init__()
        self.interactions, self.k, self.carry_over = interactions, k, carry_over
        self.norm: GraphNorm = norm
        n_users = interactions.shape[0]
        like: Any = start[0].matrix
        device = like.device
        rows = torch.zeros(n_modalities, n_users, k, dtype=torch.long, device=device)
        kind = torch.full((n_users,), _INTERACTIONS, dtype=torch.uint8, device=device)
        self.register_buffer("neighbours", rows)
        self.register_buffer("kind", kind)
        self.register_buffer("collected", rows.clone())
        self.register_buffer("collected_kind", self._next_kind())
        self._start = start
        self.to_users = nn.ModuleList([start[0]] * n_modalities)
        self.to_items = nn.ModuleList([start[1]] * n_modalities)
        self.register_load_state_dict_post_hook(_rebuild)  # type: ignore[no-untyped-call]

    def _next_kind(self) -> Tensor:
        """Rows as they will be at the next refresh if nothing is collected until then."""
        return self.kind.clone() if self.carry_over else torch.full_like(self.kind, _NOTHING)

    def collect(self, users: Tensor, nearest: list[Tensor]) -> None:
        """Note top-k items of users ``[B]``, ``[B, k]`` per modality; the newest note counts."""
        for rows, items in zip(self.collected, nearest, strict=True):
            rows[users] = items
        self.collected_kind[users] = _NEAREST

    def refresh(self) -> None:
        """Use what has been collected, and begin to collect anew."""
        self.neighbours.copy_(self.collected)
        self.kind.copy_(self.collected_kind)
        self.collected_kind.copy_(self._next_kind())
        self.build()

    def clear(self) -> None:
        """Empty every graph, as the released code does after its second step."""
        self.kind.fill_(_NOTHING)
        self.collected_kind.fill_(_NOTHING)
        self.build()

    def build(self) -> None:
        """Make the sparse matrices of the rows in use."""
        kind = self.kind.cpu().numpy()
        if not kind.any():
            pairs = [self._start] * len(self.neighbours)
        else:
            pairs = [
                self._propagations(self._matrix(kind, rows.cpu().numpy()))
                for rows in self.neighbours
            ]
        self.to_users = nn.ModuleList(to_users for to_users, _ in pairs)
        self.to_items = nn.ModuleList(to_items for _, to_items in pairs)

    def edges(self) -> list[int]:
        """Number of edges of every graph."""
        matrices: list[Any] = [graph.matrix for graph in self.to_users]
        return [matrix.values().numel() for matrix in matrices]

    def _matrix(self, kind: npt.NDArray[np.uint8], rows: npt.NDArray[np.int64]) -> sp.csr_matrix:
        kept = sp.diags((kind == _INTERACTIONS).astype(np.float32)) @ self.interactions
        own = kind == _NEAREST
        indptr = np.concatenate([[0], np.cumsum(own * self.k)])
        items = rows[own].ravel()
        ones = np.ones(len(items), dtype=np.float32)
        nearest = sp.csr_matrix((ones, items, indptr), shape=self.interactions.shape)
        matrix = (kept + nearest).tocsr()
        matrix.eliminate_zeros()
        return matrix

    def _propagations(self, matrix: sp.csr_matrix) -> tuple[Propagation, Propagation]:
        like: Any = self._start[0].matrix
        to_users, to_items = interaction_matrices(matrix, self.norm)
        return (
            Propagation(to_users).to(device=like.device, dtype=like.dtype),
            Propagation(to_items).to(device=like.device, dtype=like.dtype),
        )


def _rebuild(graphs: LearntGraphs, _: Any) -> None:
    graphs.build()
