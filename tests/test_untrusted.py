"""No line of the project unpickles, evaluates or executes what it reads."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
SOURCES = [
    *(
        path
        for folder in ("recbole_painvrl", "dataset_prep", "benchmarks", "docs")
        for path in sorted((ROOT / folder).rglob("*.py"))
    ),
    ROOT / "run_recbole.py",
    ROOT / "setup.py",
]

# Names whose call would run code that a file or a person brings.
NEVER = {"eval", "exec", "compile", "__import__"}
# Function -> modules from which it must not be called.
NEVER_OF = {
    "load": {"pickle", "torch", "joblib", "marshal", "dill", "cloudpickle", "yaml"},
    "loads": {"pickle", "marshal", "dill", "cloudpickle"},
    "Unpickler": {"pickle", "_pickle"},
    "read_pickle": {"pd", "pandas"},
    "open": {"shelve"},
    "full_load": {"yaml"},
    "unsafe_load": {"yaml"},
    "system": {"os"},
    "popen": {"os"},
}


def dangerous(tree: ast.AST) -> Iterator[tuple[int, str]]:
    """Line and name of every call that may run what it reads."""
    safe_loaders = {
        node.name
        for node in ast.walk(tree)
        if isinstance(node, ast.ClassDef)
        and any(ast.unparse(base) == "yaml.SafeLoader" for base in node.bases)
    }
    for node in ast.walk(tree):
        if not isinstance(node, ast.Call):
            continue
        keywords = {word.arg: word.value for word in node.keywords}
        if isinstance(node.func, ast.Name) and node.func.id in NEVER:
            yield node.lineno, node.func.id
        if isinstance(node.func, ast.Attribute) and isinstance(node.func.value, ast.Name):
            owner, name = node.func.value.id, node.func.attr
            # With weights_only PyTorch reads tensors and nothing else.
            tensors = (owner, name) == ("torch", "load") and _is(keywords.get("weights_only"), True)
            given = [ast.unparse(value) for value in (*node.args[1:], *keywords.values())]
            safe_yaml = owner == "yaml" and bool(safe_loaders & set(given))
            if owner in NEVER_OF.get(name, ()) and not tensors and not safe_yaml:
                yield node.lineno, f"{owner}.{name}"
            plain = _is(keywords.get("allow_pickle"), False)
            if owner in ("np", "numpy") and name == "load" and not plain:
                yield node.lineno, "np.load without allow_pickle=False"
        if _is(keywords.get("shell"), True):
            yield node.lineno, "shell=True"


def _is(node: ast.expr | None, value: bool) -> bool:
    return isinstance(node, ast.Constant) and node.value is value


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_nothing_read_is_executed(path: Path) -> None:
    assert list(dangerous(ast.parse(path.read_text(encoding="utf-8")))) == []


@pytest.mark.parametrize(
    "line",
    [
        "eval(x)",
        "pickle.load(f)",
        "torch.load(f)",
        "torch.load(f, weights_only=False)",
        "np.load(f)",
        "np.load(f, allow_pickle=True)",
        "yaml.load(f, Loader)",
        "pd.read_pickle(f)",
        "subprocess.run(x, shell=True)",
    ],
)
def test_the_check_finds_it(line: str) -> None:
    assert list(dangerous(ast.parse(line)))
