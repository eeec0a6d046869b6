"""RecBole's own faults and missing hooks, mended."""

from __future__ import annotations

import logging
import sys
import types
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from support import MakeConfig

from recbole_painvrl._compat import recbole


def test_lazy_attributes_never_look_like_missing_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    module = types.ModuleType("lazy_target")
    monkeypatch.setitem(sys.modules, "lazy_target", module)
    recbole.add_lazy_attributes("lazy_target", {"Path": "pathlib:Path", "Bad": "pathlib:Bad"})
    recbole.add_lazy_attributes("lazy_target", {"Other": "pathlib:PurePath"})
    assert module.Path is Path
    assert module.Other.__name__ == "PurePath"
    assert not hasattr(module, "Unknown")
    # An AttributeError would make RecBole go on with its default trainer.
    with pytest.raises(ImportError, match="pathlib could not give Bad"):
        getattr(module, "Bad")  # noqa: B009


def test_tensorboard_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from recbole.trainer import trainer

    monkeypatch.chdir(tmp_path)
    original = trainer.get_tensorboard
    with recbole.tensorboard_in(tmp_path / "events"):
        writer = trainer.get_tensorboard(logging.getLogger())
        writer.add_scalar("x", 1.0, 0)
        writer.close()
    assert trainer.get_tensorboard is original
    assert [path.name for path in tmp_path.iterdir()] == ["events"]
    assert any((tmp_path / "events").iterdir())


def test_a_process_that_is_not_the_first_logs_nothing() -> None:
    """With `log_wandb`, every process of torchrun began a run of Weights and Biases."""
    from recbole.trainer import trainer

    original = trainer.WandbLogger
    with recbole.tensorboard_in(None):
        logger = trainer.WandbLogger(SimpleNamespace(log_wandb=True))
        logger.log_metrics({"x": 1.0}, head="train")
        trainer.get_tensorboard(logging.getLogger()).add_scalar("x", 1.0, 0)
    assert trainer.WandbLogger is original


def test_collector_passes_plain_counts() -> None:
    import torch
    from recbole.evaluator.collector import Collector

    collector: Any = Collector(
        {
            "metrics": ["ItemCoverage"],
            "eval_args": {"mode": {"valid": "full"}},
            "topk": [2],
            "device": torch.device("cpu"),
        }
    )
    collector.data_struct.set("data.num_items", 5)
    collector.data_struct.set("rec.items", torch.tensor([[1, 2]]))
    collected = collector.get_data_struct()
    assert collected.get("data.num_items") == 5
    assert collected.get("rec.items").tolist() == [[1, 2]]
    assert "rec.items" not in collector.data_struct
    assert collector.data_struct.get("data.num_items") == 5


def test_popularity_counts_every_interaction(tiny_config: MakeConfig) -> None:
    import torch
    from recbole.data.interaction import Interaction
    from recbole.model.general_recommender.pop import Pop

    from recbole_painvrl.data.dataset import ModalityDataset

    config = tiny_config("Pop")
    model: Any = Pop(config, ModalityDataset(config).build_parts()["train"])
    for items, labels in (([1, 1, 1, 2, 3], [1, 1, 1, 1, 0]), ([2, 1], [1, 1])):
        columns = {model.ITEM_ID: torch.tensor(items), "label": torch.tensor(labels)}
        model.calculate_loss(Interaction(columns))
    assert model.item_cnt[:4, 0].tolist() == [0, 4, 2, 0]
    assert model.max_cnt.item() == 4
