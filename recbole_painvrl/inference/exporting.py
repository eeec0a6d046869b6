"""Vectors, masks and representations of a run as plain files, each row with its id."""

from __future__ import annotations

import io
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from safetensors.torch import save
from torch import Tensor

from recbole_painvrl.atomic import write_together
from recbole_painvrl.errors import UserError
from recbole_painvrl.functional.gate import invariant, variant
from recbole_painvrl.inference.files import check_out
from recbole_painvrl.inference.loading import LoadedRun
from recbole_painvrl.inference.vectors import score_tables
from recbole_painvrl.specs import spec_of

SUFFIXES = (".safetensors", ".npy")


@dataclass(frozen=True)
class Export:
    """Tensors by name, and what their rows are.

    Attributes:
        tensors: the first dimension is that of the rows.
        rows: what each row of a tensor is, by the name of the table.
        notes: goes into the header of a safetensors file.
    """

    tensors: Mapping[str, Tensor]
    rows: Mapping[str, pd.DataFrame]
    notes: Mapping[str, object]


def embeddings(run: LoadedRun) -> Export:
    """Vectors of all users and items; the score of a pair is the product of its two vectors.

    Raises:
        UserError: the model's scores are no such products.
    """
    users, items = score_tables(run.model)
    rows = {"users": _ids(run, "user_id"), "items": _ids(run, "item_id")}
    tensors = {"users": users[1:], "items": items[1:]}
    return Export(tensors, rows, {"score": "users @ items.T"})


def masks(run: LoadedRun) -> Export:
    """The mask of every modality as the final model uses it, in [0, 1].

    Raises:
        UserError: the model learns no mask.
    """
    mask = _mask(run, "mask")
    tensors, rows = {}, {}
    for name, columns in run.dataset.features.slices.items():
        tensors[name] = mask[columns]
        width = columns.stop - columns.start
        rows[name] = pd.DataFrame({"modality": name, "column": range(width)})
    return Export(tensors, rows, {})


def representations(run: LoadedRun) -> Export:
    """Phi = m (.) f and Psi = (1 - m) (.) f of every item (Eq. 24, 25), ``[n_items - 1, d]``.

    Raises:
        UserError: the model learns no mask.
    """
    mask = _mask(run, "representations")
    features = run.dataset.features.matrix[1:]
    tensors = {"invariant": invariant(features, mask), "variant": variant(features, mask)}
    columns = {name: [s.start, s.stop] for name, s in run.dataset.features.slices.items()}
    rows = {"items": _ids(run, "item_id")}
    return Export(tensors, rows, {"columns": columns})


KINDS = {"embeddings": embeddings, "mask": masks, "representations": representations}


def write_export(path: Path, export: Export, run: LoadedRun) -> list[Path]:
    """Write the tensors and, beside them, the id of every row; returns the files.

    ``x.safetensors`` holds all tensors, ``x.npy`` becomes one ``x.<tensor>.npy`` each; the rows of
    table t are in ``x.<t>.tsv``, with the index of the row first.

    Raises:
        UserError: see :func:`check_out`.
        WriteError: the disk is full or the place cannot be written.
    """
    check_out(path, SUFFIXES)
    contents: dict[Path, bytes] = {}
    notes = {"model": run.result["model"], "dataset": run.result["dataset"], **export.notes}
    if path.suffix == ".safetensors":
        header = {
            name: value if isinstance(value, str) else json.dumps(value)
            for name, value in notes.items()
        }
        tensors = {name: tensor.contiguous().clone() for name, tensor in export.tensors.items()}
        contents[path] = save(tensors, metadata=header)
    else:
        for name, tensor in export.tensors.items():
            stream = io.BytesIO()
            np.save(stream, tensor.numpy())
            contents[path.with_suffix(f".{name}.npy")] = stream.getvalue()
    for table, rows in export.rows.items():
        text = rows.to_csv(sep="\t", index_label="row", lineterminator="\n")
        contents[path.with_suffix(f".{table}.tsv")] = text.encode()
    for target in contents:
        if target.is_dir():
            raise UserError(f"`--out`: {target} is a folder; choose another name")
    write_together(contents)
    return list(contents)


def _mask(run: LoadedRun, what: str) -> Tensor:
    spec = spec_of(run.result["model"])
    if not getattr(spec and spec.model, "learns_mask", False):
        raise UserError(
            f"`--what {what}`: {run.result['model']} learns no mask; use a run of a model that "
            "does, such as PaInvRL"
        )
    # Another final model has the mask on its features.
    own = getattr(run.model, "learns_mask", False)
    mask: Tensor = run.model.mask.detach() if own else run.model.feature_mask
    mask = torch.clamp(mask, 0.0, 1.0).cpu()
    return mask


def _ids(run: LoadedRun, column: str) -> pd.DataFrame:
    dataset = run.dataset
    field = dataset.uid_field if column == "user_id" else dataset.iid_field
    return pd.DataFrame({column: dataset.field2id_token[field][1:].astype(str)})
