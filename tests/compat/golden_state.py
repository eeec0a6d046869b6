"""The whole state of RecBole's datasets under many settings, as hashes.

``python tests/compat/golden_state.py`` writes ``golden_state.json``. The committed file was made by
RecBole 1.2.1 alone, without this package, on Python 3.11 with NumPy 1.26.4, pandas 2.3.3 and SciPy
1.12.0, on which RecBole needs no mends.
"""

from __future__ import annotations

import hashlib
import json
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch

PATH = Path(__file__).with_name("golden_state.json")

ALL = {
    "inter": ["user_id", "item_id", "rating", "timestamp", "mood", "tags", "weights"],
    "user": ["user_id", "age", "job", "langs"],
    "item": ["item_id", "price", "kind", "classes", "vector"],
}
LEAVE_ONE_OUT = {"split": {"LS": "valid_and_test"}, "order": "TO", "mode": "full"}
# Settings of each case; `model` chooses the kind of dataset, `dataset` which of the two.
CASES: dict[str, dict[str, Any]] = {
    "ml-100k, cores and threshold": {
        "dataset": "ml-100k", "load_col": {"inter": ["user_id", "item_id", "rating", "timestamp"]},
        "user_inter_num_interval": "[30,inf)", "item_inter_num_interval": "[20,inf)",
        # Without `rm_dup_inter`: RecBole sorts equal times, of which there are many, unstably.
        "threshold": {"rating": 4},
    },
    "ids alone": {"load_col": {"inter": ["user_id", "item_id"]}},
    "blank tokens and numbers": {
        "load_col": {
            "inter": ["user_id", "item_id", "rating", "mood"], "user": ["user_id", "age", "job"],
        }
    },
    "all columns": {"load_col": ALL},
    "cores": {
        "load_col": ALL, "user_inter_num_interval": "[5,inf)", "item_inter_num_interval": "[4,inf)",
    },
    "values": {
        "load_col": ALL, "val_interval": {"rating": "[2,inf)", "kind": ["k1", "k2"]},
    },
    "values, rows without a side kept": {
        "load_col": ALL, "val_interval": {"price": "(1,inf)"},
        "filter_inter_by_user_or_item": False,
    },
    "normalize all": {"load_col": ALL, "normalize_all": True},
    "normalize one": {"load_col": ALL, "normalize_field": ["weights"]},
    "discretize": {
        "load_col": ALL, "numerical_features": ["price", "age"],
        "discretization": {"price": {"method": "ED", "bucket": 5}, "age": {"method": "LD"}},
    },
    "aliases": {
        "load_col": {**ALL, "item": [*ALL["item"], "similar"]}, "alias_of_item_id": ["similar"],
    },
    "short sequences": {"load_col": ALL, "seq_len": {"tags": 2, "vector": 3}},
    "preloaded weights": {
        "load_col": {"inter": ["user_id", "item_id"], "emb": ["eid", "values"]},
        "additional_feat_suffix": ["emb"], "alias_of_item_id": ["eid"],
        "preload_weight": {"eid": "values"},
    },
    "labels": {"load_col": ALL, "threshold": {"rating": 3}},
    "leave one out": {"load_col": ALL, "eval_args": LEAVE_ONE_OUT},
    "last of repeated pairs": {"load_col": ALL, "rm_dup_inter": "last"},
    "cores, threshold, first of repeated pairs": {
        "load_col": ALL, "rm_dup_inter": "first", "threshold": {"rating": 3},
        "user_inter_num_interval": "[5,inf)",
    },
    "sequential": {"model": "GRU4Rec", "load_col": ALL, "train_neg_sample_args": None},
    "discretize sequences": {
        "load_col": ALL, "numerical_features": ["vector", "weights"],
        "discretization": {"vector": {"method": "ED", "bucket": 4}, "weights": {"method": "LD"}},
    },
    "sequences from files": {
        "model": "GRU4Rec", "train_neg_sample_args": None, "alias_of_item_id": ["item_id_list"],
        "load_col": {"inter": ["user_id", "item_id", "item_id_list"]},
        "benchmark_filename": ["a", "b", "c"],
    },
    "knowledge graph": {
        "model": "CKE", "alias_of_item_id": ["others"],
        "load_col": {
            "inter": ["user_id", "item_id"], "item": ["item_id", "others"],
            "kg": ["head_id", "relation_id", "tail_id"], "link": ["item_id", "entity_id"],
        },
    },
}  # fmt: skip


def write_synthetic(root: Path) -> None:
    """A dataset ``syn`` with blanks in every kind of column of every kind of file."""
    rng = np.random.default_rng(11)

    def word(letter: str, n: int) -> str:
        return "" if rng.random() < 0.15 else f"{letter}{rng.integers(n)}"

    def number() -> str:
        return "" if rng.random() < 0.15 else repr(round(float(rng.random() * 5), 3))

    def words(letter: str) -> str:
        return " ".join(f"{letter}{n}" for n in rng.integers(0, 6, rng.integers(0, 4)))

    def numbers() -> str:
        return " ".join(repr(round(float(v), 3)) for v in rng.random(rng.integers(0, 5)))

    folder = root / "syn"
    folder.mkdir()
    tables = {
        "inter": "user_id:token item_id:token rating:float timestamp:float mood:token "
                 "tags:token_seq weights:float_seq",
        "user": "user_id:token age:float job:token langs:token_seq",
        "item": "item_id:token price:float kind:token classes:token_seq vector:float_seq "
                "similar:token",
        "emb": "eid:token values:float_seq",
    }  # fmt: skip
    rows: dict[str, list[list[str]]] = {name: [line.split()] for name, line in tables.items()}
    times = rng.permutation(900)
    for n in range(300):
        user, item = rng.integers(0, 25), rng.integers(0, 30)
        cells = [f"u{user}", f"i{item}", number(), str(1000 + times[n])]
        rows["inter"].append([*cells, word("m", 3), words("t"), numbers()])
    # One only: RecBole 1.2.1 fails at a second row without an id.
    rows["inter"].append(["", "i1", "1", "5", "", "", ""])
    rows["user"] += [[f"u{n}", number(), word("j", 4), words("l")] for n in range(22)]
    rows["item"] += [
        [f"i{n}", number(), word("k", 3), words("c"), numbers(), word("i", 35)] for n in range(28)
    ]
    rows["emb"] += [[f"i{n}", "0.5 1.5 2.5" if n % 3 else f"{n}.25 1 2"] for n in range(32)]
    _add_tables(rows, np.random.default_rng(12))
    for name, table in rows.items():
        text = "\n".join("\t".join(row) for row in table) + "\n"
        (folder / f"syn.{name}").write_text(text)


def _add_tables(rows: dict[str, list[list[str]]], rng: np.random.Generator) -> None:
    """Lists of items in the item file, files of sequences, and a knowledge graph."""

    def items() -> str:
        return " ".join(f"i{n}" for n in rng.integers(0, 28, rng.integers(1, 5)))

    rows["item"][0].append("others:token_seq")
    for row in rows["item"][1:]:
        row.append(items())
    for name in "abc":
        rows[f"{name}.inter"] = [["user_id:token", "item_id:token", "item_id_list:token_seq"]]
        rows[f"{name}.inter"] += [
            [f"u{rng.integers(0, 25)}", f"i{rng.integers(0, 28)}", items()] for _ in range(30)
        ]
    rows["kg"] = [["head_id:token", "relation_id:token", "tail_id:token"]]
    rows["kg"] += [
        [f"e{rng.integers(0, 40)}", f"r{rng.integers(0, 3)}", f"e{rng.integers(0, 40)}"]
        for _ in range(60)
    ]
    rows["link"] = [["item_id:token", "entity_id:token"]]
    rows["link"] += [[f"i{n}", f"e{n}"] for n in range(20)]


def state_hash(case: dict[str, Any], root: Path) -> str:
    """Hash of everything that a dataset holds, before and after its split."""
    from recbole.config import Config
    from recbole.data import create_dataset
    from recbole.utils import init_seed

    settings = {"data_path": str(root), "dataset": "syn", "model": "BPR", "use_gpu": False, **case}
    config = Config(model=settings["model"], dataset=settings["dataset"], config_dict=settings)
    init_seed(2020, True)
    dataset = create_dataset(config)
    content = [_state(dataset)]
    content += [_table(part.inter_feat) for part in dataset.build()]
    content.append(_state(dataset))
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def _state(dataset: Any) -> dict[str, Any]:
    return {
        "tables": {name: _table(getattr(dataset, name)) for name in dataset.feat_name_list},
        "ids": {name: list(map(str, ids)) for name, ids in dataset.field2id_token.items()},
        "lengths": {name: str(n) for name, n in dataset.field2seqlen.items()},
        "buckets": {name: str(n) for name, n in dataset.field2bucketnum.items()},
        "kinds": {name: kind.value for name, kind in dataset.field2type.items()},
        "weights": {n: _plain(values) for n, values in dataset._preloaded_weight.items()},
    }


def _table(table: Any) -> dict[str, Any]:
    columns = table.columns if isinstance(table, pd.DataFrame) else table.interaction
    return {str(name): _plain(_cells(table[name])) for name in columns}


def _cells(column: Any) -> Any:
    """Entries of a column; a number of a tensor is a list of one, as the stored hashes have it."""
    return _wrapped(column.tolist()) if isinstance(column, torch.Tensor) else column.tolist()


def _wrapped(value: Any) -> list[Any]:
    return list(map(_wrapped, value)) if isinstance(value, list) else [value]


def _plain(cell: Any) -> Any:
    """A cell as JSON; every number with all of its digits."""
    # A tuple, since a union of types takes five times as long, a million times over.
    if isinstance(cell, (np.ndarray, list, tuple)):
        return list(map(_plain, cell))
    return cell if isinstance(cell, str) else repr(float(cell))


if __name__ == "__main__":
    sys.argv = sys.argv[:1]
    with tempfile.TemporaryDirectory() as work:
        write_synthetic(Path(work))
        hashes = {name: state_hash(case, Path(work)) for name, case in CASES.items()}
    PATH.write_text(json.dumps(hashes, indent=1) + "\n")
