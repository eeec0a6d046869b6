"""The estimate of a run's memory: against measured peaks, and what happens where it is too much."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from support import MakeConfig, run_main

from benchmarks.paper_sizes import MODELS
from recbole_painvrl.config import SafeConfig, parse_overrides
from recbole_painvrl.data.dataset import ModalityDataset
from recbole_painvrl.run import memory
from recbole_painvrl.run.memory import Sizes, available_memory, check_memory, estimate, sizes_of

GB = 2**30
MOVIELENS = Sizes(55_485, 5_986, 1_245_860, {"visual": 2048, "acoustic": 128, "textual": 100})
TIKTOK = Sizes(36_656, 76_085, 1_026_000, {"visual": 128, "acoustic": 128, "textual": 128})


@pytest.mark.parametrize(
    ("sizes", "model", "measured"),
    [
        (TIKTOK, "UltraGCN", 1.33),
        (TIKTOK, "InvRL", 2.52),
        (TIKTOK, "PaInvRL", 2.61),
        (TIKTOK, "MMSSL", 4.13),
        (MOVIELENS, "PaInvRL", 2.44),
        (MOVIELENS, "InvRL", 2.27),
        (MOVIELENS, "UltraGCN", 1.30),
        (MOVIELENS, "VBPR", 1.31),
        (MOVIELENS, "MMGCN", 3.69),
        (MOVIELENS, "NGCF", 3.29),
        (MOVIELENS, "LightGCN", 1.56),
        (MOVIELENS, "BPR", 1.23),
        (MOVIELENS, "Pop", 1.20),
    ],
)
def test_peaks_of_the_reproduction_page(sizes: Sizes, model: str, measured: float) -> None:
    """docs/reproduction.md, "Memory at the paper's sizes"."""
    config = SafeConfig(model, "planted", overrides=parse_overrides(MODELS[model]))
    estimated = sum(estimate(model, sizes, config).values()) / GB
    assert 0.7 * measured <= estimated <= 2 * measured


def test_a_large_batch_needs_what_it_needed() -> None:
    config = SafeConfig("MMGCN", "planted", overrides={"train_batch_size": 200_000})
    assert sum(estimate("MMGCN", MOVIELENS, config).values()) / GB == pytest.approx(6.21, rel=0.3)


@pytest.mark.parametrize(
    ("model", "setting", "part"),
    [
        ("PaInvRL", "mask_batch_size", "mask"),
        ("PaInvRL", "environment_batch_size", "environments"),
        ("UltraGCN", "train_batch_size", "batch"),
        ("VBPR", "embedding_size", "parameters"),
        ("MMSSL", "discriminator_columns", "discriminator"),
        ("BPR", "eval_batch_size", "evaluation"),
    ],
)
def test_what_the_advice_names_is_what_helps(model: str, setting: str, part: str) -> None:
    config = SafeConfig(model, "planted")
    less = SafeConfig(model, "planted", overrides={setting: config[setting] // 2})
    whole, half = (estimate(model, TIKTOK, chosen) for chosen in (config, less))
    assert half[part] < whole[part]
    assert f"`{setting}`" in memory._ADVICE[part]


def test_sizes_of_a_dataset(tiny_config: MakeConfig) -> None:
    dataset = ModalityDataset(tiny_config("BPR", "--protocol=random"))
    sizes = sizes_of(dataset)
    assert sizes.columns == {"acoustic": 8, "visual": 16}
    assert (sizes.users, sizes.items) == (dataset.user_num, dataset.item_num)
    assert sizes.interactions == len(dataset.inter_feat)


def test_a_run_that_cannot_fit_is_refused(
    tiny_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(memory, "available_memory", lambda: 0)
    loaded = SimpleNamespace(memory_info=lambda: SimpleNamespace(rss=100 << 20))
    monkeypatch.setattr(memory, "psutil", SimpleNamespace(Process=lambda: loaded))
    refused = run_main(tiny_data, tmp_path, "UltraGCN", name="x")
    assert refused.code == 2
    (line,) = refused.err.splitlines()[-1:]
    assert "100 MB are free" in line
    assert "--memory_check=False" in line
    assert not (tmp_path / "runs").exists()
    allowed = run_main(tiny_data, tmp_path, "UltraGCN", "--memory_check=False", name="x")
    assert allowed.code == 0
    assert "memory: this run needs about" in allowed.err


def test_the_smallest_limit_counts(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    machine = SimpleNamespace(virtual_memory=lambda: SimpleNamespace(available=9 * GB))
    monkeypatch.setattr(memory, "psutil", machine)
    monkeypatch.setattr(memory, "_own_limit", lambda: None)
    monkeypatch.setattr(memory, "cgroup_memory", lambda: [3 * GB])
    assert available_memory() == 3 * GB


def test_another_final_model_counts_where_it_needs_more(monkeypatch: pytest.MonkeyPatch) -> None:
    config: Any = SafeConfig("PaInvRL", "planted")
    monkeypatch.setattr(memory, "available_memory", lambda: 100 * GB)
    large: Any = SafeConfig("MMGCN", "planted", overrides={"train_batch_size": 200_000})
    small: Any = SafeConfig("VBPR", "planted", overrides={"embedding_size": 2})
    alone, with_large, with_small = (
        check_memory("PaInvRL", MOVIELENS, config, on_gpu=False, final=final)
        for final in (None, large, small)
    )
    assert with_small == alone
    assert with_large != alone
    # The backbone stays beside it.
    assert with_large != check_memory("MMGCN", MOVIELENS, large, on_gpu=False)


def test_a_run_asks_for_the_memory_of_its_final_model(tiny_data: Path, tmp_path: Path) -> None:
    words = ("--final_model=VBPR", "--final_settings={embedding_size: 1000000000}")
    run = run_main(tiny_data, tmp_path, "PaInvRL", "--mask_form=soft", *words, name="x")
    assert run.code == 2
    assert "memory: this run needs" in run.err and "(parameters" not in run.out
