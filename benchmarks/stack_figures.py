"""Test metrics of models on the stack of this interpreter, for :mod:`benchmarks.stacks`.

All run by RecBole's own ``run_recbole``: its models on ml-100k, ours on ml-trailers, which is made
of ml-100k and has features. Models of RecBole that take minutes per epoch get the users with 200
interactions or more.
"""

from __future__ import annotations

import importlib.metadata
import inspect
import json
import platform
import sys
import time
from pathlib import Path
from typing import Any

from benchmarks.common import command_line

PACKAGES = ("numpy", "pandas", "scipy", "torch", "scikit-learn", "pyarrow")
OURS = ("PaInvRL", "InvRL", "UltraGCN", "VBPR", "MMGCN", "MMSSL")
FAST = (
    "BPR", "DMF", "EASE", "ENMF", "GCMC", "ItemKNN", "LightGCN", "MultiVAE", "NeuMF", "NGCF", "Pop",
    "SimpleX", "SpectralCF",
)  # fmt: skip
KNN = ("ItemKNN", "AsymKNN")
STAGES = {
    "backbone_epochs": 2,
    "environment_rounds": 2,
    "environment_restarts": 1,
    "mask_epochs": 2,
}


def arguments(model: str, epochs: int) -> dict[str, Any]:
    """Arguments of RecBole's ``run_recbole`` and ``Config`` for a model."""
    settings: dict[str, Any] = {
        "epochs": epochs,
        "metric_decimal_place": 10,
        "show_progress": False,
        "use_gpu": False,
    }
    if model in ("PaInvRL", "InvRL"):
        settings.update(STAGES)
    if model in OURS:
        settings["train_batch_size"] = 4096
    elif model not in FAST:
        settings["user_inter_num_interval"] = "[200,inf)"
    dataset = "ml-trailers" if model in OURS else "ml-100k"
    return {"model": model, "dataset": dataset, "config_dict": settings}


def test_metrics(model: str, epochs: int) -> dict[str, Any]:
    """Every metric of the test, with ten decimals, or the message of the error."""
    from recbole.quick_start import run_recbole

    try:
        result = run_recbole(**arguments(model, epochs))
    except Exception as error:  # noqa: BLE001  # whatever a model of RecBole's raises is a figure
        return {"error": f"{type(error).__name__}: {error}".splitlines()[0]}
    return {name: float(value) for name, value in result["test_result"].items()}


def neighbours(model: str) -> list[tuple[list[int], list[float]]]:
    """Neighbours of every item and their similarities, of a model that keeps the nearest items."""
    from recbole.config import Config
    from recbole.data import create_dataset, data_preparation
    from recbole.utils import get_model, init_seed

    config = Config(**arguments(model, 1))
    init_seed(config["seed"], config["reproducibility"])
    train, _, _ = data_preparation(config, create_dataset(config))
    columns = get_model(model)(config, train.dataset).w.tocsc()
    spans = zip(columns.indptr, columns.indptr[1:], strict=False)
    return [(columns.indices[a:b].tolist(), columns.data[a:b].tolist()) for a, b in spans]


def recbole_models() -> list[str]:
    """Every general recommender of RecBole."""
    from recbole.model import general_recommender

    return [name for name, value in vars(general_recommender).items() if inspect.isclass(value)]


def main() -> None:
    """Write the metrics as JSON."""
    parser = command_line(__doc__)
    parser.add_argument("--models", required=True)
    parser.add_argument("--epochs", type=int, required=True)
    parser.add_argument("--output", type=Path, required=True)
    options = parser.parse_args()
    # RecBole's Config reads the command line, too.
    del sys.argv[1:]
    names: list[str] = []
    for word in options.models.split(","):
        groups = {"recbole": recbole_models(), "fast": list(FAST), "ours": list(OURS)}
        names += groups.get(word, [word])
    import recbole_painvrl  # noqa: F401  # makes the models known

    versions = {name: importlib.metadata.version(name) for name in PACKAGES}
    versions["python"] = platform.python_version()
    started = time.perf_counter()
    models = {name: test_metrics(name, options.epochs) for name in names}
    seconds = time.perf_counter() - started
    near = {name: neighbours(name) for name in KNN if name in names}
    figures = {"versions": versions, "models": models, "seconds": seconds, "neighbours": near}
    options.output.write_text(json.dumps(figures), encoding="utf-8")


if __name__ == "__main__":
    main()
