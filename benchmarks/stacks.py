"""The same metrics on every stack: Python 3.11 to 3.14, NumPy 1 and 2, pandas 2 and 3.

    python -m benchmarks.stacks                          all but `oldest` and `newest`
    python -m benchmarks.stacks --stacks old,3.11 --models ItemKNN
    python -m benchmarks.stacks --reuse                  tables of the results of earlier calls
    python -m benchmarks.stacks --here FILE              results of this environment as JSON
    python -m benchmarks.stacks --install-only           environments; needs only Python itself

Creates a virtual environment for every interpreter that it finds, trains the same models in each
by RecBole's own ``run_recbole`` and prints how far their test metrics are from those of the first
stack. RecBole's models run on ml-100k, ours on ml-trailers, which has features. The exit code is
1 if a stack fails or differs.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import inspect
import json
import math
import os
import platform
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from benchmarks.common import ROOT, command_line, table

# As in `_compat.versions`, which cannot be imported before its packages are installed.
INSTALL_RECBOLE = "pip install --no-deps recbole==1.2.1"
TOLERANCE = 1e-6
# Larger tolerances: which of several equally similar neighbours are kept depends on NumPy.
TIES = {"AsymKNN": 1e-2, "ItemKNN": 1e-2}
_OLD = ("numpy==1.26.4", "pandas==2.3.3", "scipy==1.12.0", "pyarrow==17.0.0", "colorlog==4.7.2",
        "colorama==0.4.4")  # fmt: skip
_OLDEST = ("numpy==1.24.4", "pandas==2.0.3", "scipy==1.10.1", "torch==2.4.1", "pyarrow==14.0.2",
           "scikit-learn==1.5.2")  # fmt: skip
# Name -> Python, and the pins that differ from requirements.txt.
STACKS: dict[str, tuple[str, tuple[str, ...]]] = {
    # What RecBole 1.2.1 was written for, without ray.
    "old": ("3.11", _OLD),
    **{version: (version, ()) for version in ("3.11", "3.12", "3.13", "3.14")},
    # Both ends of docs/stacks.md, "Versions".
    "oldest": ("3.11", _OLDEST),
    "newest": ("3.14", ("numpy==2.5.5", "scipy==1.18.1", "torch==2.14.1")),
    # The environment that runs the benchmark; nothing is installed.
    "this": ("", ()),
}
PACKAGES = ("numpy", "pandas", "scipy", "torch", "scikit-learn", "pyarrow")
OURS = ("PaInvRL", "InvRL", "UltraGCN", "VBPR", "MMGCN", "MMSSL")
MODELS = "BPR,LightGCN,PaInvRL"
# Models of RecBole that train on all users of ml-100k in seconds.
FAST = (
    "BPR", "DMF", "EASE", "ENMF", "GCMC", "ItemKNN", "LightGCN", "MultiVAE", "NeuMF", "NGCF", "Pop",
    "SimpleX", "SpectralCF",
)  # fmt: skip
_STAGES = {
    "backbone_epochs": 2,
    "environment_rounds": 2,
    "environment_restarts": 1,
    "mask_epochs": 2,
}
# Items and similarities of the neighbours of every item.
Neighbours = list[tuple[list[int], list[float]]]


class SkippedError(Exception):
    """A stack that cannot be installed on this machine, and why."""


def arguments(model: str, epochs: int) -> dict[str, Any]:
    """Arguments of RecBole's ``run_recbole`` and ``Config`` for a model."""
    settings: dict[str, Any] = {
        "epochs": epochs,
        "metric_decimal_place": 10,
        "show_progress": False,
        "use_gpu": False,
    }
    if model in ("PaInvRL", "InvRL"):
        settings.update(_STAGES)
    if model in OURS:
        settings["train_batch_size"] = 4096
    elif model not in FAST:
        settings["user_inter_num_interval"] = "[200,inf)"
    dataset = "ml-trailers" if model in OURS else "ml-100k"
    return {"model": model, "dataset": dataset, "config_dict": settings}


def metrics_of(model: str, epochs: int) -> dict[str, Any]:
    """All test metrics with ten decimals, or the message of the error."""
    from recbole.quick_start import run_recbole

    try:
        result = run_recbole(**arguments(model, epochs))
    except Exception as error:  # noqa: BLE001  # whatever a model of RecBole raises is a result
        return {"error": f"{type(error).__name__}: {error}".splitlines()[0]}
    return {name: float(value) for name, value in result["test_result"].items()}


def neighbours(model: str) -> Neighbours:
    """Neighbours and similarities of every item, of a model that keeps the most similar items."""
    from recbole.config import Config
    from recbole.data import create_dataset, data_preparation
    from recbole.utils import get_model, init_seed

    config = Config(**arguments(model, 1))
    init_seed(config["seed"], config["reproducibility"])
    train, _, _ = data_preparation(config, create_dataset(config))
    columns = get_model(model)(config, train.dataset).w.tocsc()
    spans = zip(columns.indptr, columns.indptr[1:], strict=False)
    return [(columns.indices[a:b].tolist(), columns.data[a:b].tolist()) for a, b in spans]


def results_here(models: str, epochs: int) -> dict[str, Any]:
    """Versions, metrics, seconds and neighbours of the models in this environment."""
    # First, since it makes RecBole run on today's packages; it also registers our models.
    import recbole_painvrl  # noqa: F401  # isort: skip
    from recbole.model import general_recommender

    from recbole_painvrl.run.code import code_hash

    # RecBole's Config reads the command line.
    del sys.argv[1:]
    general = [name for name, one in vars(general_recommender).items() if inspect.isclass(one)]
    groups = {"recbole": general, "fast": list(FAST), "ours": list(OURS)}
    names = [name for word in models.split(",") for name in groups.get(word, [word])]
    start = time.perf_counter()
    found = {name: metrics_of(name, epochs) for name in names}
    return {
        "versions": {
            "python": platform.python_version(),
            **{name: importlib.metadata.version(name) for name in PACKAGES},
        },
        "asked": models,
        "code": code_hash(),
        "models": found,
        "seconds": time.perf_counter() - start,
        "neighbours": {name: neighbours(name) for name in TIES if name in names},
    }


def pins(name: str) -> str:
    """Contents of the requirements file of a stack; of ``this`` what is installed."""
    if name == "this":
        return "\n".join(f"{one}=={importlib.metadata.version(one)}" for one in PACKAGES)
    lines = (ROOT / "requirements.txt").read_text(encoding="utf-8").splitlines()
    changed = {pin.partition("==")[0]: pin for pin in STACKS[name][1]}
    kept = [line for line in lines if line.partition("==")[0] not in changed]
    return "\n".join([*kept, *changed.values(), ""])


def environment(name: str, given: Any) -> Path:
    """Interpreter of the stack's virtual environment, which is created if it is missing.

    Raises:
        SkippedError: there is no such interpreter, its packages cannot be installed, or PyTorch
            would bring GPU libraries where ``--cpu-only`` excludes them.
    """
    if name == "this":
        return Path(sys.executable)
    paths = dict(one.split("=", 1) for one in given.python)
    python = paths.get(name, f"python{STACKS[name][0]}")
    home: Path = given.envs.resolve() / name
    inside, requirements = home / "bin" / "python", home / "requirements.txt"
    ready = home / "installed.txt"
    if ready.is_file() and ready.read_text(encoding="utf-8") == pins(name):
        return inside
    _command(python, "-m", "venv", "--clear", str(home))
    requirements.write_text(pins(name), encoding="utf-8")
    install = (str(inside), "-m", "pip", "install", "--quiet", "-r", str(requirements))
    if given.cpu_only:
        report = json.loads(_command(*install, "--dry-run", "--report", "-"))
        if any(one["metadata"]["name"].startswith("nvidia-") for one in report["install"]):
            raise SkippedError("there is no PyTorch without GPU libraries for it here")
    _command(*install)
    _command(str(inside), "-m", *INSTALL_RECBOLE.split(), "--quiet")
    requirements.rename(ready)
    return inside


def _command(*words: str) -> str:
    """Output of a command of the installation; its failure is a reason to skip the stack."""
    try:
        done = subprocess.run(words, capture_output=True, text=True, cwd=ROOT, check=True)
    except FileNotFoundError:
        raise SkippedError(f"{words[0]} is not installed") from None
    except subprocess.CalledProcessError as error:
        last = (error.stderr.strip() or error.stdout.strip()).splitlines()[-1:]
        raise SkippedError(f"it cannot be installed ({' '.join(last)})") from None
    return done.stdout


def results(name: str, given: Any) -> dict[str, Any]:
    """Results of a stack, for the command line ``given``.

    Raises :class:`SkippedError` if the stack cannot be installed, SystemExit if its process failed.
    """
    folder = given.envs.resolve()
    # A model of each kind: results of other settings, epochs or pins are in another file.
    settings = [arguments(one, given.epochs) for one in ("PaInvRL", "UltraGCN", "BPR", "AsymKNN")]
    made_with = json.dumps([settings, pins(name)])
    file = folder / f"{name}-{hashlib.sha256(made_with.encode()).hexdigest()[:8]}.json"
    if not (given.reuse and file.is_file() and _has_asked(file, given.models)):
        inside = environment(name, given)
        asked = given.models or MODELS
        words = ["--models", asked, "--epochs", str(given.epochs), "--here", str(file)]
        work = folder / f"{name}-work"
        work.mkdir(parents=True, exist_ok=True)
        command = [str(inside), "-m", "benchmarks.stacks", *words]
        if subprocess.run(
            command, cwd=work, env={**os.environ, "PYTHONPATH": str(ROOT)}
        ).returncode:
            raise SystemExit(f"error: {name}: the stack failed, its message is above")
    found: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
    return found


def _has_asked(file: Path, models: str | None) -> bool:
    """Whether the results of an earlier call have all models that are named, if any."""
    found = json.loads(file.read_text(encoding="utf-8"))
    known = {*found["models"], *found.get("asked", "").split(",")}
    names: dict[str, tuple[str, ...]] = {"fast": FAST, "ours": OURS}
    words = (models or "").split(",")
    return {name for word in words if word for name in names.get(word, (word,))} <= known


def _warn_of_codes(found: dict[str, dict[str, Any] | str]) -> None:
    """Say if the results of some stacks are those of other code."""
    codes = {name: one.get("code") for name, one in found.items() if isinstance(one, dict)}
    others = [name for name, code in codes.items() if code != next(iter(codes.values()))]
    if others:
        words = f"{', '.join(others)}: made by another version of the code than"
        print(f"warning: {words} {next(iter(codes))}", file=sys.stderr)


def difference(first: dict[str, Any], second: dict[str, Any]) -> float:
    """Largest difference of a metric; infinite if only one of the two has it or ran."""
    if "error" in first or "error" in second:
        return 0.0 if first == second else math.inf
    if set(first) != set(second):
        return math.inf
    distances = [abs(float(first[name]) - float(second[name])) for name in first]
    return math.inf if any(map(math.isnan, distances)) else max(distances)


def tables(found: dict[str, dict[str, Any] | str]) -> Iterator[str]:
    """The stacks, every model's NDCG@10 and its difference from the first stack, as Markdown."""
    packages = ("python", *PACKAGES)
    ran = {name: one for name, one in found.items() if isinstance(one, dict)}
    rows = [
        (name, *(one["versions"][package] for package in packages), f"{one['seconds']:.0f}")
        if isinstance(one, dict)
        else (name, f"skipped: {one}", *[""] * len(packages))
        for name, one in found.items()
    ]
    yield table(("stack", *packages, "seconds"), rows)
    if not ran:
        return
    (base, first), *others = ran.items()
    rows = []
    for model, metrics in first["models"].items():
        value = f"{metrics['ndcg@10']:.6f}" if "error" not in metrics else metrics["error"]
        rows.append(
            (model, value, *(_words(metrics, one["models"].get(model)) for _, one in others))
        )
    yield table(("model", f"NDCG@10 on {base}", *(name for name, _ in others)), rows)
    for model, near in first["neighbours"].items():
        for name, one in others:
            if model in one["neighbours"]:
                yield f"{model} on {name}: {ties(near, one['neighbours'][model])}"


def _words(first: dict[str, Any], second: dict[str, Any] | None) -> str:
    if second is None:
        return "not run"
    distance = difference(first, second)
    return "equal" if distance == 0 else f"{distance:.0e}"


def ties(first: Neighbours, second: Neighbours) -> str:
    """Number of items with other neighbours, and of those that differ only by ties.

    Only by ties: the similarities are equal, and the neighbours that only one of the two has are
    at the smallest similarity.
    """
    differing = tied = 0
    for (items, values), (others, other_values) in zip(first, second, strict=True):
        if set(items) == set(others):
            continue
        differing += 1
        exchanged = {value for item, value in zip(items, values, strict=True) if item not in others}
        tied += sorted(values) == sorted(other_values) and exchanged == {min(values)}
    return f"{differing} of {len(first)} items have other neighbours, {tied} of them by ties alone"


def main(argv: Sequence[str] | None = None) -> int:
    """Compare the stacks; returns the exit code."""
    parser = command_line(__doc__)
    usual = ",".join(name for name in STACKS if name not in ("oldest", "newest", "this"))
    parser.add_argument("--stacks", default=usual, help=f"of {', '.join(STACKS)}")
    groups = "names, and `recbole`, `fast` (of them), `ours`"
    parser.add_argument("--models", help=f"{groups} (default: {MODELS}; of --reuse all there are)")
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--envs", type=Path, default=Path(".stacks"), help="their environments")
    parser.add_argument("--python", action="append", default=[], metavar="STACK=PATH")
    parser.add_argument("--cpu-only", action="store_true", help="skip a PyTorch with GPU libraries")
    parser.add_argument("--reuse", action="store_true", help="use results of earlier calls")
    parser.add_argument("--install-only", action="store_true", help="create environments, no runs")
    parser.add_argument("--here", type=Path, help="train in this environment and write this file")
    given = parser.parse_args(argv)
    if given.here:
        given.here.write_text(json.dumps(results_here(given.models or MODELS, given.epochs)))
        return 0
    names = given.stacks.split(",")
    if unknown := set(names) - set(STACKS):
        parser.error(f"--stacks: found {', '.join(unknown)}, expected {', '.join(STACKS)}")
    found: dict[str, dict[str, Any] | str] = {}
    for name in names:
        print(f"+ {name}", file=sys.stderr, flush=True)
        try:
            if given.install_only:
                environment(name, given)
            else:
                found[name] = results(name, given)
        except SkippedError as reason:
            found[name] = str(reason)
    if given.install_only:
        for name, why in found.items():
            print(f"{name} skipped: {why}")
        return int(bool(found))
    _warn_of_codes(found)
    print("\n\n".join(tables(found)))
    ran = [one["models"] for one in found.values() if isinstance(one, dict)]
    differing = (
        not difference(metrics, other[model]) <= TIES.get(model, TOLERANCE)
        for other in ran[1:]
        for model, metrics in ran[0].items()
        if model in other
    )
    return int(not ran or any(differing))


if __name__ == "__main__":
    raise SystemExit(main())
