"""What takes long to import is imported where it is used."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from recbole_painvrl._compat import imports

ROOT = Path(__file__).parents[2]
HEAVY = [
    "hyperopt", "matplotlib", "optuna", "plotly", "ray", "scipy.stats", "sklearn", "tensorboard",
    "torch._dynamo",
]  # fmt: skip


def loaded(code: str, folder: Path) -> list[str]:
    """Which of the heavy modules a process has after running some code."""
    done = subprocess.run(
        [sys.executable, "-c", f"import json, sys\n{code}\nprint(json.dumps(list(sys.modules)))"],
        capture_output=True, text=True, cwd=folder, env={**os.environ, "PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return [name for name in HEAVY if name in json.loads(done.stdout.splitlines()[-1])]


def test_importing_the_package(tmp_path: Path) -> None:
    """No stand-in stays behind either: RecBole starts without ray and leaves no false module."""
    code = "import recbole_painvrl; from recbole.quick_start import run_recbole"
    assert loaded(code, tmp_path) == []


def test_a_whole_run(tmp_path: Path) -> None:
    code = (
        "sys.orig_argv = [sys.executable, '-m', 'recbole_painvrl']; sys.argv = ['-m']\n"
        "from recbole_painvrl.__main__ import main\n"
        "assert main(['run', '--model=BPR', '--dataset=ml-100k', '--epochs=1']) == 0"
    )
    assert loaded(code, tmp_path) == ["tensorboard"]


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
import sys, torch
if sys.argv[1] == "without":
    from recbole_painvrl._compat.torch import step_without_compiler
    step_without_compiler()
steps = []
weights = torch.linspace(-1, 1, 6).reshape(2, 3).requires_grad_()
for kind in (torch.optim.Adam, torch.optim.SGD, torch.optim.Adagrad, torch.optim.RMSprop):
    optimizer = kind([weights], lr=0.1)
    optimizer.register_step_post_hook(lambda *_: steps.append(1))
    if sys.argv[1] == "without":
        step_without_compiler()
    def closure():
        optimizer.zero_grad()
        loss = (weights ** 3).sum()
        loss.backward()
        return loss
    for _ in range(3):
        optimizer.step(closure)
print(weights.tolist(), len(steps), weights.requires_grad, "torch._dynamo" in sys.modules)
"""
    plain, without = (
        subprocess.run(
            [sys.executable, "-c", code, word], capture_output=True, text=True, cwd=tmp_path,
            env={**os.environ, "PYTHONPATH": str(ROOT)}, check=True,
        ).stdout
        for word in ("with", "without")
    )  # fmt: skip
    assert plain.replace("True\n", "") == without.replace("False\n", "")


def test_data_are_prepared_without_recbole_and_pytorch(tmp_path: Path) -> None:
    for name in ("recbole", "torch", "sklearn"):
        (tmp_path / f"{name}.py").write_text(f"raise ImportError('{name} is not here')\n")
    for words in ("planted --output made", "check made", "describe made", "table --help"):
        done = subprocess.run(
            [sys.executable, "-m", "dataset_prep", *words.split()], capture_output=True, text=True,
            cwd=tmp_path, env={**os.environ, "PYTHONPATH": f"{tmp_path}{os.pathsep}{ROOT}"},
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
