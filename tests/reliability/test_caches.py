"""Caches of splits: key, checksums and locks; RecBole's pickles are never read."""

from __future__ import annotations

import logging
import multiprocessing
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from recbole.data import create_dataset
from support import MakeConfig, run_main

from recbole_painvrl.config import RunSettings
from recbole_painvrl.data.splits import iid_ood
from recbole_painvrl.errors import UserError

USERS, ITEMS = np.array([1, 1, 2, 3]), np.array([1, 2, 2, 3])
CONTENT = torch.arange(8.0).reshape(4, 2)
CHANGES: dict[str, dict[str, Any]] = {
    "another item": {"items": np.array([1, 2, 2, 1])},
    "another user": {"users": np.array([1, 1, 2, 2])},
    "another order": {"users": USERS[::-1], "items": ITEMS[::-1]},
    "one row less": {"users": USERS[:-1], "items": ITEMS[:-1]},
    "one bit of a feature": {"content": torch.nextafter(CONTENT, torch.tensor(9.0))},
    "other features": {"content": None},
    "split_seed": {"settings": RunSettings(split_seed=1)},
    "split_epochs": {"settings": RunSettings(split_epochs=3)},
    "split_rounds": {"settings": RunSettings(split_rounds=3)},
    "split_variant": {"settings": RunSettings(split_variant="strict")},
    "split_environment_model": {"settings": RunSettings(split_environment_model="content")},
}


def key(**changes: Any) -> str:
    given = {"users": USERS, "items": ITEMS, "content": CONTENT, "settings": RunSettings()}
    return iid_ood._key(*(given | changes).values())  # type: ignore[arg-type]


@pytest.mark.parametrize("change", CHANGES)
def test_everything_that_decides_a_split_is_in_its_key(change: str) -> None:
    assert key() == key()
    assert key(**CHANGES[change]) != key()


def test_the_key_has_constants_of_the_code_and_no_other_settings(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert key(settings=RunSettings(run_name="x", n_threads=2)) == key()
    keys = {key()}
    for constant in ("_LEARNING_RATE", "_TOLERANCE", "_VERSION"):
        monkeypatch.setattr(iid_ood, constant, 99)
        keys.add(key())
    assert len(keys) == 4


def make(folder: Path) -> Any:
    rng = np.random.default_rng(0)
    pairs = np.unique(rng.integers(1, 31, (600, 2)), axis=0)
    settings = RunSettings(split_epochs=1, split_rounds=1)
    return iid_ood.iid_ood_split(pairs[:, 0], pairs[:, 1], None, settings, folder)


def assert_same(found: Any, first: Any) -> None:
    assert found.diagnostics == first.diagnostics
    for name, indices in first.rows.items():
        np.testing.assert_array_equal(found.rows[name], indices)
        assert found.rows[name].dtype == indices.dtype


def test_a_flipped_byte_never_gives_another_split(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    first = make(tmp_path)
    (path,) = (tmp_path / "splits").iterdir()
    whole = path.read_bytes()
    rows = len(np.concatenate(list(first.rows.values()))) + 10**4
    assert_same(iid_ood._read(path, rows), first)
    caplog.set_level(logging.WARNING, "recbole_painvrl")
    for place in np.random.default_rng(0).integers(0, len(whole), 60).tolist():
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :])
        found = iid_ood._read(path, rows)
        if found is not None:
            # A byte of the zip that is not read, such as a time.
            assert_same(found, first)
    assert "the split is made again" in caplog.text
    np.load(path.parent / path.name, allow_pickle=False).close()


@pytest.mark.parametrize("fault", ["overlap", "negative", "float", "two columns", "beyond"])
def test_an_invalid_split_is_computed_again(
    fault: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Files with correct checksums whose rows cannot be those of a split."""
    first = make(tmp_path)
    (path,) = (tmp_path / "splits").iterdir()
    with np.load(path) as archive:
        arrays = {name: archive[name] for name in archive.files}
    train, test = arrays["train"], arrays["test"]
    n_rows = sum(map(len, first.rows.values())) + 10**4
    changed = {
        "overlap": np.concatenate([test[:1], train[1:]]),
        "negative": np.concatenate([[-1], train[1:]]),
        "float": train.astype(float),
        "two columns": train[:, None],
        "beyond": np.concatenate([[n_rows], train[1:]]),
    }[fault]
    np.savez(path, **{**arrays, "train": changed})
    caplog.set_level(logging.WARNING, "recbole_painvrl")
    assert iid_ood._read(path, n_rows) is None
    assert "the split is made again" in caplog.text


def _make_in_process(folder: Path, counter: Any) -> None:
    original = iid_ood._make

    def counted(*arguments: Any) -> Any:
        with counter.get_lock():
            counter.value += 1
        return original(*arguments)

    iid_ood._make = counted
    make(folder)


def test_two_processes_make_a_split_once(tmp_path: Path) -> None:
    context = multiprocessing.get_context("fork")
    counter = context.Value("i", 0)
    both = [context.Process(target=_make_in_process, args=(tmp_path, counter)) for _ in range(2)]
    for process in both:
        process.start()
    for process in both:
        process.join(60)
    assert [process.exitcode for process in both] == [0, 0]
    assert counter.value == 1, "the second waits and reads what the first has made"
    assert len(list((tmp_path / "splits").iterdir())) == 1


@pytest.mark.parametrize("setting", ["save_dataset=True", "dataloaders_save_path=x"])
def test_recboles_pickles_are_refused(setting: str, tiny_data: Path, tmp_path: Path) -> None:
    run = run_main(tiny_data, tmp_path, "BPR", f"--{setting}", name="x")
    assert run.code == 2
    assert f"`{setting.partition('=')[0]}`" in run.err and "out of date" in run.err


class OpenedError(Exception):
    """A pickle was opened."""


class _Trap:
    def __reduce__(self) -> Any:
        return (_raise, ())


def _raise() -> None:
    raise OpenedError


def test_a_stale_pickle_of_recbole_is_not_read(
    tiny_data: Path, tmp_path: Path, tiny_config: MakeConfig
) -> None:
    """RecBole takes saved/<dataset>-<class>.pth wherever it exists; a run of ours does not."""
    saved = tmp_path / "saved"
    saved.mkdir()
    for name in ("Dataset", "ModalityDataset"):
        (saved / f"tiny-{name}.pth").write_bytes(pickle.dumps(_Trap()))
    for model in ("BPR", "UltraGCN"):
        run = run_main(tiny_data, tmp_path, model, f"--checkpoint_dir={saved}", name=model)
        assert run.code == 0, run.err
    with pytest.raises(OpenedError):
        create_dataset(tiny_config("BPR", f"--checkpoint_dir={saved}"))


def test_our_dataset_is_not_pickled_by_recbole(tiny_config: MakeConfig) -> None:
    with pytest.raises(UserError, match="`save_dataset`"):
        create_dataset(tiny_config("UltraGCN", "--save_dataset=True"))
