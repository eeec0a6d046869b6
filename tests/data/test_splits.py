"""Splits: no pair in two parts, nobody without training rows, one seed one split."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from support import MakeConfig, id_pairs

from recbole_painvrl.config import RunSettings
from recbole_painvrl.data.dataset import ModalityDataset
from recbole_painvrl.data.splits.base import (
    OOD,
    OOD_VALID,
    TEST,
    TRAIN,
    VALID,
    IntArray,
    LockedTestError,
    LockedTests,
    Split,
    distinct_rows,
    drop_cold,
    hold_out,
    split_iid_ood,
)
from recbole_painvrl.data.splits.files import files_split
from recbole_painvrl.data.splits.iid_ood import iid_ood_split
from recbole_painvrl.data.splits.shifts import popularity_split, time_split

N_USERS, N_ITEMS = 80, 60
Pairs = tuple[IntArray, IntArray]


@pytest.fixture(scope="module")
def pairs() -> Pairs:
    """1,600 rows with long-tailed items and some pairs twice, users and items from 1."""
    rng = np.random.default_rng(0)
    popularity = 1 / np.arange(1, N_ITEMS + 1)
    users = np.repeat(np.arange(1, N_USERS + 1), 20)
    items = 1 + rng.choice(N_ITEMS, size=len(users), p=popularity / popularity.sum())
    return users, items


def times(users: IntArray) -> np.ndarray:
    return np.random.default_rng(9).permutation(len(users)).astype(np.float64)


def settings(**values: object) -> RunSettings:
    return RunSettings.model_validate({"split_epochs": 2, "split_rounds": 3, **values})


def make(name: str, pairs: Pairs, seed: int, folder: Path) -> Split:
    users, items = pairs
    if name == "popularity":
        return popularity_split(users, items, 0.2, seed)
    if name == "time":
        return time_split(users, items, times(users), 0.2, seed)
    if name == "iid_ood content":
        content = torch.randn(N_ITEMS + 1, 6, generator=torch.Generator().manual_seed(0))
        own = settings(split_seed=seed, split_environment_model="content")
        return iid_ood_split(users, items, content, own, folder)
    return iid_ood_split(users, items, None, settings(split_seed=seed), folder)


SPLITS = pytest.mark.parametrize("name", ["popularity", "time", "iid_ood", "iid_ood content"])


@SPLITS
def test_laws_of_a_split(name: str, pairs: Pairs, tmp_path: Path) -> None:
    users, items = pairs
    split = make(name, pairs, 0, tmp_path)
    assert set(split.rows) == {TRAIN, VALID, TEST, OOD_VALID, OOD}
    keys = {part: set(zip(users[r], items[r], strict=True)) for part, r in split.rows.items()}
    for part, rows in split.rows.items():
        assert len(keys[part]) == len(rows) > 0, "no pair twice in a part"
    for one, other in itertools.combinations(keys, 2):
        assert not keys[one] & keys[other], f"{one} and {other} share pairs"
    train = split.rows[TRAIN]
    for part, rows in split.rows.items():
        assert set(users[rows]) <= set(users[train]), part
        assert set(items[rows]) <= set(items[train]), part
    # Nothing is lost but what is counted as cold.
    lost = len(distinct_rows(users, items)) - sum(len(rows) for rows in split.rows.values())
    assert lost == sum(split.diagnostics["cold_dropped"].values())
    assert split.diagnostics["sizes"] == {part: len(rows) for part, rows in split.rows.items()}
    assert "shift" in split.diagnostics


@SPLITS
def test_shares(name: str, pairs: Pairs, tmp_path: Path) -> None:
    split = make(name, pairs, 0, tmp_path)
    sizes = {part: len(rows) for part, rows in split.rows.items()}
    inside = sizes[TRAIN] + sizes[VALID] + sizes[TEST]
    cold = split.diagnostics["cold_dropped"]
    assert (sizes[TEST] + cold[TEST]) / inside == pytest.approx(0.1, abs=0.01)
    assert (sizes[VALID] + cold[VALID]) / inside == pytest.approx(0.1, abs=0.01)
    outside = sizes[OOD] + sizes[OOD_VALID] + cold[OOD] + cold[OOD_VALID]
    assert (sizes[OOD] + cold[OOD]) / outside == pytest.approx(0.8, abs=0.01)
    if name in ("popularity", "time"):
        assert outside / (inside + outside) == pytest.approx(0.2, abs=0.01)


@SPLITS
def test_same_seed_same_split_other_seed_other_split(
    name: str, pairs: Pairs, tmp_path: Path
) -> None:
    # Folders of their own, so that none is read from another's cache.
    first, again, other = (
        make(name, pairs, seed, tmp_path / folder)
        for seed, folder in ((0, "a"), (0, "b"), (1, "c"))
    )
    for part, rows in first.rows.items():
        np.testing.assert_array_equal(rows, again.rows[part])
    assert first.diagnostics == again.diagnostics
    assert any(not np.array_equal(rows, other.rows[part]) for part, rows in first.rows.items())


def test_popularity_ood_is_flatter_than_training(pairs: Pairs, tmp_path: Path) -> None:
    users, items = pairs
    split = make("popularity", pairs, 0, tmp_path)
    train, ood = items[split.rows[TRAIN]], items[split.rows[OOD]]
    degree = np.bincount(items[distinct_rows(users, items)])
    assert degree[ood].mean() < 0.8 * degree[train].mean()


def test_ties_in_time_keep_table_order() -> None:
    # Every ten rows hold each user and each item once.
    users = np.tile(np.arange(1, 11), 10)
    items = 1 + (users + np.repeat(np.arange(10), 10)) % 10
    split = time_split(users, items, np.zeros(100), 0.2, 0)
    late = np.concatenate([split.rows[OOD], split.rows[OOD_VALID]])
    assert late.min() >= 80


def test_iid_ood_diagnostics(pairs: Pairs, tmp_path: Path) -> None:
    split = make("iid_ood", pairs, 0, tmp_path)
    found = split.diagnostics
    assert set(found) >= {
        "environment_sizes", "moved_per_round", "agreement_with_start", "mean_item_degree",
        "sizes", "cold_dropped", "shift",
    }  # fmt: skip
    assert sum(found["environment_sizes"]) == len(distinct_rows(*pairs))
    assert 1 <= len(found["moved_per_round"]) <= 3
    assert 0.5 <= found["agreement_with_start"] <= 1
    assert found["shift"] in ("identified environments", "not detected")
    inside = sum(found["sizes"][part] for part in (TRAIN, VALID, TEST))
    assert inside + sum(
        found["cold_dropped"][part] for part in (VALID, TEST)
    ) == max(found["environment_sizes"])  # fmt: skip


def test_distinct_rows_keeps_the_first() -> None:
    users, items = np.array([2, 1, 2, 1, 2]), np.array([3, 4, 3, 5, 4])
    assert distinct_rows(users, items).tolist() == [0, 1, 3, 4]


rows_of_pairs = st.lists(
    st.tuples(st.integers(1, 6), st.integers(1, 6)), min_size=1, max_size=60, unique=True
)


@given(drawn=rows_of_pairs, size=st.integers(0, 60), seed=st.integers(0, 9))
def test_hold_out_keeps_a_row_of_everybody(
    drawn: list[tuple[int, int]], size: int, seed: int
) -> None:
    users, items = (np.array(side) for side in zip(*drawn, strict=True))
    rows = np.arange(len(users))
    kept, held = hold_out(rows, users, items, size, np.random.default_rng(seed))
    assert sorted([*kept, *held]) == rows.tolist()
    assert set(users[kept]) == set(users)
    assert set(items[kept]) == set(items)
    assert len(held) <= size


@given(drawn=rows_of_pairs, seed=st.integers(0, 9))
def test_split_iid_and_ood_partition_their_rows(drawn: list[tuple[int, int]], seed: int) -> None:
    users, items = (np.array(side) for side in zip(*drawn, strict=True))
    rng = np.random.default_rng(seed)
    rows = np.arange(len(users))
    iid = rng.random(len(rows)) < 0.7
    splits = split_iid_ood(rows[iid], rows[~iid], users, items, rng)
    for names, expected in (((TRAIN, VALID, TEST), rows[iid]), ((OOD_VALID, OOD), rows[~iid])):
        assert sorted(np.concatenate([splits[name] for name in names])) == expected.tolist()


def test_cold_rows_are_dropped_and_counted() -> None:
    users, items = np.array([1, 2, 3, 1, 2]), np.array([1, 2, 1, 3, 1])
    split = Split({TRAIN: np.array([0, 1]), TEST: np.array([2, 3, 4])}, {"shift": "x"})
    dropped = drop_cold(split, users, items)
    assert dropped.rows[TEST].tolist() == [4], "user 3 and item 3 have no training row"
    assert dropped.diagnostics["cold_dropped"] == {TEST: 2}
    assert dropped.diagnostics["sizes"] == {TRAIN: 2, TEST: 1}
    assert dropped.diagnostics["shift"] == "x"


def test_reading_before_unlock_raises() -> None:
    tests = LockedTests({"test": "a", "ood": "b"})
    assert tests.names == ["test", "ood"]
    with pytest.raises(LockedTestError, match="`ood` was read before the final evaluation"):
        tests["ood"]
    tests.unlock()
    assert (tests["test"], tests["ood"]) == ("a", "b")


@pytest.mark.parametrize("protocol", ["popularity", "time"])
def test_a_pair_counts_once_however_often_it_is_in_the_table(protocol: str) -> None:
    """The split of a table is that of its first rows of every pair; so are the counts of items."""
    rng = np.random.default_rng(3)
    users, items = np.divmod(rng.permutation(40 * 30), 30)
    pairs = np.stack([users + 1, items + 1])[:, :600]
    again = pairs[:, pairs[1] < 6].repeat(9, axis=1)

    def split(table: Any) -> Any:
        if protocol == "popularity":
            return popularity_split(*table, 0.2, 0)
        return time_split(*table, np.arange(table.shape[1], dtype=float), 0.2, 0)

    plain, repeated = split(pairs), split(np.concatenate([pairs, again], axis=1))
    assert plain.diagnostics == repeated.diagnostics
    for name, rows in plain.rows.items():
        np.testing.assert_array_equal(rows, repeated.rows[name])


def test_what_is_said_of_the_validation_rows_is_what_was_held_out(tmp_path: Path) -> None:
    # 12 users with two items each, of 6 items: 12 rows are left when everybody keeps one.
    users, items = np.repeat(np.arange(1, 13), 2), np.tile(np.arange(1, 7), 4)

    def split(fraction: float) -> Split:
        settings = RunSettings(validation_share=fraction)
        return files_split({"train": 24}, users, items, settings, tmp_path, False)

    for fraction, held in ((0.125, 3), (0.9, 12)):
        found = split(fraction)
        said = found.diagnostics["valid"]
        n = len(found.rows["valid"])
        assert n <= held and n + len(found.rows["train"]) == 24
        assert said.startswith(f"{n} of 24 interactions of the training file ({n / 24:.1%})")
        assert ("in place of 22" in said) == (fraction == 0.9)


@pytest.mark.parametrize("fraction", [0.0, 0.1, 0.3])
def test_a_share_of_the_training_file_beside_a_validation_file_is_a_warning(
    fraction: float, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    users, items = np.repeat(np.arange(1, 13), 2), np.tile(np.arange(1, 7), 4)
    settings = RunSettings(validation_share=fraction)
    found = files_split({"train": 20, "valid": 4}, users, items, settings, tmp_path, False)
    assert len(found.rows["train"]) == 20
    assert ("`validation_share` has no effect" in caplog.text) == (fraction != 0.1)


SHORT = ("--split_epochs=1", "--split_rounds=1")
PROTOCOLS = {
    # Without a validation file a fraction of the training file is drawn.
    "files": {"train", "valid"},
    "popularity": {"train", "valid", "test", "ood_valid", "ood"},
    "iid_ood": {"train", "valid", "test", "ood_valid", "ood"},
}


@pytest.fixture
def data(own_data: Path) -> Path:
    """The tiny dataset without a validation file, for a cache of its own."""
    (own_data / "tiny" / "tiny.valid.inter").unlink()
    return own_data


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_other_split_seeds_draw_other_splits(
    protocol: str, data: Path, tiny_config: MakeConfig
) -> None:
    def pairs(*seeds: str, model: str = "BPR") -> dict[str, set[tuple[int, int]]]:
        config = tiny_config(model, f"--protocol={protocol}", *SHORT, *seeds, data=data)
        parts = ModalityDataset(config).build_parts()
        return {name: set(id_pairs(part)) for name, part in parts.items()}

    first = pairs("--split_seed=0", "--seed=1")
    assert first == pairs("--split_seed=0", "--seed=2", model="UltraGCN")
    other = pairs("--split_seed=1", "--seed=1")
    assert {name for name in first if first[name] != other[name]} == PROTOCOLS[protocol]


def test_every_protocol_has_a_stream_of_its_own(
    data: Path, tiny_config: MakeConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Written down, because another number would silently change everybody's splits."""
    seen: list[Any] = []
    original = np.random.default_rng

    def spy(seed: Any) -> np.random.Generator:
        seen.append(seed)
        return original(seed)

    monkeypatch.setattr(np.random, "default_rng", spy)
    for protocol in PROTOCOLS:
        config = tiny_config("BPR", f"--protocol={protocol}", *SHORT, "--split_seed=5", data=data)
        ModalityDataset(config).build_parts()
    pairs = np.repeat(np.arange(1, 11), 10), np.tile(np.arange(1, 11), 10)
    time_split(*pairs, np.arange(100.0), 0.2, 5)
    assert seen == [[5, 0], [5, 1], [5, 3], [5, 2]]


@pytest.mark.parametrize(
    ("argv", "idle"),
    [
        (["--protocol=popularity"], False),
        (["--protocol=popularity", "--shift_ultragcn=True"], False),
        (["--protocol=popularity", "--shift_ultragcn=False"], True),
        (["--protocol=random"], True),
        (["--protocol=iid_ood", "--shift_ultragcn=False"], False),
    ],
)
def test_epochs_of_the_fixed_model_that_measures_a_shift_have_an_effect(
    argv: list[str], idle: bool, tiny_config: MakeConfig, caplog: pytest.LogCaptureFixture
) -> None:
    ModalityDataset(tiny_config("UltraGCN", "--split_epochs=3", *argv))
    assert ("`split_epochs` has no effect" in caplog.text) == idle
