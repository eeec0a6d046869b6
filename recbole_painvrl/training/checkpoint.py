"""Checkpoints without pickle: one safetensors file, its state as JSON in the header, atomic."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import scipy.sparse as sp
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from recbole_painvrl.atomic import write_bytes
from recbole_painvrl.errors import UserError
from recbole_painvrl.reading import DAMAGED, parse_json, reason

OTHER = "other_parameter."
_STATE = "state"
_SPARSE = ("data", "indices", "indptr")


def write_checkpoint(path: Path, tensors: Mapping[str, Tensor], state: Mapping[str, Any]) -> None:
    """Write tensors and a JSON-able state into one file, whole or not at all."""
    # A copy each: safetensors refuses tensors that share memory, which some models have.
    plain = {name: tensor.detach().cpu().contiguous().clone() for name, tensor in tensors.items()}
    text = json.dumps(state)
    # One entry: safetensors writes several in a random order, and equal runs have equal files.
    write_bytes(path, save(plain, metadata={_STATE: f"{_checksum(plain, text)} {text}"}))


def read_checkpoint(path: Path, device: torch.device) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Tensors and state of a checkpoint.

    Raises:
        UserError: the file is missing, cut, changed or no checkpoint of ours.
    """
    try:
        with safe_open(str(path), framework="pt", device="cpu") as archive:
            checksum, _, text = (archive.metadata() or {})[_STATE].partition(" ")
            tensors = {name: archive.get_tensor(name) for name in archive.keys()}  # noqa: SIM118
        if checksum != _checksum(tensors, text):
            raise ValueError("its content does not have its checksum")
        # The best score of a stage begins at -Infinity.
        state = parse_json(text, finite=False)
        if not isinstance(state, dict):
            raise ValueError("its state is no object")
    except (SafetensorError, *DAMAGED) as error:
        raise UserError(
            f"{path}: not a readable checkpoint ({reason(error)}); start the run again"
        ) from error
    return {name: tensor.to(device) for name, tensor in tensors.items()}, state


@contextmanager
def fitting(path: Path) -> Iterator[None]:
    """What a readable checkpoint holds is put in place inside; it may be of another run.

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
        plain = tensor.detach().cpu().contiguous()
        total.update(f"{name}\t{plain.dtype}\t{list(plain.shape)}\n".encode())
        total.update(plain.reshape(-1).view(torch.uint8).numpy().data)
    return total.hexdigest()


def _checksum(tensors: Mapping[str, Tensor], state: str) -> str:
    """What a checkpoint says of itself, so that no flipped bit goes unseen."""
    return hashlib.sha256((tensors_hash(tensors) + state).encode()).hexdigest()


def load_model(path: Path, model: Any, device: torch.device) -> dict[str, Any]:
    """Put a checkpoint of :meth:`RunTrainerMixin._save_checkpoint` into its model.

    Returns:
        The state beside the weights: model, stage, epoch.

    Raises:
        UserError: the file is missing, cut or no checkpoint of ours.
    """
    tensors, state = read_checkpoint(path, device)
    other = {n[len(OTHER) :]: t for n, t in tensors.items() if n.startswith(OTHER)}
    model.load_state_dict({n: t for n, t in tensors.items() if not n.startswith(OTHER)})
    model.load_other_parameter(decode_other(other, state["other_parameter"]))
    return state


def encode_other(parameters: Mapping[str, Any]) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """RecBole's ``other_parameter`` (tensors, arrays, sparse matrices, plain values), split.

    Returns:
        ``(tensors, state)``.

    Raises:
        TypeError: a value of another kind, which could only be pickled.
    """
    tensors: dict[str, Tensor] = {}
    state: dict[str, Any] = {}
    for name, value in parameters.items():
        if isinstance(value, Tensor):
            tensors[name], state[name] = value, {"kind": "tensor"}
        elif isinstance(value, np.ndarray) and value.dtype != object:
            tensors[name], state[name] = torch.from_numpy(value), {"kind": "array"}
        elif sp.issparse(value):
            matrix = value.tocsr()
            for field in _SPARSE:
                tensors[f"{name}.{field}"] = torch.from_numpy(getattr(matrix, field))
            state[name] = {"kind": value.format, "shape": list(value.shape)}
        elif value is None or isinstance(value, bool | int | float | str):
            state[name] = {"kind": "plain", "value": value}
        else:
            raise TypeError(f"`{name}` of type {type(value).__name__} cannot be stored")
    return tensors, state


def decode_other(tensors: Mapping[str, Tensor], state: Mapping[str, Any]) -> dict[str, Any]:
    """Inverse of :func:`encode_other`."""
    parameters: dict[str, Any] = {}
    for name, entry in state.items():
        if entry["kind"] == "tensor":
            parameters[name] = tensors[name]
        elif entry["kind"] == "array":
            parameters[name] = tensors[name].cpu().numpy()
        elif entry["kind"] == "plain":
            parameters[name] = entry["value"]
        else:
            fields = tuple(tensors[f"{name}.{field}"].cpu().numpy() for field in _SPARSE)
            matrix = sp.csr_matrix(fields, shape=entry["shape"])
            parameters[name] = matrix.asformat(entry["kind"])
    return parameters
