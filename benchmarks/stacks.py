"""The same figures on every stack: Python 3.11 to 3.14, NumPy 1 and 2, pandas 2 and 3.

    python -m benchmarks.stacks                          all but `oldest` and `newest`
    python -m benchmarks.stacks --stacks old,3.11 --models ItemKNN
    python -m benchmarks.stacks --reuse                  the table of what earlier calls left

Makes one virtual environment per interpreter that it finds, trains the same models in each and
prints how far their test metrics are from those of the first stack. The exit code is 1 if a stack
fails or differs.
"""

from __future__ import annotations

import json
import math
import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any

from benchmarks.common import ROOT, command_line, head, row
from benchmarks.stack_figures import PACKAGES, arguments
from recbole_painvrl._compat.versions import INSTALL_RECBOLE

TOLERANCE = 1e-6
# Their neighbours of equal similarity are picked by NumPy's partition, which differs.
TIES = {"AsymKNN": 1e-2, "ItemKNN": 1e-2}
# Name -> Python, and what is pinned otherwise than in requirements.txt.
STACKS: dict[str, tuple[str, dict[str, str]]] = {
    # What RecBole 1.2.1 was written for, without ray.
    "old": (
        "3.11",
        {
            "numpy": "1.26.4",
            "pandas": "2.3.3",
            "scipy": "1.12.0",
            "pyarrow": "17.0.0",
            "colorlog": "4.7.2",
            "colorama": "0.4.4",
        },
    ),
    **{version: (version, {}) for version in ("3.11", "3.12", "3.13", "3.14")},
    # Both ends of docs/stacks.md, "Versions".
    "oldest": (
        "3.11",
        {
            "numpy": "1.24.4",
            "pandas": "2.0.3",
            "scipy": "1.10.1",
            "torch": "2.4.1",
            "pyarrow": "14.0.2",
            "scikit-learn": "1.5.2",
        },
    ),
    "newest": ("3.14", {"numpy": "2.5.5", "scipy": "1.18.1", "torch": "2.14.1"}),
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
        neighbours: model with neighbours -> neighbours and similarities of every item.
        made_with: what the figures depend on, compared before they are used again.
    """

    versions: dict[str, str]
    models: dict[str, dict[str, Any]]
    seconds: float
    neighbours: dict[str, list[tuple[list[int], list[float]]]] = field(default_factory=dict)
    made_with: dict[str, Any] = field(default_factory=dict)


def pins(name: str) -> str:
    """The requirements of a stack; of ``this`` what is installed."""
    if name == "this":
        return "\n".join(f"{package}=={version(package)}" for package in PACKAGES)
    lines = (ROOT / "requirements.txt").read_text(encoding="utf-8").splitlines()
    own = STACKS[name][1]
    kept = [line for line in lines if line.partition("==")[0] not in own]
    return "\n".join([*kept, *(f"{package}=={number}" for package, number in own.items()), ""])


def environment(name: str, folder: Path, python: str | None, cpu_only: bool) -> Path:
    """Interpreter of the stack's virtual environment, which is made if it is absent.

    ``this`` is the environment that runs the benchmark.

    Raises:
        SkippedError: there is no such interpreter, its packages cannot be installed, or PyTorch
            would bring GPU libraries.
    """
    if name == "this":
        return Path(sys.executable)
    wanted = STACKS[name][0]
    interpreter = python or shutil.which(f"python{wanted}")
    answer = interpreter and _version(interpreter)
    if answer != wanted:
        raise SkippedError(
            f"{python} is Python {answer or 'of no kind'}, expected {wanted}"
            if python
            else f"python{wanted} is not installed"
        )
    home, pinned = folder / name, pins(name)
    inside, ready = home / "bin" / "python", home / "ready.txt"
    if ready.is_file() and ready.read_text(encoding="utf-8") == pinned:
        return inside
    _run([str(interpreter), "-m", "venv", "--clear", str(home)])
    requirements = home / "requirements.txt"
    requirements.write_text(pinned, encoding="utf-8")
    install = [str(inside), "-m", "pip", "install", "--quiet", "-r", str(requirements)]
    if cpu_only:
        report = json.loads(_run([*install, "--dry-run", "--report", "-"]))
        if any(one["metadata"]["name"].startswith("nvidia-") for one in report["install"]):
            raise SkippedError("no PyTorch without GPU libraries is at hand for it")
    _run(install)
    _run([str(inside), "-m", *INSTALL_RECBOLE.split(), "--quiet"])
    ready.write_text(pinned, encoding="utf-8")
    return inside


def _version(interpreter: str) -> str:
    code = "import sys; print('%d.%d' % sys.version_info[:2])"
    try:
        done = subprocess.run([interpreter, "-c", code], capture_output=True, text=True)
    except OSError:
        return ""
    return done.stdout.strip()


def _run(command: Sequence[str]) -> str:
    """Output of a command of the installation, whose failure is a reason to skip the stack."""
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT)
    if done.returncode:
        last = (done.stderr.strip() or done.stdout.strip()).splitlines()[-1:]
        raise SkippedError(f"it cannot be installed ({' '.join(last)})")
    return done.stdout


def train(interpreter: Path, models: str, made_with: dict[str, Any], work: Path) -> None:
    """Train the models on one stack, from an empty directory; leaves ``figures.json`` there.

    Raises:
        SystemExit: the stack failed as a whole, with the end of its log on stderr.
    """
    shutil.rmtree(work, ignore_errors=True)
    work.mkdir(parents=True)
    output, log = work / "figures.json", work / "output.txt"
    epochs = str(made_with["epochs"])
    words = ["--models", models, "--epochs", epochs, "--output", str(output)]
    with open(log, "w", encoding="utf-8") as stream:
        done = subprocess.run(
            [str(interpreter), "-m", "benchmarks.stack_figures", *words],
            cwd=work,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            stdout=stream,
            stderr=subprocess.STDOUT,
        )
    if done.returncode:
        last = "".join(log.read_text(encoding="utf-8").splitlines(keepends=True)[-20:])
        raise SystemExit(f"{last}error: {interpreter}: the stack failed, all of it is in {log}")
    figures = json.loads(output.read_text(encoding="utf-8"))
    output.write_text(json.dumps({**figures, "made_with": made_with}), encoding="utf-8")


def read_figures(work: Path, made_with: dict[str, Any]) -> Figures:
    """What a stack left in its folder.

    Raises:
        SystemExit: it was made with other epochs, settings or pins.
    """
    figures = Figures(**json.loads((work / "figures.json").read_text(encoding="utf-8")))
    for name, wanted in made_with.items():
        found = figures.made_with.get(name)
        if found != wanted:
            raise SystemExit(
                f"error: {work / 'figures.json'}: made with {name}={found!r}, expected {wanted!r}; "
                "delete it, or run without --reuse"
            )
    return figures


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
    packages = ("python", *PACKAGES)
    lines = [head("stack", *packages, "seconds")]
    for name, one in found.items():
        if isinstance(one, Figures):
            words = [one.versions[package] for package in packages]
            lines.append(row(name, *words, f"{one.seconds:.0f}"))
        else:
            lines.append(row(name, f"skipped: {one}", *[""] * len(packages)))
    if not ran:
        return "\n".join(lines)
    first, *others = ran
    lines += ["", head("model", f"NDCG@10 on {first}", *others)]
    for model, metrics in ran[first].models.items():
        words = [_words(metrics, ran[name].models.get(model)) for name in others]
        value = f"{metrics['ndcg@10']:.6f}" if "error" not in metrics else metrics["error"]
        lines.append(row(model, value, *words))
    for model, name in ((m, n) for m in ran[first].neighbours for n in others):
        if model in ran[name].neighbours:
            told = ties(ran[first].neighbours[model], ran[name].neighbours[model])
            lines += ["", f"{model} on {name}: {told}"]
    return "\n".join(lines)


def _words(first: dict[str, Any], second: dict[str, Any] | None) -> str:
    if second is None:
        return "not run"
    distance = difference(first, second)
    return "equal" if distance == 0 else f"{distance:.0e}"


def ties(
    first: list[tuple[list[int], list[float]]], second: list[tuple[list[int], list[float]]]
) -> str:
    """How many items have other neighbours, and how many of these by ties alone.

    By ties alone: the similarities are the same numbers, and the neighbours that only one of both
    has are those of the smallest.
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
    """Try the stacks; returns the exit code."""
    parser = command_line(__doc__)
    usual = ",".join(name for name in STACKS if name not in ("oldest", "newest"))
    parser.add_argument("--stacks", default=usual, help=f"of {', '.join(STACKS)} and `this`")
    groups = "names, and `recbole`, `fast` (of them), `ours`"
    parser.add_argument("--models", default="BPR,LightGCN,PaInvRL", help=groups)
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--envs", type=Path, default=Path(".stacks"), help="their environments")
    parser.add_argument("--python", action="append", default=[], metavar="STACK=PATH")
    parser.add_argument("--cpu-only", action="store_true", help="skip PyTorch with GPU libraries")
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
        made_with = {
            "epochs": options.epochs,
            # A model of each kind.
            "settings": [arguments(one, 1) for one in ("PaInvRL", "UltraGCN", "BPR", "AsymKNN")],
            "pins": pins(name),
        }
        if not (options.reuse and (work / "figures.json").is_file()):
            try:
                inside = environment(name, work.parent, paths.get(name), options.cpu_only)
            except SkippedError as reason:
                found[name] = str(reason)
                continue
            train(inside, options.models, made_with, work)
        found[name] = read_figures(work, made_with)
    print(tables(found))
    ran = {name: one for name, one in found.items() if isinstance(one, Figures)}
    print(f"compared: {', '.join(ran)}")
    if not ran:
        return 1
    first, *others = ran.values()
    return int(
        any(
            not difference(metrics, other.models[model]) <= TIES.get(model, TOLERANCE)
            for other in others
            for model, metrics in first.models.items()
            if model in other.models
        )
    )


if __name__ == "__main__":
    raise SystemExit(main())
