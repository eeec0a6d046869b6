"""Synthetic data of which the correct mask and environments are known.

Tastes p_u, contents c_i and styles s_i are N(0, I). In environment e user u draws items by Gumbel
top-n on 2 <p_u, c_i> / sqrt(k) + gamma_e <q_u, s_i> / sqrt(k): users prefer the same contents in
both environments, but prefer their styles in the majority environment (gamma) and avoid them in
the minority one (-gamma). Columns of the features are mixtures of contents (invariant) or of
styles (spurious).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
import pandas as pd

from recbole_painvrl.data.folder import BoolArray, DatasetContent, FloatArray, IntArray, Truth
from recbole_painvrl.data.splits.base import SPLITS
from recbole_painvrl.errors import UserError
from recbole_painvrl.seeds import derive_seed

# Indices into SPLITS.
TRAIN, OOD_VALID, OOD = 0, 3, 4
_FRACTIONS = (0.8, 0.1, 0.1)
# Number of scores in a block of users, which limits the memory.
_BLOCK_CELLS = 1 << 22
# Largest parameter: features above 1e6 are refused by every run.
_LARGEST = 1e5


@dataclass(frozen=True)
class PlantedDesign:
    """Parameters of the synthetic data; the defaults are those of the figures in docs/.

    ``majority`` is the fraction of the IID interactions that are from the majority environment,
    ``gamma`` the influence of style there, ``spurious_personal`` the personal fraction of the taste
    for styles, ``n_ood`` the number of draws per user from the minority environment for the OOD
    splits.
    """

    n_users: int = 2000
    n_items: int = 1500
    min_interactions: int = 30
    max_interactions: int = 40
    n_factors: int = 8
    gamma: float = 2.0
    majority: float = 0.8
    modalities: Mapping[str, int] = field(default_factory=lambda: {"visual": 64, "acoustic": 32})
    noise: float = 0.3
    spurious_personal: float = 0.3
    n_ood: int = 8
    seed: int = 0

    def __post_init__(self) -> None:
        """Raise :class:`UserError` if the parameters are impossible."""
        if self.n_users < 1 or not 1 <= self.min_interactions <= self.max_interactions:
            raise UserError(
                f"planted data: {self.n_users} users with {self.min_interactions} to "
                f"{self.max_interactions} interactions; give at least 1 user and 1 <= min <= max"
            )
        if self.n_factors < 1 or not 0 <= self.majority <= 1 or self.n_ood < 0:
            raise UserError(
                f"planted data: {self.n_factors} factors, majority fraction {self.majority}, "
                f"{self.n_ood} OOD draws; give factors >= 1, 0 <= fraction <= 1 and draws >= 0"
            )
        for name in ("gamma", "noise", "spurious_personal"):
            if not abs(getattr(self, name)) <= _LARGEST:
                raise UserError(
                    f"planted data: {name} is {getattr(self, name)}; give a number of at most "
                    f"{_LARGEST:g}"
                )
        for modality, width in self.modalities.items():
            if width < 2:
                raise UserError(
                    f"planted data: modality {modality} has {width} columns; give at least 2, half "
                    "of them are invariant"
                )
        needed = self.max_interactions + self.n_ood
        if self.n_items < needed:
            raise UserError(
                f"planted data: {self.n_items} items cannot give a user {needed} different ones; "
                f"give at least {needed} items or fewer interactions"
            )


@dataclass(frozen=True)
class _World:
    """Latent vectors: tastes [U, k], style tastes [U, k], contents [I, k], styles [I, k]."""

    tastes: FloatArray
    style_tastes: FloatArray
    contents: FloatArray
    styles: FloatArray


def numpy_generator(seed: int, purpose: str) -> np.random.Generator:
    """Generator of one purpose, independent of draws for other purposes."""
    return np.random.default_rng(derive_seed(seed, purpose))


def generate_planted(design: PlantedDesign, name: str = "planted") -> DatasetContent:
    """Draw the whole dataset; the same design gives the same bytes.

    Items without an interaction have no features, since a recommender that reads the interaction
    files does not know them. *Deviations*: none from the documented design.
    """
    world = _draw_world(design)
    draws = np.concatenate(list(_draw_blocks(design, world)))
    draws = draws[np.lexsort((draws[:, 1], draws[:, 0]))]
    users, items, environment, split = draws.T.copy()
    mixture = np.flatnonzero(split == TRAIN)
    split[mixture] = random_split(
        len(mixture), _FRACTIONS, [users[mixture]], numpy_generator(design.seed, "planted split")
    )
    frame = pd.DataFrame({"user_id": _tokens("u", users), "item_id": _tokens("i", items)})
    seen = np.unique(items)
    matrices, columns = _features(design, world)
    tokens = _tokens("i", seen).tolist()
    labels = np.where(environment == 0, "0", "1").astype(object)
    splits = split_frames(frame, split)
    return DatasetContent(
        name=name,
        edition="planted",
        source="synthetic data made by `python -m dataset_prep planted`",
        licence="made by this program; no third-party data",
        interactions=frame,
        splits=splits,
        features={modality: (matrix[seen], tokens) for modality, matrix in matrices.items()},
        truth=Truth(columns, frame.iloc[mixture].assign(environment=labels[mixture])),
        default_protocol="files",
        counts={
            "users": design.n_users,
            "items": design.n_items,
            "items never drawn": design.n_items - len(seen),
            "majority interactions": int((environment[mixture] == 0).sum()),
            "minority interactions": int((environment[mixture] == 1).sum()),
            **{name: len(frame) for name, frame in splits.items()},
        },
        encoders=dict.fromkeys(matrices, f"planted, seed {design.seed}"),
    )


def mixture_columns(
    invariant: FloatArray,
    spurious: FloatArray,
    n_columns: int,
    noise: float,
    rng: np.random.Generator,
) -> tuple[npt.NDArray[np.float32], BoolArray]:
    """Random mixtures of two sets of factors [n, k], half of the columns each, interleaved.

    Returns the matrix [n, n_columns] and, per column, whether it is invariant.
    """
    n_invariant = n_columns // 2
    halves = [
        factors @ rng.standard_normal((factors.shape[1], width)) / np.sqrt(factors.shape[1])
        for factors, width in ((invariant, n_invariant), (spurious, n_columns - n_invariant))
    ]
    matrix = np.concatenate(halves, axis=1)
    matrix += noise * rng.standard_normal(matrix.shape)
    order = rng.permutation(n_columns)
    return matrix[:, order].astype(np.float32), order < n_invariant


def random_split(
    n_rows: int, fractions: Sequence[float], keep: Sequence[IntArray], rng: np.random.Generator
) -> IntArray:
    """Split index of each row, by a random order cut at the fractions; split 0 is training.

    ``keep`` holds one id array [n_rows] per field: for every id without a row in split 0, one of
    its rows is moved there, so the other splits can be slightly smaller than their fraction.
    """
    order = rng.permutation(n_rows)
    cuts = np.rint(np.cumsum(fractions)[:-1] * n_rows).astype(np.intp)
    split = np.empty(n_rows, dtype=np.intp)
    for index, rows in enumerate(np.split(order, cuts)):
        split[rows] = index
    for ids in keep:
        untrained = ~np.isin(ids, ids[split == 0])
        candidates = order[untrained[order]]
        _, first = np.unique(ids[candidates], return_index=True)
        split[candidates[first]] = 0
    return split


def split_frames(frame: pd.DataFrame, split: IntArray) -> dict[str, pd.DataFrame]:
    """Rows of each split that is not empty, in the order of the frame."""
    return {
        name: frame[split == index].reset_index(drop=True)
        for index, name in enumerate(SPLITS)
        if (split == index).any()
    }


def _draw_world(design: PlantedDesign) -> _World:
    rng = numpy_generator(design.seed, "planted world")
    shape_u, shape_i = (design.n_users, design.n_factors), (design.n_items, design.n_factors)
    tastes, contents, styles = (
        rng.standard_normal(shape_u),
        rng.standard_normal(shape_i),
        rng.standard_normal(shape_i),
    )
    shared = rng.standard_normal(design.n_factors)
    personal = design.spurious_personal * rng.standard_normal(shape_u)
    return _World(tastes, shared + personal, contents, styles)


def _features(
    design: PlantedDesign, world: _World
) -> tuple[dict[str, npt.NDArray[np.float32]], dict[str, BoolArray]]:
    matrices, columns = {}, {}
    for modality, width in design.modalities.items():
        rng = numpy_generator(design.seed, f"planted features {modality}")
        matrices[modality], columns[modality] = mixture_columns(
            world.contents, world.styles, width, design.noise, rng
        )
    return matrices, columns


def _draw_blocks(design: PlantedDesign, world: _World) -> Iterator[IntArray]:
    """Yield [n, 4] arrays (user, item, environment, split) for one block of users at a time."""
    counts = numpy_generator(design.seed, "planted counts")
    n = counts.integers(design.min_interactions, design.max_interactions + 1, design.n_users)
    n_majority = counts.binomial(n, design.majority)
    gumbel = [numpy_generator(design.seed, f"planted draws {e}") for e in (0, 1)]
    shuffle = numpy_generator(design.seed, "planted shuffle")
    size = max(1, _BLOCK_CELLS // design.n_items)
    scale = np.sqrt(design.n_factors)
    for start in range(0, design.n_users, size):
        rows = slice(start, min(start + size, design.n_users))
        users = np.arange(rows.start, rows.stop)
        content = 2 * world.tastes[rows] @ world.contents.T / scale
        style = design.gamma * world.style_tastes[rows] @ world.styles.T / scale
        major = _top(content + style + gumbel[0].gumbel(size=content.shape), n_majority[rows])
        minor_scores = content - style + gumbel[1].gumbel(size=content.shape)
        minor_scores[major[0], major[1]] = -np.inf
        n_minority = (n - n_majority)[rows]
        minor = _top(minor_scores, n_minority + design.n_ood)
        split = _exchangeable_splits(minor[0], n_minority, design.n_ood, shuffle)
        zeros = np.zeros_like(major[0])
        yield np.stack([users[major[0]], major[1], zeros, zeros], axis=1)
        yield np.stack([users[minor[0]], minor[1], np.ones_like(minor[0]), split], axis=1)


def _top(scores: FloatArray, counts: IntArray) -> tuple[IntArray, IntArray]:
    """Flat (row, column) of the ``counts[row]`` largest scores of each row [b, n]."""
    largest = int(counts.max())
    if largest == 0:
        return np.zeros(0, dtype=np.intp), np.zeros(0, dtype=np.intp)
    best = np.argpartition(scores, -largest, axis=1)[:, -largest:]
    order = np.argsort(-np.take_along_axis(scores, best, axis=1), axis=1)
    best = np.take_along_axis(best, order, axis=1)
    rows, ranks = np.nonzero(np.arange(largest) < counts[:, None])
    return rows, best[rows, ranks]


def _exchangeable_splits(
    rows: IntArray, n_mixture: IntArray, n_ood: int, rng: np.random.Generator
) -> IntArray:
    """Split of each minority draw, by a random order within its row: mixture, OOD valid, OOD."""
    order = np.lexsort((rng.random(len(rows)), rows))
    first = np.searchsorted(rows, np.arange(len(n_mixture)))
    rank = np.empty(len(rows), dtype=np.intp)
    rank[order] = np.arange(len(rows)) - first[rows]
    beyond = rank - n_mixture[rows]
    return np.where(beyond < 0, TRAIN, np.where(beyond < n_ood // 4, OOD_VALID, OOD))


def _tokens(prefix: str, indices: IntArray) -> npt.NDArray[np.object_]:
    return np.char.add(prefix, indices.astype(str)).astype(object)
