"""Checkpoints whose content was changed, and rows of their tables."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from recbole_painvrl.errors import UserError
from recbole_painvrl.training import checkpoint
from recbole_painvrl.training.checkpoint import read_checkpoint, tensors_hash, write_checkpoint

CPU = torch.device("cpu")


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


def test_a_hash_is_of_names_types_and_shapes_too() -> None:
    values = torch.arange(6, dtype=torch.float32)
    hashes = [
        tensors_hash({"a": values}),
        tensors_hash({"b": values}),
        tensors_hash({"a": values.view(2, 3)}),
        tensors_hash({"a": values.view(3, 2)}),
        tensors_hash({"a": values.view(torch.int32)}),
    ]
    assert len(set(hashes)) == len(hashes)
    assert hashes[0] == tensors_hash({"a": values.clone()})
