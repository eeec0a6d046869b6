"""Checkpoints without pickle: one safetensors file, its state as JSON in the header, atomic."""

from __future__ import annotations

import json
from collections.abc import Mapping
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

_STATE = "state"
_SPARSE = ("data", "indices", "indptr")


class NonFiniteLossError(RuntimeError):
    """Training met a loss that is NaN or infinite; no checkpoint is written from there on."""


def write_checkpoint(path: Path, tensors: Mapping[str, Tensor], state: Mapping[str, Any]) -> None:
    """Write tensors and a JSON-able state into one file, whole or not at all."""
    # A copy each: safetensors refuses tensors that share memory, which some models have.
    plain = {name: tensor.detach().cpu().contiguous().clone() for name, tensor in tensors.items()}
    write_bytes(path, save(plain, metadata={_STATE: json.dumps(state)}))


def read_checkpoint(path: Path, device: torch.device) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Tensors and state of a checkpoint.

    Raises:
        UserError: the file is missing, cut or no checkpoint of ours.
    """
    try:
        with safe_open(str(path), framework="pt", device=str(device)) as archive:
            state = json.loads((archive.metadata() or {})[_STATE])
            return {name: archive.get_tensor(name) for name in archive.keys()}, state  # noqa: SIM118
    except (OSError, SafetensorError, KeyError, ValueError) as error:
        reason = " ".join(str(error).split())
        raise UserError(
            f"{path}: not a readable checkpoint ({reason}); run the stage again"
        ) from error


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
