"""What takes long to import is imported where it is used."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from forks import ROOT, fresh
from golden_state import CASES, write_synthetic

from recbole_painvrl._compat import imports

HEAVY = [
    "hyperopt", "matplotlib", "optuna", "plotly", "ray", "scipy.stats", "sklearn", "tensorboard",
    "torch._dynamo",
]  # fmt: skip


def python(code: str, folder: Path, paths: str = str(ROOT)) -> tuple[str, str]:
    """What some code prints and says in a process in which nothing was imported before."""
    done = fresh(["-c", code], folder, PYTHONPATH=paths)
    assert done.returncode == 0, done.stderr
    return done.stdout, done.stderr


def test_importing_the_package_and_runs(tmp_path: Path) -> None:
    """RecBole starts without ray, finds the names of NumPy that it reads, and nothing heavy.

    Nobody sees warnings about RecBole's code.
    """
    write_synthetic(tmp_path)
    settings = {**CASES["all columns"], "data_path": str(tmp_path), "epochs": 1, "use_gpu": False}
    code = f"""
import sys
def heavy():
    print([name for name in {HEAVY} if name in sys.modules])
import recbole_painvrl
import numpy as np
print(np.dtype(np.float), np.dtype(np.unicode).kind, np.bool is np.bool_)
from recbole.quick_start import run_recbole
heavy()
from recbole_painvrl.__main__ import main
assert main(['run', '--model=BPR', '--dataset=ml-100k', '--epochs=1', '--use_gpu=False']) == 0
heavy()
run_recbole(model='LightGCN', dataset='syn', config_dict={settings!r})
"""
    out, err = python(code, tmp_path)
    lines = out.splitlines()
    assert lines[:2] == ["float64 U True", "[]"] and "['tensorboard']" in lines
    assert "Warning" not in err


def test_recbole_calls_what_was_not_imported() -> None:
    from recbole.evaluator import metrics
    from recbole.model.general_recommender import nceplrec
    from sklearn.metrics import auc

    assert metrics.sk_auc([0.0, 0.5, 1.0], [0.0, 1.0, 1.0]) == auc([0, 0.5, 1], [0, 1, 1]) == 0.75
    assert metrics.mean_absolute_error([1.0, 2.0], [1.5, 3.0]) == 0.75
    assert nceplrec.randomized_svd([[2.0, 0.0], [0.0, 1.0]], n_components=1)[1].round(6) == 2.0


@pytest.mark.parametrize("takes", ["mapping", "keywords"])
def test_metrics_go_on_to_a_ray_that_is_loaded(takes: str, monkeypatch: pytest.MonkeyPatch) -> None:
    got: list[dict[str, Any]] = []
    tune: Any = ModuleType("ray.tune")

    def of_today(metrics: dict[str, Any], *, checkpoint: Any = None) -> None:
        got.append(metrics)

    def up_to_2_6(_metric: Any = None, **metrics: Any) -> None:
        got.append({} if _metric is not None else metrics)

    tune.report = of_today if takes == "mapping" else up_to_2_6
    monkeypatch.setitem(sys.modules, "ray.tune", tune)
    imports._report(recall=0.5)
    assert got == [{"recall": 0.5}]


def test_steps_without_the_compiler_are_the_same_steps(tmp_path: Path) -> None:
    code = """
import os, sys, torch
without = os.fork() == 0
if without:
    from recbole_painvrl._compat.torch import step_without_compiler
    step_without_compiler()
else:
    os.wait()
steps = []
weights = torch.linspace(-1, 1, 6).reshape(2, 3).requires_grad_()
for kind in (torch.optim.Adam, torch.optim.SGD, torch.optim.Adagrad, torch.optim.RMSprop):
    optimizer = kind([weights], lr=0.1)
    optimizer.register_step_post_hook(lambda *_: steps.append(1))
    if without:
        step_without_compiler()
    def closure():
        optimizer.zero_grad()
        loss = (weights ** 3).sum()
        loss.backward()
        return loss
    for _ in range(3):
        optimizer.step(closure)
assert without != ("torch._dynamo" in sys.modules)
print(weights.tolist(), len(steps), weights.requires_grad, flush=True)
"""
    without, plain = python(code, tmp_path)[0].splitlines()
    assert without == plain


def test_data_are_prepared_without_recbole_and_pytorch(tmp_path: Path) -> None:
    for name in ("recbole", "torch", "sklearn"):
        (tmp_path / f"{name}.py").write_text(f"raise ImportError('{name} is not here')\n")
    code = """
import sys
sys.argv = ['dataset_prep/__main__.py']
from dataset_prep.__main__ import main
for words in ('planted --output made', 'check made', 'describe made', 'table --help'):
    assert main(words.split()) == 0, words
"""
    python(code, tmp_path, f"{tmp_path}{os.pathsep}{ROOT}")
