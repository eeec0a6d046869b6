"""RecBole's own entry points find the plugin, and our runner agrees with RecBole's."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import pytest
from recbole.config import Config
from recbole.data import create_dataset, data_preparation
from recbole.quick_start import load_data_and_model, run_recbole
from recbole.utils import get_model, get_trainer, init_seed
from support import SHORT_STAGES, run_command, run_main

from recbole_painvrl.config.loading import parse_overrides

# thop, by which RecBole counts operations, compares versions by distutils.
pytestmark = [
    pytest.mark.filterwarnings("ignore:.*distutils"),
    pytest.mark.filterwarnings("ignore:Detected pickle protocol"),
]


@pytest.fixture(autouse=True)
def _no_log_file(monkeypatch: pytest.MonkeyPatch) -> None:
    """RecBole hangs its log file on the root logger for good."""
    monkeypatch.setattr("recbole.quick_start.quick_start.init_logger", lambda config: None)


def recbole(model: str, dataset: str, saved: bool = True, **values: Any) -> Any:
    """RecBole's ``run_recbole``."""
    common = {"show_progress": False, "use_gpu": False, "epochs": 2, "seed": 5, "state": "ERROR"}
    return run_recbole(model, dataset, config_dict={**common, **values}, saved=saved)


def test_recboles_own_run_recbole(tiny_data: Path, tmp_path: Path) -> None:
    result = recbole(
        "PaInvRL", "tiny", data_path=str(tiny_data), checkpoint_dir=str(tmp_path / "saved"),
        **parse_overrides(SHORT_STAGES),
    )  # fmt: skip
    metrics = {"recall@10", "ndcg@10", "precision@10"}
    assert set(result["test_result"]) == metrics | {f"ood_{name}" for name in metrics}
    assert all(0 <= value <= 1 for value in result["test_result"].values())
    assert result["test_result"]["ndcg@10"] > 0


@pytest.mark.parametrize(("model", "words"), [("UltraGCN", ()), ("VBPR", ("--fast_loader=False",))])
def test_both_entries_give_the_same_test_metrics(
    model: str, words: tuple[str, ...], tiny_data: Path, tmp_path: Path
) -> None:
    """Of a model that draws its negatives and of one to which RecBole's loader gives them."""
    run = run_main(tiny_data, tmp_path, model, "--seed=5", *words, name="x")
    own = run.result["metrics"]
    theirs = recbole(
        model, "tiny", data_path=str(tiny_data), checkpoint_dir=str(tmp_path / "saved")
    )["test_result"]
    for name, value in own["iid"].items():
        assert theirs[name] == pytest.approx(value, abs=1e-6)
    for name, value in own["ood"].items():
        assert theirs[f"ood_{name}"] == pytest.approx(value, abs=1e-6)


def test_bpr_has_recboles_own_numbers(tmp_path: Path) -> None:
    """Two epochs on ML-100K, random protocol: the runner changes nothing but Adam's rounding."""
    theirs = recbole(
        "BPR", "ml-100k", saved=False, topk=[10], metrics=["Recall", "NDCG"],
        metric_decimal_place=6, eval_step=2, valid_metric="NDCG@10", eval_batch_size=400000,
        checkpoint_dir=str(tmp_path / "saved"),
    )["test_result"]  # fmt: skip
    own = run_command(
        "--model=BPR", "--dataset=ml-100k", "--seed=5", "--epochs=2", "--topk=[10]",
        "--metrics=[Recall,NDCG]", "--eval_step=2", "--show_progress=False", "--use_gpu=False",
        f"--output_dir={tmp_path}", "--fast_loader=False", name="x",
    )  # fmt: skip
    assert own.code == 0, own.err
    assert not list((tmp_path / "saved").glob("BPR*"))
    assert set(theirs) == {"recall@10", "ndcg@10"}
    for name, value in own.result["metrics"]["test"].items():
        # Two items that swap places move a mean over 943 users in the fourth decimal.
        assert theirs[name] == pytest.approx(value, abs=5e-4)
        assert value > 0.01


def prepared(model: str, data: Path, folder: Path, **values: Any) -> tuple[Any, Any, Any]:
    """A trainer of RecBole and its validation and test loaders, made as ``run_recbole`` does."""
    common = {
        "data_path": str(data), "checkpoint_dir": str(folder), "epochs": 8, "seed": 5,
        "show_progress": False, "use_gpu": False, "state": "ERROR",
        "learning_rate": 0.01 if model == "MultiVAE" else 0.3,
        "load_col": {"inter": ["user_id", "item_id"]}, "eval_args": {"split": {"RS": [8, 1, 1]}},
        "train_neg_sample_args": None if model == "MultiVAE" else {
            "distribution": "uniform", "sample_num": 1, "alpha": 1.0, "dynamic": False,
            "candidate_num": 0,
        },
    }  # fmt: skip
    config = Config(model, "tiny", config_dict={**common, **values})
    init_seed(config["seed"], True)
    train, valid, test = data_preparation(config, create_dataset(config))
    network = get_model(model)(config, train.dataset).to(config["device"])
    trainer = get_trainer(config["MODEL_TYPE"], model)(config, network)
    trainer.train_and_valid = train, valid
    return trainer, valid, test


@pytest.mark.parametrize("model", ["BPR", "Pop", "ItemKNN", "MultiVAE"])
def test_the_best_epoch_is_evaluated(model: str, tiny_data: Path, tmp_path: Path) -> None:
    """As an evaluation of every epoch's weights gives it, kept by a callback."""
    trainer, _, test = prepared(model, tiny_data, tmp_path)
    scores: list[float] = []
    tests: list[Any] = []

    def keep(epoch: int, score: float) -> None:
        scores.append(score)
        tests.append(trainer.evaluate(test, load_best_model=False))

    trainer.fit(*trainer.train_and_valid, saved=True, verbose=False, callback_fn=keep)
    best = scores.index(max(scores))
    after = trainer.evaluate(test, load_best_model=True)
    assert after == tests[best]
    # Once more, and by the name of the file.
    assert trainer.evaluate(test, model_file=trainer.saved_model_file) == after
    if model == "BPR":
        assert best < len(scores) - 1
        assert tests[-1] != tests[best]


def test_a_checkpoint_of_somebody_else_is_refused(tiny_data: Path, tmp_path: Path) -> None:
    trainer, _, test = prepared("BPR", tiny_data, tmp_path, epochs=1)
    trainer.fit(*trainer.train_and_valid, saved=True, verbose=False)
    other = tmp_path / "other.pth"
    other.write_bytes(Path(trainer.saved_model_file).read_bytes())
    with pytest.raises(pickle.UnpicklingError):
        trainer.evaluate(test, model_file=str(other))
    with pytest.raises(pickle.UnpicklingError):
        load_data_and_model(str(other))
    # The same name, another file.
    other.replace(trainer.saved_model_file)
    with pytest.raises(pickle.UnpicklingError):
        trainer.evaluate(test)
    Path(trainer.saved_model_file).unlink()
    with pytest.raises(FileNotFoundError):
        trainer.evaluate(test)
