"""Checkpoints without pickle: one safetensors file, its state as JSON in the header, atomic."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import scipy.sparse as sp
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from recbole_painvrl.atomic import write_bytes
from recbole_painvrl.errors import UserError
from recbole_painvrl.parallel.shards import user_tables
from recbole_painvrl.reading import DAMAGED, parse_json, reason

if TYPE_CHECKING:
    from recbole_painvrl.training.protocols import Recommender

OTHER = "other_parameter."
_STATE = "state"
# Numbers of a table that are read at a time.
_BLOCK = 2**22
_SPARSE = ("data", "indices", "indptr")
_KIND = "kind of value"
# Ending of the names of tensors whose rows are the users of one of several processes.
OF_USERS = "@users"


class UserRows:
    """Marks a tensor ``[n_r, ...]`` of a state whose rows are the users of this process."""

    def __init__(self, tensor: Tensor) -> None:
        self.tensor = tensor


def write_checkpoint(path: Path, tensors: Mapping[str, Tensor], state: Mapping[str, Any]) -> None:
    """Write tensors and a JSON-able state into one file, whole or not at all."""
    # A copy each: safetensors refuses tensors that share memory, which some models have.
    plain = {name: tensor.detach().cpu().contiguous().clone() for name, tensor in tensors.items()}
    text = json.dumps(state)
    # One entry: safetensors writes several in a random order, and equal runs have equal files.
    write_bytes(path, save(plain, metadata={_STATE: f"{_total(tensors_hash(plain), text)} {text}"}))


def read_checkpoint(
    path: Path, device: torch.device, rows: Mapping[str, slice] | None = None
) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Tensors and state of a checkpoint.

    Args:
        path: the file.
        device: where the tensors go.
        rows: of these tensors only some rows are kept; never more than a block is read at once.

    Raises:
        UserError: the file is missing, cut, changed or no checkpoint of ours.
    """
    try:
        with safe_open(str(path), framework="pt", device="cpu") as archive:
            checksum, _, text = (archive.metadata() or {})[_STATE].partition(" ")
            kept = _Kept(rows or {})
            for name in sorted(archive.keys()):
                kept.read(archive, name)
        if checksum != _total(kept.digest.hexdigest(), text):
            raise ValueError("its content does not have its checksum")
        # The best score of a stage begins at -Infinity.
        state = parse_json(text, finite=False)
        if not isinstance(state, dict):
            raise ValueError("its state is no object")
    except (SafetensorError, *DAMAGED) as error:
        raise UserError(
            f"{path}: not a readable checkpoint ({reason(error)}); start the run again"
        ) from error
    return {name: tensor.to(device) for name, tensor in kept.tensors.items()}, state


class _Kept:
    """Tensors of a file, or rows of them, with the hash of all (:func:`tensors_hash`)."""

    def __init__(self, rows: Mapping[str, slice]) -> None:
        self.rows, self.digest = rows, hashlib.sha256()
        self.tensors: dict[str, Tensor] = {}

    def read(self, archive: Any, name: str) -> None:
        if name not in self.rows:
            self.tensors[name] = archive.get_tensor(name)
            _add(self.digest, name, self.tensors[name])
            return
        part, table = self.rows[name], archive.get_slice(name)
        shape, parts = table.get_shape(), []
        step = max(1, _BLOCK // max(1, shape[1] if len(shape) > 1 else 1))
        for start in range(0, shape[0], step):
            block = table[start : min(start + step, shape[0])]
            _add(self.digest, name if start == 0 else None, block, shape)
            first, last = max(part.start - start, 0), max(part.stop - start, 0)
            parts.append(block[first:last].clone())
        self.tensors[name] = torch.cat(parts)


@contextmanager
def fitting(path: Path) -> Iterator[None]:
    """Inside, the content of a checkpoint is loaded, which fails if it is of another run.

    Raises:
        UserError: it does not fit.
    """
    try:
        yield
    except UserError:
        raise
    except (LookupError, TypeError, ValueError, AttributeError, RuntimeError) as error:
        raise UserError(
            f"{path}: does not fit this run ({reason(error)}); start the run again"
        ) from error


def weights_hash(path: Path) -> str:
    """SHA-256 of the tensors of a checkpoint: names, types, shapes and values, nothing else."""
    tensors, _ = read_checkpoint(path, torch.device("cpu"))
    return tensors_hash(tensors)


def tensors_hash(tensors: Mapping[str, Tensor]) -> str:
    """SHA-256 over names, types, shapes and values of tensors, in the order of their names."""
    total = hashlib.sha256()
    for name, tensor in sorted(tensors.items()):
        _add(total, name, tensor)
    return total.hexdigest()


def _add(
    digest: hashlib._Hash, name: str | None, tensor: Tensor, shape: list[int] | None = None
) -> None:
    """Add a tensor to a hash, or a block of rows; its name and shape come with the first one."""
    plain = tensor.detach().cpu().contiguous()
    if name is not None:
        digest.update(f"{name}\t{plain.dtype}\t{shape or list(plain.shape)}\n".encode())
    digest.update(plain.reshape(-1).view(torch.uint8).numpy().data)


def _total(tensors: str, state: str) -> str:
    """The hash stored in a checkpoint, over its tensors and state, by which damage is detected."""
    return hashlib.sha256((tensors + state).encode()).hexdigest()


def load_model(path: Path, model: Recommender, device: torch.device) -> dict[str, Any]:
    """Put a checkpoint of :meth:`RunTrainerMixin._save_checkpoint` into its model.

    Returns:
        The state beside the weights: model, stage, epoch.

    Raises:
        UserError: the file is missing, cut or no checkpoint of ours.
    """
    shard = getattr(model, "shard", None)
    rows = {name: slice(shard.first, shard.last) for name in user_tables(model) if shard}
    tensors, state = read_checkpoint(path, device, rows)
    other = {n[len(OTHER) :]: t for n, t in tensors.items() if n.startswith(OTHER)}
    model.load_state_dict({n: t for n, t in tensors.items() if not n.startswith(OTHER)})
    model.load_other_parameter(unpack(other, state["other_parameter"]))
    return state


def pack(state: Any) -> tuple[dict[str, Tensor], Any]:
    """Split a nested state into its tensors and what JSON can hold.

    A tensor, array or sparse matrix is named by its keys, joined by ``/``; in the second value an
    entry with this name stands in its place. Tuples become lists.

    Raises:
        TypeError: a value of another kind, which could only be pickled.
    """
    tensors: dict[str, Tensor] = {}

    def plain(value: Any, name: str) -> Any:
        if value is None or isinstance(value, bool | int | float | str):
            return value
        if isinstance(value, UserRows):
            name, value = name + OF_USERS, value.tensor
        if isinstance(value, Tensor):
            tensors[name] = value
            return {_KIND: "tensor", "name": name}
        if isinstance(value, np.ndarray) and value.dtype != object:
            tensors[name] = torch.from_numpy(value)
            return {_KIND: "array", "name": name}
        if sp.issparse(value):
            matrix = value.tocsr()
            for field in _SPARSE:
                tensors[f"{name}.{field}"] = torch.from_numpy(getattr(matrix, field))
            return {_KIND: value.format, "name": name, "shape": list(value.shape)}
        if isinstance(value, list | tuple):
            return [plain(one, f"{name}/{number}") for number, one in enumerate(value)]
        if not isinstance(value, Mapping):
            raise TypeError(f"`{name}` of type {type(value).__name__} cannot be stored")
        inner = {
            key: plain(one, f"{name}/{key}" if name else str(key)) for key, one in value.items()
        }
        if all(isinstance(key, str) for key in inner):
            return inner
        # JSON would turn the numbers of an optimizer's parameters into text.
        return {_KIND: "items", "items": [list(pair) for pair in inner.items()]}

    return tensors, plain(state, "")


def unpack(tensors: Mapping[str, Tensor], plain: Any) -> Any:
    """Inverse of :func:`pack`."""
    if isinstance(plain, list):
        return [unpack(tensors, one) for one in plain]
    if not isinstance(plain, dict):
        return plain
    kind = plain.get(_KIND)
    if kind is None:
        return {key: unpack(tensors, one) for key, one in plain.items()}
    if kind == "items":
        return {key: unpack(tensors, one) for key, one in plain["items"]}
    if kind == "tensor":
        return tensors[plain["name"]]
    if kind == "array":
        return tensors[plain["name"]].cpu().numpy()
    fields = tuple(tensors[f"{plain['name']}.{field}"].cpu().numpy() for field in _SPARSE)
    return sp.csr_matrix(fields, shape=plain["shape"]).asformat(kind)
