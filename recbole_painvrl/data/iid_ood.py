"""The paper's IID/OOD protocol (4.2.2): two environments found by the HIM, the larger trains."""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import asdict
from logging import getLogger
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from recbole_painvrl.atomic import write_bytes
from recbole_painvrl.config import RunSettings
from recbole_painvrl.data.parts import (
    OOD,
    PARTS,
    TEST,
    TRAIN,
    VALID,
    BoolArray,
    IntArray,
    Split,
    distinct_rows,
    drop_cold,
    split_iid,
    split_ood,
)
from recbole_painvrl.environments.content import ContentEnvironmentModel, FitSettings
from recbole_painvrl.environments.full import FullEnvironmentModel, PlainUltraGCN
from recbole_painvrl.environments.loop import Identification, LoopSettings, identify
from recbole_painvrl.functional.graph import degree_factors
from recbole_painvrl.functional.ranking import mean_ndcg
from recbole_painvrl.functional.ultragcn import GraphWeights, UltraGCNWeights
from recbole_painvrl.locks import file_lock
from recbole_painvrl.reading import parse_json, read_arrays, reason
from recbole_painvrl.seeds import generator

# The protocol is one for every model, so its UltraGCN has fixed settings (4.2.2; Adam, N = 50).
_WEIGHTS = UltraGCNWeights.from_paper(eta=1e-4, kappa=0.0)
_EMBEDDING_SIZE, _INIT_STD, _REG_WEIGHT = 64, 0.01, 1e-4
_LEARNING_RATE, _BATCH_SIZE, _POOL = 1e-3, 512, 512
_TOLERANCE = 0.01
# A part is called OOD only below this agreement with its random start, and where a fixed
# UltraGCN keeps less than this share of its IID NDCG@10.
_AGREEMENT, _KEPT_NDCG = 0.8, 0.9
# Goes up whenever the same data and settings would give another split.
_VERSION = 2
# A zip file ends in the length of its comment (2 bytes) and the comment.
_NO_COMMENT, _DIGEST_SIZE = b"\0\0", 64


def iid_ood_split(
    users: IntArray, items: IntArray, content: Tensor | None, settings: RunSettings, folder: Path
) -> Split:
    """Split by two identified environments; made once per data and parameters, then cached.

    Args:
        users: user of every row, ``[n]``, from 1.
        items: item of every row, ``[n]``, from 1.
        content: features for ``split_environment_model: content``, else None.
        settings: seed, epochs, rounds and environment model of the split.
        folder: dataset folder; the cache is its ``splits/``.
    """
    path = folder / "splits" / f"iid_ood-{_key(users, items, content, settings)}.npz"
    log = getLogger("recbole_painvrl")
    with _one_at_a_time(path):
        cached = _read(path, len(users))
        if cached is not None:
            return cached
        log.info("iid_ood: identifying two environments (made once, cached)")
        split = _make(users, items, content, settings)
        try:
            _write(path, split)
        except OSError as error:
            log.warning("the split could not be cached: %s", error)
        return split


@contextmanager
def _one_at_a_time(path: Path) -> Iterator[None]:
    """Wait for a process that makes the same split; go on at once where nothing can be locked."""
    log, lock = getLogger("recbole_painvrl"), path.with_name(f".{path.stem}.lock")
    with ExitStack() as held:
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            held.enter_context(
                file_lock(lock, lambda who: log.info("iid_ood: waiting for process %s", who))
            )
        except OSError as error:
            log.debug("%s: no lock (%s)", lock, error)
        yield


def _make(users: IntArray, items: IntArray, content: Tensor | None, settings: RunSettings) -> Split:
    rows = distinct_rows(users, items)
    found = _environments(users[rows], items[rows], content, settings)
    sizes = torch.bincount(found.labels, minlength=2)
    larger = int(sizes.argmax())
    inside = (found.labels == larger).numpy()
    rng = np.random.default_rng([settings.split_seed, 3])
    parts = {**split_iid(rows[inside], users, items, rng), **split_ood(rows[~inside], rng)}
    split = drop_cold(Split(parts), users, items)
    split.diagnostics.update(
        {
            "environment_sizes": sizes.tolist(),
            "moved_per_round": found.moves,
            "agreement_with_start": found.start_agreement,
            "mean_item_degree": _degree_shift(items[rows], inside),
        }
    )
    split.diagnostics.update(_shift(split, users, items, settings))
    return split


def _graph(users: IntArray, items: IntArray, n_users: int, n_items: int) -> GraphWeights:
    user_factor, item_factor = degree_factors(
        torch.from_numpy(np.bincount(users, minlength=n_users)),
        torch.from_numpy(np.bincount(items, minlength=n_items)),
    )
    none = torch.zeros(n_items, 0)
    return GraphWeights(user_factor, item_factor, none.long(), none)


def _environments(
    users: IntArray, items: IntArray, content: Tensor | None, settings: RunSettings
) -> Identification:
    n_users, n_items = int(users.max()) + 1, int(items.max()) + 1
    graph = _graph(users, items, n_users, n_items)
    u, i = torch.from_numpy(users), torch.from_numpy(items)
    source = generator(settings.split_seed, "split environments")
    loop = LoopSettings(2, settings.split_rounds, _TOLERANCE, 1)
    model: FullEnvironmentModel | ContentEnvironmentModel
    if content is None:
        model = FullEnvironmentModel(
            u, i, n_users, None, graph, _WEIGHTS, 2, _fit(settings.split_epochs),
            _EMBEDDING_SIZE, _EMBEDDING_SIZE, _INIT_STD, _REG_WEIGHT,
        )  # fmt: skip
    else:
        content = content[:n_items]
        backbone = _fitted(u, i, n_users, content, graph, settings.split_epochs, source)
        user_content = backbone.users.detach()[:, _EMBEDDING_SIZE:]
        fit = FitSettings(3, 1e-2, 4096, 256, "adam")
        model = ContentEnvironmentModel(u, i, user_content, content, 2, fit)
    return identify(model, len(u), loop, source)


def _fit(epochs: int) -> FitSettings:
    return FitSettings(epochs, _LEARNING_RATE, _BATCH_SIZE, _POOL, "adam")


def _fitted(
    users: Tensor,
    items: Tensor,
    n_users: int,
    content: Tensor | None,
    graph: GraphWeights,
    epochs: int,
    source: torch.Generator,
) -> PlainUltraGCN:
    n_items = len(graph.item_factor)
    model = PlainUltraGCN(
        n_users,
        n_items,
        content,
        graph,
        _WEIGHTS,
        _EMBEDDING_SIZE,
        _EMBEDDING_SIZE,
        _INIT_STD,
        source,
    )
    model.fit(users, items, _fit(epochs), _REG_WEIGHT, source)
    return model


def _shift(split: Split, users: IntArray, items: IntArray, settings: RunSettings) -> dict[str, Any]:
    """Is the OOD part one? A fixed id-only UltraGCN answers, on tests no selection has seen."""
    n_users, n_items = int(users.max()) + 1, int(items.max()) + 1
    train = split.rows[TRAIN]
    graph = _graph(users[train], items[train], n_users, n_items)
    source = generator(settings.split_seed, "split shift")

    def pairs(*parts: str) -> tuple[Tensor, Tensor]:
        rows = np.concatenate([split.rows[part] for part in parts])
        return torch.from_numpy(users[rows]), torch.from_numpy(items[rows])

    u, i = pairs(TRAIN)
    model = _fitted(u, i, n_users, None, graph, settings.split_epochs, source)
    table, history = model.item_table().detach(), pairs(TRAIN, VALID)
    ndcg = {
        part: mean_ndcg(model.users.detach(), table, history, pairs(part))
        if len(split.rows[part])
        else 0.0
        for part in (TEST, OOD)
    }
    detected = (
        split.diagnostics["agreement_with_start"] < _AGREEMENT
        and ndcg[OOD] < _KEPT_NDCG * ndcg[TEST]
    )
    return {
        "ultragcn_ndcg@10": ndcg,
        "shift": "identified environments" if detected else "not detected",
    }


def _degree_shift(items: IntArray, inside: BoolArray) -> dict[str, float]:
    degree = np.bincount(items)
    larger, smaller = degree[items[inside]], degree[items[~inside]]
    return {
        "larger": float(larger.mean()) if len(larger) else 0.0,
        "smaller": float(smaller.mean()) if len(smaller) else 0.0,
    }


def _key(users: IntArray, items: IntArray, content: Tensor | None, settings: RunSettings) -> str:
    digest = hashlib.sha256()
    parameters = {
        "seed": settings.split_seed,
        "model": settings.split_environment_model,
        "epochs": settings.split_epochs,
        "rounds": settings.split_rounds,
        "weights": asdict(_WEIGHTS),
        "fit": [*asdict(_fit(settings.split_epochs)).values(), _EMBEDDING_SIZE, _INIT_STD],
        "regularisation": _REG_WEIGHT,
        "tolerance": _TOLERANCE,
        "detection": [_AGREEMENT, _KEPT_NDCG],
        "version": _VERSION,
    }
    digest.update(json.dumps(parameters, sort_keys=True).encode())
    for array in (users, items, *([] if content is None else [content.numpy()])):
        digest.update(f"{array.shape}{array.dtype}".encode())
        digest.update(np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()[:16]


def _write(path: Path, split: Split) -> None:
    text = np.frombuffer(json.dumps(split.diagnostics).encode(), dtype=np.uint8)
    buffer = io.BytesIO()
    np.savez_compressed(buffer, diagnostics=text, **split.rows)  # type: ignore[arg-type]
    write_bytes(path, _signed(buffer.getvalue()))


def _read(path: Path, n_rows: int) -> Split | None:
    """The cached split, or None; a damaged cache is made again."""
    if not path.is_file():
        return None
    try:
        content = path.read_bytes()
        if content != _signed(content[: -_DIGEST_SIZE - len(_NO_COMMENT)] + _NO_COMMENT):
            raise ValueError("its content does not have its checksum")
        arrays = read_arrays(path, "the split is made again")
        diagnostics = parse_json(arrays.pop("diagnostics").tobytes())
        _check_rows(arrays, n_rows)
        if not isinstance(diagnostics, dict) or not isinstance(diagnostics.get("sizes"), dict):
            raise ValueError("it lacks the figures of the split")
    except (OSError, ValueError, KeyError) as error:
        getLogger("recbole_painvrl").warning(
            "%s: unreadable (%s), the split is made again", path, reason(error)
        )
        return None
    return Split(arrays, diagnostics)


def _signed(archive: bytes) -> bytes:
    """An npz without comment, with its own SHA-256 as the comment that a zip file may end in."""
    digest = hashlib.sha256(archive).hexdigest().encode()
    return archive[: -len(_NO_COMMENT)] + len(digest).to_bytes(2, "little") + digest


def _check_rows(arrays: dict[str, IntArray], n_rows: int) -> None:
    """Refuse with ValueError what is no split of a table of ``n_rows`` rows."""
    if set(arrays) != set(PARTS):
        raise ValueError(f"it holds {', '.join(sorted(arrays))[:80]}, not the parts of a split")
    if any(rows.dtype != np.int64 or rows.ndim != 1 for rows in arrays.values()):
        raise ValueError("its parts are no lists of rows")
    rows = np.sort(np.concatenate(list(arrays.values())))
    if len(rows) and (rows[0] < 0 or rows[-1] >= n_rows or (rows[1:] == rows[:-1]).any()):
        raise ValueError("its rows are not those of the interactions, each at most once")
