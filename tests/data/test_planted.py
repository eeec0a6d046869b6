"""Planted data: the truth it records is the truth it was drawn from."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score

from recbole_painvrl.data.features import aligned_features
from recbole_painvrl.data.folder import DatasetContent, dataset_hash, read_truth, write_dataset
from recbole_painvrl.data.planted import PlantedDesign, generate_planted
from recbole_painvrl.data.planted import synthetic as planted_module
from recbole_painvrl.data.planted.embedded import EDITION, generate_embedded
from recbole_painvrl.data.planted.synthetic import random_split
from recbole_painvrl.errors import UserError

SMALL = PlantedDesign(n_users=400, n_items=300, seed=1)
PAIR = ["user_id", "item_id"]
Floats = npt.NDArray[np.float64]


@pytest.fixture(scope="module")
def planted() -> DatasetContent:
    return generate_planted(SMALL)


@pytest.fixture(scope="module")
def embedded() -> DatasetContent:
    return generate_embedded()


def rows_of(content: DatasetContent, frame: pd.DataFrame, invariant: bool) -> Floats:
    """Invariant or spurious columns of all planted modalities for the items of the frame."""
    parts = []
    for modality, mask in content.truth.columns.items():
        matrix, tokens = content.features[modality]
        index = pd.Index(tokens).get_indexer(pd.Index(frame["item_id"]))
        assert (index >= 0).all(), "every item has a row"
        parts.append(matrix[index][:, mask == invariant])
    return np.concatenate(parts, axis=1, dtype=np.float64)


def environment_auc(content: DatasetContent, invariant: bool) -> float:
    """How well a linear classifier of user-centred rows tells environments on items it never saw.

    Held-out items matter: few items have an extreme style, and by chance their contents differ.
    """
    truth = content.truth.environments
    rows = pd.DataFrame(rows_of(content, truth, invariant))
    values = np.asarray(rows - rows.groupby(truth["user_id"].to_numpy()).transform("mean"))
    label = (truth["environment"] == "1").to_numpy()
    held_out = (pd.factorize(truth["item_id"], sort=True)[0] % 2).astype(bool)
    model = LogisticRegression(max_iter=500).fit(values[~held_out], label[~held_out])
    return float(roc_auc_score(label[held_out], model.decision_function(values[held_out])))


def check_splits(content: DatasetContent) -> None:
    together = pd.concat(content.splits.values())
    assert not together[PAIR].duplicated().any(), "no pair is in two splits or twice in one"
    assert set(map(tuple, together[PAIR].to_numpy())) == set(
        map(tuple, content.interactions[PAIR].to_numpy())
    )
    assert set(together["user_id"]) == set(content.splits["train"]["user_id"])
    mixture = pd.concat([content.splits[name] for name in ("train", "valid", "test")])
    assert set(map(tuple, content.truth.environments[PAIR].to_numpy())) == set(
        map(tuple, mixture[PAIR].to_numpy())
    )


def test_splits_and_sizes(planted: DatasetContent) -> None:
    check_splits(planted)
    sizes = planted.splits["ood_valid"].groupby("user_id").size()
    assert (sizes == 2).all() and len(sizes) == SMALL.n_users
    sizes = planted.splits["ood"].groupby("user_id").size()
    assert (sizes == 6).all() and len(sizes) == SMALL.n_users
    per_user = planted.truth.environments.groupby("user_id").size()
    assert per_user.min() == 30 and per_user.max() == 40
    shares = [len(planted.splits[name]) / per_user.sum() for name in ("train", "valid", "test")]
    np.testing.assert_allclose(shares, [0.8, 0.1, 0.1], atol=2e-3)


def test_environments_are_80_to_20_and_equal_in_every_split(planted: DatasetContent) -> None:
    truth = planted.truth.environments.set_index(PAIR)["environment"]
    for name in ("train", "valid", "test"):
        frame = planted.splits[name]
        share = (truth.loc[list(map(tuple, frame[PAIR].to_numpy()))] == "0").mean()
        assert abs(share - 0.8) < 4 * np.sqrt(0.8 * 0.2 / len(frame)), name


def test_half_of_the_columns_are_invariant_and_interleaved(planted: DatasetContent) -> None:
    widths = {name: len(mask) for name, mask in planted.truth.columns.items()}
    assert widths == {"visual": 64, "acoustic": 32}
    for mask in planted.truth.columns.values():
        assert mask.mean() == 0.5
        assert np.diff(mask.astype(int)).astype(bool).sum() > len(mask) / 4


def test_only_spurious_columns_tell_the_environments_apart(planted: DatasetContent) -> None:
    spurious, invariant = environment_auc(planted, False), environment_auc(planted, True)
    assert spurious > 0.85
    assert abs(invariant - 0.5) < 0.1


def test_taste_holds_out_of_distribution_and_style_flips(planted: DatasetContent) -> None:
    """Mean row of a user's train items against that of the user's OOD items, across users."""
    train, ood = planted.splits["train"], planted.splits["ood"]
    items = pd.DataFrame({"item_id": planted.features["visual"][1]})
    agreement = {}
    for invariant in (True, False):
        means = []
        for frame in (train, ood):
            values = pd.DataFrame(rows_of(planted, frame, invariant))
            means.append(values.groupby(frame["user_id"].to_numpy()).mean().to_numpy())
        catalogue = rows_of(planted, items, invariant).mean(axis=0)
        here, there = means[0] - catalogue, means[1] - catalogue
        agreement[invariant] = np.mean(
            (here * there).sum(1) / np.linalg.norm(here, axis=1) / np.linalg.norm(there, axis=1)
        )
    assert agreement[True] > 0.4
    assert agreement[False] < -0.3


def test_ood_rows_are_exchangeable_with_the_minority_mixture() -> None:
    """A cut by rank instead of by a random order would leave the better draws in the mixture."""
    content = generate_planted(PlantedDesign(n_users=1500, n_items=300, seed=2))
    truth = content.truth.environments
    minority = truth[truth["environment"] == "1"]
    majority = truth[truth["environment"] == "0"]
    ood = pd.concat([content.splits["ood_valid"], content.splits["ood"]])
    values = [rows_of(content, frame, False) for frame in (minority, majority, ood)]
    direction = values[0].mean(axis=0) - values[1].mean(axis=0)
    score = [pd.Series(v @ direction) for v in values]
    mixture = score[0].groupby(minority["user_id"].to_numpy()).mean()
    held_out = score[2].groupby(ood["user_id"].to_numpy()).mean()
    difference = (mixture - held_out).dropna()
    assert len(difference) > 1400
    assert abs(difference.mean()) < 4 * difference.std() / np.sqrt(len(difference))


@pytest.mark.parametrize(("majority", "sign"), [(1, 1), (0, -1)])
def test_first_draw_follows_the_softmax_of_the_scores(majority: int, sign: int) -> None:
    """Gumbel top-1 is a draw from softmax(2 <p, c> / sqrt(8) + gamma_e <q_u, s> / sqrt(8))."""
    design = PlantedDesign(20000, 25, 1, 1, majority=majority, n_ood=0)
    world = planted_module._draw_world(design)
    content = world.tastes @ world.contents.T
    style = world.style_tastes @ world.styles.T
    scores = np.exp((2 * content + sign * 2.0 * style) / np.sqrt(8))
    expected = (scores / scores.sum(axis=1, keepdims=True)).sum(axis=0)
    drawn = generate_planted(design).interactions["item_id"].str[1:].astype(int)
    found = np.bincount(drawn, minlength=25)
    # 25 cells: a chi-square above 60 has a chance below 1e-4.
    assert ((found - expected) ** 2 / expected).sum() < 60


def test_same_seed_same_bytes_other_seed_other_bytes(tmp_path: Path) -> None:
    hashes = []
    for number, seed in enumerate((3, 3, 4)):
        folder = tmp_path / str(number)
        write_dataset(generate_planted(PlantedDesign(100, 80, seed=seed)), folder)
        hashes.append((dataset_hash(folder), (folder / "manifest.json").read_bytes()))
    assert hashes[0] == hashes[1]
    assert hashes[0][0] != hashes[2][0]


def test_the_block_size_changes_nothing(
    planted: DatasetContent, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(planted_module, "_BLOCK_CELLS", 300 * 7)
    again = generate_planted(SMALL)
    pd.testing.assert_frame_equal(again.interactions, planted.interactions)
    pd.testing.assert_frame_equal(again.splits["ood"], planted.splits["ood"])


def test_other_modalities_leave_the_interactions_alone(planted: DatasetContent) -> None:
    other = PlantedDesign(n_users=400, n_items=300, seed=1, modalities={"text": 5})
    content = generate_planted(other)
    pd.testing.assert_frame_equal(content.interactions, planted.interactions)
    assert content.truth.columns["text"].sum() == 2


def test_written_and_read_back(tmp_path: Path, planted: DatasetContent) -> None:
    write_dataset(planted, tmp_path / "planted")
    truth = read_truth(tmp_path / "planted")
    for modality, mask in planted.truth.columns.items():
        np.testing.assert_array_equal(truth.columns[modality], mask)
        tokens = planted.features[modality][1]
        ids = {token: number for number, token in enumerate(tokens, start=1)}
        aligned = aligned_features(tmp_path / "planted", modality, ids, len(tokens) + 1)
        assert aligned.n_missing == aligned.n_unknown == aligned.n_constant_columns == 0
        np.testing.assert_allclose(np.linalg.norm(aligned.matrix[1:], axis=1), 1, rtol=1e-6)
    pd.testing.assert_frame_equal(
        truth.environments, planted.truth.environments.reset_index(drop=True)
    )


@pytest.mark.parametrize(
    ("wrong", "found"),
    [
        ({"n_users": 0}, "0 users"),
        ({"min_interactions": 9, "max_interactions": 8}, "9 to 8"),
        ({"n_items": 47}, "47 items cannot give a user 48 different ones"),
        ({"majority": 1.5}, "majority fraction 1.5"),
        ({"gamma": float("nan")}, "gamma is nan"),
        ({"noise": float("inf")}, "noise is inf"),
        ({"spurious_personal": 1e300}, "spurious_personal is 1e"),
        ({"modalities": {"visual": 1}}, "modality visual has 1 columns"),
    ],
)
def test_impossible_designs(wrong: dict[str, object], found: str) -> None:
    with pytest.raises(UserError, match=found):
        PlantedDesign(**wrong)  # type: ignore[arg-type]


@given(
    st.lists(st.tuples(st.integers(0, 6), st.integers(0, 9)), min_size=1, max_size=60),
    st.integers(0, 99),
)
@settings(max_examples=60, deadline=None)
def test_random_split_leaves_no_id_without_training(
    pairs: list[tuple[int, int]], seed: int
) -> None:
    users, items = np.array(pairs).T
    part = random_split(len(pairs), (0.5, 0.5), [users, items], np.random.default_rng(seed))
    assert set(users[part == 0]) == set(users)
    assert set(items[part == 0]) == set(items)
    free = random_split(len(pairs), (0.5, 0.5), [], np.random.default_rng(seed))
    assert (free == 0).sum() == np.rint(len(pairs) / 2)
    assert (part[free == 0] == 0).all(), "rows move towards training only"


def test_embedded_is_ml100k_minus_the_rows_not_kept(embedded: DatasetContent) -> None:
    check_splits(embedded)
    assert embedded.name == "ml-trailers"
    assert embedded.edition == "embedded (visual and acoustic features are planted)" == EDITION
    counts = embedded.counts
    assert counts["interactions of MovieLens 100K"] == 100_000
    assert 45_000 < counts["kept by their role"] < 55_000
    dropped = counts["OOD rows dropped of items without a training row"]
    assert counts["kept by their role"] == len(embedded.interactions) + dropped
    assert embedded.interactions["timestamp"].between(8.7e8, 9e8).all()
    warm = set(embedded.splits["train"]["item_id"])
    assert all(set(frame["item_id"]) <= warm for frame in embedded.splits.values())


def test_embedded_roles(embedded: DatasetContent) -> None:
    share = (embedded.truth.environments["environment"] == "0").mean()
    assert abs(share - 0.8) < 0.02
    ood = len(embedded.splits["ood"]) + len(embedded.splits["ood_valid"])
    assert abs(ood / len(embedded.interactions) - 0.125) < 0.015
    assert abs(len(embedded.splits["ood_valid"]) / ood - 0.2) < 1e-3


def test_embedded_truth_is_planted_in_two_modalities_only(embedded: DatasetContent) -> None:
    assert set(embedded.truth.columns) == {"visual", "acoustic"}
    assert set(embedded.features) == {"visual", "acoustic", "textual"}
    for mask in embedded.truth.columns.values():
        assert mask.mean() == 0.5
    spurious, invariant = environment_auc(embedded, False), environment_auc(embedded, True)
    assert spurious > 0.7
    assert abs(invariant - 0.5) < 0.06


def test_embedded_features_are_the_same_everywhere(embedded: DatasetContent) -> None:
    """Hashes made with NumPy 1.26 and SciPy 1.12, whose singular vectors have other signs."""
    found = {
        name: hashlib.sha256(values.tobytes()).hexdigest()[:16]
        for name, (values, _) in embedded.features.items()
    }
    assert found == {
        "visual": "3b5b25fdadde7eb0",
        "acoustic": "80847d12aaf668cb",
        "textual": "72b0bdd5b7bac93c",
    }
