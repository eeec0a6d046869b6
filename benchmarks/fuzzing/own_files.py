"""Readers of the project's own files: datasets, settings, checkpoints, run folders, caches."""

from __future__ import annotations

import json
import shutil
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch

from benchmarks.fuzzing.attack import Reader
from recbole_painvrl.config import SafeConfig, parse_overrides
from recbole_painvrl.data.dataset import ModalityDataset
from recbole_painvrl.data.features import aligned_features
from recbole_painvrl.data.folder import read_manifest, read_truth, write_dataset
from recbole_painvrl.data.planted import PlantedDesign, generate_planted
from recbole_painvrl.data.splits.base import SPLITS
from recbole_painvrl.data.splits.iid_ood import _read as read_split
from recbole_painvrl.inference.loading import _read_result
from recbole_painvrl.reading import read_arrays
from recbole_painvrl.report.read import read_run
from recbole_painvrl.run.folder import write_arrays, write_config, write_per_user, write_result
from recbole_painvrl.run.resume import stored_settings
from recbole_painvrl.training.checkpoint import read_checkpoint, write_checkpoint

NAME = "tiny"
_ITEMS = 20


def own_readers(root: Path) -> list[Reader]:
    """Write valid samples below ``root``; returns their readers."""
    data = root / "data"
    design = PlantedDesign(
        n_users=24,
        n_items=_ITEMS,
        min_interactions=8,
        max_interactions=10,
        modalities={"visual": 6},
    )
    write_dataset(generate_planted(design, NAME), data / NAME)
    shutil.copytree(data / NAME, root / "loaded" / NAME)
    return [
        *_dataset_readers(data / NAME),
        *_recbole_readers(root / "loaded"),
        *_setting_readers(root / "settings", data),
        _checkpoint_reader(root / "checkpoint" / "best.safetensors"),
        *_run_readers(root / "runs" / "x"),
        _split_reader(root / "split.npz"),
    ]


def _dataset_readers(folder: Path) -> list[Reader]:
    tokens = {f"i{index}": index + 1 for index in range(_ITEMS)}

    def features() -> Any:
        return aligned_features(folder, "visual", tokens, _ITEMS + 1).matrix

    def check(matrix: Any) -> None:
        assert matrix.shape[0] == _ITEMS + 1, matrix.shape
        assert matrix.dtype == np.float32
        assert np.isfinite(matrix).all(), "not finite"
        assert np.linalg.norm(matrix, axis=1).max() < 1.001
        assert not matrix[0].any(), "padding"

    def check_truth(truth: Any) -> None:
        assert truth is None or all(mask.dtype == np.bool_ for mask in truth.columns.values())

    feature_files = [folder / "features" / "visual.npy", folder / "features" / "visual.items.tsv"]
    truth_files = [folder / "truth" / "columns.tsv", folder / "truth" / "environments.tsv"]
    return [
        Reader("features", feature_files, features, check, 3),
        Reader("manifest", [folder / "manifest.json"], partial(read_manifest, folder)),
        Reader("truth", truth_files, partial(read_truth, folder), check_truth, 0.5),
    ]


def _recbole_readers(data: Path) -> list[Reader]:
    """The dataset of a run, read by RecBole's own code."""
    folder = data / NAME

    def read(protocol: str) -> Any:
        values = {"protocol": protocol, "data_path": str(data), "use_gpu": False}
        config = SafeConfig("BPR", NAME, overrides={**values, "unknown_items": "ignore"})
        return ModalityDataset(config).build_parts()

    def check(splits: Any) -> None:
        for split in splits.values():
            for name in (split.uid_field, split.iid_field):
                ids = split.inter_feat[name]
                assert len(ids), "empty split"
                assert 0 <= int(ids.min()) <= int(ids.max()) < split.num(name)

    files = {
        "files": [folder / f"{NAME}.{split}.inter" for split in SPLITS]
        + [folder / "manifest.json"],
        "random": [folder / f"{NAME}.inter"],
    }
    return [
        Reader(f"run, {protocol}", paths, partial(read, protocol), check, 0.15, False)
        for protocol, paths in files.items()
    ]


def _setting_readers(folder: Path, data: Path) -> list[Reader]:
    folder.mkdir()
    given, words, stored = (folder / name for name in ("given.yaml", "command.line", "config.yaml"))
    given.write_text("epochs: 3\nlearning_rate: 1e-3\ntopk: [5, 10]\nrun_name: x\nkappa: 0.5\n")
    words.write_text("--epochs=3\n--learning_rate=1e-3\n--topk=[5,10]\n--eval_args={split: {}}\n")
    config = SafeConfig("PaInvRL", NAME, overrides={"data_path": str(data), "use_gpu": False})
    write_config(folder, config.effective())

    def external() -> Any:
        return SafeConfig("PaInvRL", NAME, [given], {"data_path": str(data)})

    def check(found: Any) -> None:
        assert isinstance(found["epochs"], int)
        assert found["epochs"] > 0
        assert found["model"] == "PaInvRL"

    def command_line() -> Any:
        text = words.read_bytes().decode("utf-8", "surrogateescape")
        return parse_overrides([word for word in text.replace("\0", "").split("\n") if word])

    return [
        Reader("settings file", [given], external, check, 0.3, False),
        Reader("command line", [words], command_line, weight=2, by_name=False),
        Reader("config.yaml", [stored], partial(stored_settings, stored), weight=0.2),
    ]


def _checkpoint_reader(path: Path) -> Reader:
    tensors = {"users": torch.randn(12, 4), "counts": torch.arange(7), "flag": torch.tensor(True)}
    state = {"model": "BPR", "stage": "train", "epoch": 3, "best": float("-inf"), "losses": [0.5]}
    write_checkpoint(path, tensors, state)

    def check(found: Any) -> None:
        read, read_state = found
        assert read_state == state, "another state was loaded"
        assert set(read) == set(tensors)
        assert all(torch.equal(read[name], tensors[name]) for name in tensors)

    return Reader(
        "checkpoint", [path], partial(read_checkpoint, path, torch.device("cpu")), check, 3
    )


def _run_readers(folder: Path) -> list[Reader]:
    rng = np.random.default_rng(0)
    arrays: dict[str, dict[str, Any]] = {
        "mask.npz": {"visual": rng.random(6), "round 1/visual": rng.random(6)},
        "environments.npz": {
            "environment": rng.integers(0, 2, 30).astype(np.int16),
            "user_id": np.array([f"u{n}" for n in range(30)]),
            "item_id": np.array([f"i{n}" for n in range(30)]),
        },
    }
    for name, written in arrays.items():
        write_arrays(folder / name, written)
    users = {"test_set": "iid", "user_id": arrays["environments.npz"]["user_id"]}
    write_per_user(folder, pd.DataFrame({**users, "ndcg@10": rng.random(30)}))
    write_config(folder, {"model": {"value": "PaInvRL", "from": "x"}})
    result = {
        **{"model": "PaInvRL", "dataset": NAME, "protocol": "files", "seed": 1},
        "metrics": {"valid": {"ndcg@10": 0.5}, "iid": {"ndcg@10": 0.25}},
        "stages": [{"name": "final", "epochs": 3, "seconds": 1.5}],
        "hashes": {"data": "0", "config": "1"},
        "versions": {"torch": "2"},
    }
    write_result(folder, result)

    def same(name: str, found: Any) -> None:
        # A zip has a checksum of every array, but not of its name.
        for key in found.keys() & arrays[name].keys():
            np.testing.assert_array_equal(found[key], arrays[name][key])

    def check(run: Any) -> None:
        same("mask.npz", run.mask)
        same("environments.npz", run.environments)

    files = [*arrays, "per_user.parquet", "config.yaml", "result.json"]
    paths = [folder / name for name in files]
    readers = [Reader("run folder", paths, partial(read_run, folder), check, 0.5, bounded=False)]
    for name in arrays:
        read = partial(read_arrays, folder / name, "run again")
        readers.append(Reader(name, [folder / name], read, partial(same, name), 2, bounded=False))
    result_file = folder / "result.json"
    return [*readers, Reader("result.json", [result_file], partial(_read_result, folder))]


def _split_reader(path: Path) -> Reader:
    n_rows = 50
    order = np.random.default_rng(0).permutation(n_rows).astype(np.int64)
    rows = dict(zip(SPLITS, np.array_split(order, len(SPLITS)), strict=True))
    sizes = {name: len(indices) for name, indices in rows.items()}
    text = json.dumps({"sizes": sizes, "shift": "not detected"}).encode()
    write_arrays(path, {"diagnostics": np.frombuffer(text, dtype=np.uint8), **rows})
    assert read_split(path, n_rows) is not None

    def check(found: Any) -> None:
        if found is not None:
            assert all(np.array_equal(found.rows[split], rows[split]) for split in SPLITS)

    return Reader("split cache", [path], partial(read_split, path, n_rows), check, bounded=False)
