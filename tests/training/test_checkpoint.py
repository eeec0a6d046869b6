"""Checkpoints: whole, safe to read, refused in one line when damaged or changed."""

from __future__ import annotations

import json
import pickle
from pathlib import Path

import numpy as np
import pytest
import scipy.sparse as sp
import torch

from recbole_painvrl.errors import UserError
from recbole_painvrl.training import checkpoint
from recbole_painvrl.training.checkpoint import (
    pack,
    read_checkpoint,
    unpack,
    write_checkpoint,
)

CPU = torch.device("cpu")


def test_what_is_written_is_read(tmp_path: Path) -> None:
    path = tmp_path / "checkpoint" / "best.safetensors"
    tensors = {"a": torch.randn(3, 4).T, "b": torch.arange(5), "empty": torch.zeros(0, 2)}
    write_checkpoint(path, tensors, {"epoch": 3, "stage": "final"})
    found, state = read_checkpoint(path, CPU)
    assert state == {"epoch": 3, "stage": "final"}
    assert set(found) == set(tensors)
    for name, tensor in tensors.items():
        assert torch.equal(found[name], tensor)
    assert list(path.parent.iterdir()) == [path]


@pytest.mark.parametrize("damage", ["missing", "cut", "pickle", "no state"])
def test_damaged_files_are_refused_in_one_line(damage: str, tmp_path: Path) -> None:
    path = tmp_path / "best.safetensors"
    write_checkpoint(path, {"a": torch.randn(30)}, {"epoch": 0})
    if damage == "missing":
        path.unlink()
    elif damage == "cut":
        path.write_bytes(path.read_bytes()[:-20])
    elif damage == "pickle":
        path.write_bytes(pickle.dumps({"a": 1}))
    else:
        from safetensors.torch import save_file

        save_file({"a": torch.zeros(1)}, path)
    with pytest.raises(UserError) as caught:
        read_checkpoint(path, CPU)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_nested_state_survives_the_file() -> None:
    parameters = {
        "tensor": torch.randn(2, 3),
        "array": np.arange(6.0).reshape(2, 3),
        "matrix": sp.random(5, 4, 0.4, format="csc", random_state=0),
        "number": 3,
        "text": "x",
        "none": None,
        "nested": {0: {"step": torch.tensor(2.0), "betas": (0.9, 0.999)}, "a": [torch.ones(1)]},
    }
    tensors, state = pack(parameters)
    found = unpack(tensors, json.loads(json.dumps(state)))
    assert found["nested"][0] == {"step": torch.tensor(2.0), "betas": [0.9, 0.999]}
    assert torch.equal(found["nested"]["a"][0], torch.ones(1))
    assert torch.equal(found["tensor"], parameters["tensor"])
    np.testing.assert_array_equal(found["array"], parameters["array"])
    assert found["matrix"].format == "csc"
    assert (found["matrix"] != parameters["matrix"]).nnz == 0
    assert (found["number"], found["text"], found["none"]) == (3, "x", None)


def test_what_only_pickle_could_store_is_refused() -> None:
    with pytest.raises(TypeError, match="`model` of type object"):
        pack({"model": object()})


@pytest.mark.parametrize("part", ["tensor", "state"])
def test_a_changed_value_is_found(part: str, tmp_path: Path) -> None:
    """The file is a whole safetensors file all the same."""
    path = tmp_path / "best.safetensors"
    write_checkpoint(path, {"a": torch.full((30,), 2.0)}, {"epoch": 17})
    old, new = (b"\0\0\0\x40", b"\0\0\x80\x40") if part == "tensor" else (b"17", b"18")
    content = path.read_bytes()
    assert old in content
    path.write_bytes(new.join(content.rsplit(old, 1)))
    with pytest.raises(UserError, match="does not have its checksum"):
        read_checkpoint(path, CPU)


@pytest.mark.parametrize("block", [1, 8, 9, 2**22])
def test_rows_of_a_table_are_read_in_blocks(
    block: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(checkpoint, "_BLOCK", block)
    path = tmp_path / "best.safetensors"
    tensors = {"table": torch.randn(11, 4), "moments": torch.randn(11), "other": torch.randn(3, 4)}
    write_checkpoint(path, tensors, {})
    for start, stop in ((0, 11), (0, 4), (3, 8), (7, 11), (5, 5)):
        part = slice(start, stop)
        found, _ = read_checkpoint(path, CPU, {"table": part, "moments": part})
        assert torch.equal(found["table"], tensors["table"][part])
        assert torch.equal(found["moments"], tensors["moments"][part])
        assert torch.equal(found["other"], tensors["other"])
