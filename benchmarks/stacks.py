"""The same figures on every stack: Python 3.11 to 3.14, NumPy 1 and 2, pandas 2 and 3.

``python -m benchmarks.stacks`` makes one virtual environment per interpreter that it finds, trains
the same models in each and prints how far their test metrics are from those of the first stack. It
exits with 1 if a stack fails or differs.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from recbole_painvrl._compat.versions import INSTALL_RECBOLE

ROOT = Path(__file__).parents[1]
TOLERANCE = 1e-6
# Their neighbours of equal similarity are picked by NumPy's partition, which differs.
TIES = {"AsymKNN": 1e-2, "ItemKNN": 1e-2}
# Name -> Python, pins.
STACKS = {
    "old": ("3.11", "benchmarks/old_stack.txt"),
    **{version: (version, "requirements.txt") for version in ("3.11", "3.12", "3.13", "3.14")},
}


class SkippedError(Exception):
    """A stack that this machine cannot have, and why."""


@dataclass
class Figures:
    """What one stack gave.

    Attributes:
        versions: package -> version.
        models: model -> metric -> value, or ``{"error": message}``.
        seconds: training and evaluation of all models.
    """

    versions: dict[str, str]
    models: dict[str, dict[str, Any]]
    seconds: float


def environment(name: str, folder: Path, python: str | None, cpu_only: bool) -> Path:
    """Interpreter of the stack's virtual environment, which is made if it is absent.

    ``this`` is the environment that runs the benchmark.

    Raises:
        SkippedError: there is no such interpreter, its packages cannot be installed, or PyTorch
            would bring GPU libraries.
    """
    if name == "this":
        return Path(sys.executable)
    version, pins = STACKS[name]
    interpreter = python or shutil.which(f"python{version}")
    answer = interpreter and _answers(interpreter)
    if answer != version:
        raise SkippedError(
            f"{python} is Python {answer or 'of no kind'}, expected {version}"
            if python
            else f"python{version} is not installed"
        )
    home = folder / name
    inside = home / "bin" / "python"
    ready = home / "ready.txt"
    wanted = (ROOT / pins).read_text(encoding="utf-8")
    if ready.is_file() and ready.read_text(encoding="utf-8") == wanted:
        return inside
    _run([str(interpreter), "-m", "venv", "--clear", str(home)])
    pip = [str(inside), "-m", "pip", "install", "--quiet"]
    if cpu_only:
        _refuse_gpu_libraries([*pip, "-r", pins])
    _run([*pip, "-r", pins])
    _run([str(inside), "-m", *INSTALL_RECBOLE.split(), "--quiet"])
    ready.write_text(wanted, encoding="utf-8")
    return inside


def _answers(interpreter: str) -> str:
    code = "import sys; print('%d.%d' % sys.version_info[:2])"
    try:
        done = subprocess.run(
            [interpreter, "-c", code], capture_output=True, text=True, check=False
        )
    except OSError:
        return ""
    return done.stdout.strip()


def _run(command: Sequence[str]) -> str:
    """Output of a command of the installation, whose failure is a reason to skip the stack."""
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT)
    if done.returncode:
        last = (done.stderr.strip() or done.stdout.strip()).splitlines()[-1:]
        raise SkippedError(f"it cannot be installed ({' '.join(last)})")
    return done.stdout


def _refuse_gpu_libraries(install: Sequence[str]) -> None:
    command = [*install, "--dry-run", "--report", "-"]
    names = [one["metadata"]["name"] for one in json.loads(_run(command))["install"]]
    if any(name.startswith("nvidia-") for name in names):
        raise SkippedError("no PyTorch without GPU libraries is at hand for it")


def train(interpreter: Path, models: str, epochs: int, work: Path) -> None:
    """Train the models on one stack, from an empty directory; leaves ``figures.json`` there.

    Raises:
        SystemExit: the stack failed as a whole, with the end of its log on stderr.
    """
    shutil.rmtree(work, ignore_errors=True)
    work.mkdir(parents=True)
    output = work / "figures.json"
    arguments = ["--models", models, "--epochs", str(epochs), "--output", str(output)]
    log = work / "output.txt"
    with open(log, "w", encoding="utf-8") as stream:
        done = subprocess.run(
            [str(interpreter), "-m", "benchmarks.stack_figures", *arguments],
            check=False,
            cwd=work,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            stdout=stream,
            stderr=subprocess.STDOUT,
        )
    if done.returncode:
        last = "".join(log.read_text(encoding="utf-8").splitlines(keepends=True)[-20:])
        raise SystemExit(f"{last}error: {interpreter}: the stack failed, all of it is in {log}")


def read_figures(work: Path) -> Figures:
    """What a stack left in its folder."""
    return Figures(**json.loads((work / "figures.json").read_text(encoding="utf-8")))


def difference(first: dict[str, Any], second: dict[str, Any]) -> float:
    """Largest difference of a metric; infinite where only one of two has it or ran."""
    if "error" in first or "error" in second:
        return 0.0 if first == second else math.inf
    if set(first) != set(second):
        return math.inf
    distances = [abs(float(first[name]) - float(second[name])) for name in first]
    return math.inf if any(map(math.isnan, distances)) else max(distances)


def tables(found: dict[str, Figures | str]) -> str:
    """Markdown: the stacks, then every model's NDCG@10 and its distance from the first stack."""
    ran = {name: one for name, one in found.items() if isinstance(one, Figures)}
    packages = ["python", "numpy", "pandas", "scipy", "torch", "scikit-learn", "pyarrow"]
    lines = [f"| stack | {' | '.join(packages)} | seconds |", "|---" * (len(packages) + 2) + "|"]
    for name, one in found.items():
        if isinstance(one, Figures):
            words = [one.versions[package] for package in packages]
            lines.append(f"| {name} | {' | '.join(words)} | {one.seconds:.0f} |")
        else:
            lines.append(f"| {name} | skipped: {one}" + " |" * (len(packages) + 1))
    if not ran:
        return "\n".join(lines)
    first, *others = ran
    lines += ["", f"| model | NDCG@10 on {first} | " + " | ".join(others) + " |"]
    lines.append("|---" * (2 + len(others)) + "|")
    for model, metrics in ran[first].models.items():
        words = [_words(metrics, ran[name].models.get(model)) for name in others]
        value = f"{metrics['ndcg@10']:.6f}" if "error" not in metrics else metrics["error"]
        lines.append(f"| {model} | {value} | " + " | ".join(words) + " |")
    return "\n".join(lines)


def _words(first: dict[str, Any], second: dict[str, Any] | None) -> str:
    if second is None:
        return "not run"
    distance = difference(first, second)
    return "equal" if distance == 0 else f"{distance:.0e}"


def main(argv: Sequence[str] | None = None) -> int:
    """Try the stacks; returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--stacks", default=",".join(STACKS), help="names, with commas, and `this`")
    parser.add_argument(
        "--models",
        default="BPR,LightGCN,PaInvRL",
        help="names, and `recbole`, `fast` (of them), `ours`",
    )
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--envs", type=Path, default=Path(".stacks"), help="their environments")
    parser.add_argument("--python", action="append", default=[], metavar="STACK=PATH")
    parser.add_argument(
        "--cpu-only", action="store_true", help="skip where PyTorch brings GPU libraries"
    )
    parser.add_argument("--reuse", action="store_true", help="take figures that are there")
    options = parser.parse_args(argv)
    names = options.stacks.split(",")
    unknown = set(names) - {*STACKS, "this"}
    if unknown:
        parser.error(f"--stacks: found {', '.join(unknown)}, expected {', '.join(STACKS)} or this")
    paths = dict(one.split("=", 1) for one in options.python)
    found: dict[str, Figures | str] = {}
    for name in names:
        print(f"+ {name}", file=sys.stderr, flush=True)
        work = options.envs.resolve() / f"{name}-work"
        if not (options.reuse and (work / "figures.json").is_file()):
            try:
                inside = environment(name, work.parent, paths.get(name), options.cpu_only)
            except SkippedError as reason:
                found[name] = str(reason)
                continue
            train(inside, options.models, options.epochs, work)
        found[name] = read_figures(work)
    print(tables(found))
    print(f"compared: {', '.join(name for name in found if isinstance(found[name], Figures))}")
    ran = [one for one in found.values() if isinstance(one, Figures)]
    differs = any(
        not difference(metrics, other.models[model]) <= TIES.get(model, TOLERANCE)
        for other in ran[1:]
        for model, metrics in ran[0].models.items()
        if model in other.models
    )
    return int(not ran or differs)


if __name__ == "__main__":
    raise SystemExit(main())
