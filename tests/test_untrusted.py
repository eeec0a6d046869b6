"""No line of the project unpickles, evaluates or executes what it reads."""

from __future__ import annotations

import ast
from collections.abc import Collection, Iterable, Iterator
from pathlib import Path

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
    "read_pickle": {"pandas"},
    "read_hdf": {"pandas"},
    "open": {"shelve"},
    "full_load": {"yaml"},
    "unsafe_load": {"yaml"},
    "system": {"os"},
    "popen": {"os"},
    "_Unpickler": {"pickle"},
}
# Makes plain values only.
SAFE = "yaml.constructor.SafeConstructor"


def loaders(trees: Iterable[ast.AST]) -> set[str]:
    """Names of the project's own YAML loaders, all of which construct as the safe one does."""
    classes = {
        node.name: {ast.unparse(base) for base in node.bases}
        for tree in trees
        for node in ast.walk(tree)
        if isinstance(node, ast.ClassDef)
    }
    safe: set[str] = set()
    for _ in classes:
        safe |= {name for name, bases in classes.items() if bases & {SAFE, *safe}}
    return safe


def names(tree: ast.AST) -> dict[str, str]:
    """Local name -> what it stands for: ``p`` -> ``pickle``, ``run`` -> ``subprocess.run``."""
    found = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found.update({word.asname or word.name: word.name for word in node.names})
        elif isinstance(node, ast.ImportFrom) and node.module:
            for word in node.names:
                found[word.asname or word.name] = f"{node.module}.{word.name}"
    return found


def dangerous(tree: ast.AST, safe_loaders: Collection[str] = ()) -> Iterator[tuple[int, str]]:
    """Line and name of every call that may run what it reads."""
    meaning = names(tree)
    for node in ast.walk(tree):
        if not isinstance(node, ast.Call):
            continue
        keywords = {word.arg: word.value for word in node.keywords}
        written = ast.unparse(node.func)
        first, dot, rest = written.partition(".")
        full = meaning.get(first, first) + dot + rest
        owner, _, name = full.rpartition(".")
        if full.removeprefix("builtins.") in NEVER:
            yield node.lineno, full
        # model.eval() of PyTorch has no argument; pandas' eval and query run their text.
        if owner and name in ("eval", "query") and (node.args or node.keywords):
            yield node.lineno, full
        # With weights_only PyTorch reads tensors and nothing else.
        tensors = full == "torch.load" and _is(keywords.get("weights_only"), True)
        given = [ast.unparse(value) for value in (*node.args[1:], *keywords.values())]
        safe_yaml = owner == "yaml" and bool(set(safe_loaders) & set(given))
        if owner in NEVER_OF.get(name, ()) and not tensors and not safe_yaml:
            yield node.lineno, full
        plain = _is(keywords.get("allow_pickle"), False)
        if full in ("np.load", "numpy.load") and not plain:
            yield node.lineno, "np.load without allow_pickle=False"
        if "shell" in keywords and not _is(keywords["shell"], False):
            yield node.lineno, "shell"


def _is(node: ast.expr | None, value: bool) -> bool:
    return isinstance(node, ast.Constant) and node.value is value


TREES = {path: ast.parse(path.read_text(encoding="utf-8")) for path in SOURCES}


def test_nothing_read_is_executed() -> None:
    own = loaders(TREES.values())
    found = {str(path): list(dangerous(tree, own)) for path, tree in TREES.items()}
    assert {path: calls for path, calls in found.items() if calls} == {}


def test_whatever_reads_pickles_makes_nothing() -> None:
    """Readers of pickled numbers have a list of their own of what a name may stand for."""
    for tree in TREES.values():
        for node in ast.walk(tree):
            if isinstance(node, ast.ClassDef) and "Unpickler" in "".join(
                map(ast.unparse, node.bases)
            ):
                own = {part.name for part in node.body if isinstance(part, ast.FunctionDef)}
                assert "find_class" in own, node.name
                assert "persistent_load" not in own, node.name


def test_the_check_finds_it() -> None:
    for line in (
        "eval(x)", "pickle.load(f)", "torch.load(f)", "torch.load(f, weights_only=False)",
        "np.load(f)", "np.load(f, allow_pickle=True)", "yaml.load(f, Loader)",
        "import pandas as pd; pd.read_pickle(f)", "subprocess.run(x, shell=True)",
        "subprocess.run(x, shell=flag)", "import pickle as p; p.loads(x)",
        "from pickle import loads as read; read(x)", "from os import system; system(x)",
        "import builtins; builtins.eval(x)", "frame.query(x)", "frame.eval(x)", "numpy.load(f)",
        "yaml.load(f, Loader=yaml.Loader)",
    ):  # fmt: skip
        assert list(dangerous(ast.parse(line))), line
