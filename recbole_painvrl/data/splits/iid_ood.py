"""The paper's IID/OOD protocol (4.2.2): split by two environments identified by HIM."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, replace
from functools import partial
from logging import getLogger
from pathlib import Path
from typing import Any

import numpy as np
import scipy.sparse as sp
import torch
from torch import Tensor

from recbole_painvrl.atomic import write_with
from recbole_painvrl.config import RunSettings
from recbole_painvrl.data.splits.base import (
    OOD,
    SPLITS,
    TEST,
    TRAIN,
    VALID,
    BoolArray,
    IntArray,
    Split,
    distinct_rows,
    drop_cold,
    split_iid_ood,
)
from recbole_painvrl.environments.content import ContentEnvironmentModel, FitSettings
from recbole_painvrl.environments.full import FullEnvironmentModel, PlainUltraGCN
from recbole_painvrl.environments.loop import Identification, LoopSettings, identify
from recbole_painvrl.functional.graph import degree_factors, item_neighbours
from recbole_painvrl.functional.ranking import mean_ndcg
from recbole_painvrl.functional.ultragcn import GraphWeights, UltraGCNWeights
from recbole_painvrl.locks import file_lock
from recbole_painvrl.reading import is_number, parse_json, read_arrays, reason
from recbole_painvrl.seeds import generator

# The split is the same for all models, so its UltraGCN has fixed settings (4.2.2).
_WEIGHTS = UltraGCNWeights.from_paper(eta=1e-4, kappa=0.0)
_EMBEDDING_SIZE, _INIT_STD, _REG_WEIGHT = 64, 0.01, 1e-4
# Widths of IDs and content, and the standard deviation of their initial values.
_TABLES = _EMBEDDING_SIZE, _EMBEDDING_SIZE, _INIT_STD
_LEARNING_RATE, _BATCH_SIZE, _N_NEGATIVES = 1e-3, 512, 512
_TOLERANCE = 0.01
# The models of `split_environment_model: content`, in both variants.
_CONTENT_FIT = FitSettings(3, 1e-2, 4096, 256, "adam")
# The environment models of `split_variant: strict`: kappa of 4.2.2; K and N of InvRL's code, since
# the paper does not give them.
_STRICT_WEIGHTS = UltraGCNWeights.from_paper(eta=1e-4, kappa=0.01)
_STRICT_NEIGHBOURS, _STRICT_NEGATIVES, _PAPER_EPOCHS, _STRICT_TEST = 10, 50, 20, 0.1
# A shift is detected only below this agreement with the random initialization, and if the OOD
# NDCG@10 of a fixed UltraGCN is below this fraction of its IID NDCG@10.
_AGREEMENT, _KEPT_NDCG = 0.8, 0.9
_NOT_DETECTED = "not detected"
# Incremented when the same data and settings would give another split.
_VERSION = 2


def iid_ood_split(
    users: IntArray, items: IntArray, content: Tensor | None, settings: RunSettings, folder: Path
) -> Split:
    """Split by two identified environments; computed once per data and parameters, then cached.

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
        log.info("iid_ood: identifying two environments (once, then cached)")
        split = _make(users, items, content, settings)
        text = np.frombuffer(json.dumps(split.diagnostics).encode(), dtype=np.uint8)
        arrays: dict[str, Any] = {"diagnostics": text, **split.rows}
        try:
            write_with(path, lambda stream: np.savez_compressed(stream, **arrays))
        except OSError as error:
            log.warning("the split could not be cached: %s", error)
        return split


@contextmanager
def _one_at_a_time(path: Path) -> Iterator[None]:
    """Wait for a process that computes the same split; no waiting without file locks."""
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
    result = _environments(users[rows], items[rows], content, settings)
    sizes = torch.bincount(result.labels, minlength=2)
    iid = (result.labels == sizes.argmax()).numpy()
    larger, smaller = rows[iid], rows[~iid]
    rng = np.random.default_rng([settings.split_seed, 3])
    if settings.split_variant == "strict":
        # 4.2.2 to the letter: the larger environment 9:1, all of the smaller one the OOD test.
        order, size = rng.permutation(larger), round(_STRICT_TEST * len(larger))
        splits = {TRAIN: np.sort(order[size:]), TEST: np.sort(order[:size]), OOD: smaller}
    else:
        splits = split_iid_ood(larger, smaller, users, items, rng)
    split = drop_cold(Split(splits), users, items)
    split.diagnostics |= {
        "environment_sizes": sizes.tolist(),
        "moved_per_round": result.moves,
        "agreement_with_start": result.start_agreement,
        "mean_item_degree": _mean_degrees(items[rows], iid),
    }
    split.diagnostics |= _shift(split, users, items, settings)
    return split


def departures(settings: RunSettings) -> list[str]:
    """Where the protocol with these settings differs from section 4.2.2 of the paper."""
    found = []
    adapted = settings.split_variant == "adapted"
    content = settings.split_environment_model == "content"
    fit = _CONTENT_FIT if content else _fit_settings(settings.split_epochs)
    if adapted or content:
        found += [
            f"kappa {_WEIGHTS.item_item:g}, no item-item loss (4.2.2: 0.01)",
            f"{fit.n_negatives} negatives shared by a batch (InvRL's code: {_STRICT_NEGATIVES} per "
            "positive; 4.2.2 does not say)",
        ]
    if adapted:
        found += [
            "training, validation and IID test 8:1:1 (4.2.2: training and test 9:1)",
            "a fifth of the smaller environment is OOD validation (4.2.2: all of it is the test)",
            "every user and item keeps a training interaction (4.2.2 does not say)",
        ]
    if content:
        found.append(
            "environment models without IDs, with the user vectors of an UltraGCN of "
            f"{settings.split_epochs} epochs (4.2.2: UltraGCN)"
        )
    if fit.epochs != _PAPER_EPOCHS:
        found.append(f"{fit.epochs} epochs per round (4.2.2: {_PAPER_EPOCHS})")
    found.append(
        "test interactions of users or items without training are dropped (4.2.2 does not say)"
    )
    return found


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
    model: FullEnvironmentModel | ContentEnvironmentModel
    if content is None:
        weights, fit = _WEIGHTS, _fit_settings(settings.split_epochs)
        if settings.split_variant == "strict":
            ones = np.ones(len(users), dtype=np.float32)
            matrix = sp.csr_matrix((ones, (users, items)), shape=(n_users, n_items))
            neighbours, weight = item_neighbours(matrix, _STRICT_NEIGHBOURS)
            graph = replace(graph, neighbours=neighbours, neighbour_weight=weight)
            weights = _STRICT_WEIGHTS
            fit = replace(fit, n_negatives=_STRICT_NEGATIVES, per_positive=True)
        make = partial(PlainUltraGCN, None, graph, weights, *_TABLES)
        model = FullEnvironmentModel(u, i, n_items, make, 2, fit, _REG_WEIGHT, _REG_WEIGHT)
    else:
        content = content[:n_items]
        backbone = _fitted(u, i, content, graph, settings.split_epochs, source)
        user_content = backbone.users.detach()[:, _EMBEDDING_SIZE:]
        model = ContentEnvironmentModel(u, i, user_content, content, 2, _CONTENT_FIT)
    return identify(model, len(u), LoopSettings(2, settings.split_rounds, _TOLERANCE, 1), source)


def _fit_settings(epochs: int) -> FitSettings:
    return FitSettings(epochs, _LEARNING_RATE, _BATCH_SIZE, _N_NEGATIVES, "adam")


def _fitted(
    users: Tensor,
    items: Tensor,
    content: Tensor | None,
    graph: GraphWeights,
    epochs: int,
    source: torch.Generator,
) -> PlainUltraGCN:
    model = PlainUltraGCN(content, graph, _WEIGHTS, *_TABLES, source)
    model.fit(users, items, _fit_settings(epochs), _REG_WEIGHT, source, _REG_WEIGHT)
    return model


def _shift(split: Split, users: IntArray, items: IntArray, settings: RunSettings) -> dict[str, Any]:
    """Whether the OOD test is harder for a fixed ID-only UltraGCN."""
    pairs = {name: (users[rows], items[rows]) for name, rows in split.rows.items()}
    ndcg = fixed_ultragcn(pairs, int(users.max()) + 1, int(items.max()) + 1, settings)
    agreement = split.diagnostics["agreement_with_start"]
    detected = agreement < _AGREEMENT and ndcg[OOD] < _KEPT_NDCG * ndcg[TEST]
    return {
        "ultragcn_ndcg@10": ndcg,
        "shift": "identified environments" if detected else _NOT_DETECTED,
    }


def shift_words(split: Mapping[str, Any]) -> str:
    """Sentence on the shift; if the protocol detected none, which of its criteria failed.

    Args:
        split: ``split`` of ``result.json``, with a ``shift``.
    """
    if split["shift"] != _NOT_DETECTED:
        return str(split["shift"])
    why, kept = list[str](), split.get("agreement_with_start", np.nan)
    ndcg = split.get("ultragcn_ndcg@10")
    iid, ood = (ndcg.get(n, np.nan) if isinstance(ndcg, dict) else np.nan for n in (TEST, OOD))
    if is_number(iid) and is_number(ood) and ood >= _KEPT_NDCG * iid:
        why.append(
            f"a fixed ID-only UltraGCN has NDCG@10 {iid:.4f} IID and {ood:.4f} OOD, where a "
            f"loss of more than {1 - _KEPT_NDCG:.0%} counts"
        )
    if is_number(kept) and kept >= _AGREEMENT:
        why.append(
            f"{kept:.0%} of the interactions kept their environment of the random initialization, "
            f"where less than {_AGREEMENT:.0%} counts"
        )
    return f"not detected by the criterion of this protocol{': ' * bool(why)}{'; '.join(why)}"


def fixed_ultragcn(
    pairs: Mapping[str, tuple[IntArray, IntArray]],
    n_users: int,
    n_items: int,
    settings: RunSettings,
) -> dict[str, float]:
    """NDCG@10 on both tests of an ID-only UltraGCN with the same settings for all data.

    Args:
        pairs: users and items of every split.
        n_users: with padding.
        n_items: with padding.
        settings: seed and epochs of the split.
    """
    graph = _graph(*pairs[TRAIN], n_users, n_items)
    source = generator(settings.split_seed, "split shift")

    def tensors(*names: str) -> tuple[Tensor, Tensor]:
        known = [pairs[name] for name in names if name in pairs]
        users, items = (np.concatenate(sides) for sides in zip(*known, strict=True))
        return torch.from_numpy(users), torch.from_numpy(items)

    model = _fitted(*tensors(TRAIN), None, graph, settings.split_epochs, source)
    table, history = model.item_table().detach(), tensors(TRAIN, VALID)
    return {
        name: mean_ndcg(model.users.detach(), table, history, tensors(name))
        if len(pairs[name][0])
        else 0.0
        for name in (TEST, OOD)
        if name in pairs
    }


def _mean_degrees(items: IntArray, iid: BoolArray) -> dict[str, float]:
    degree = np.bincount(items)[items]
    sides = {"larger": degree[iid], "smaller": degree[~iid]}
    return {name: float(side.mean()) if len(side) else 0.0 for name, side in sides.items()}


def fit_parameters(epochs: int) -> dict[str, Any]:
    """What a fit of the fixed UltraGCN depends on beside data and seed, for the key of a cache."""
    fit = asdict(_fit_settings(epochs))
    del fit["per_positive"]
    values = [*fit.values(), _EMBEDDING_SIZE, _INIT_STD]
    return {"weights": asdict(_WEIGHTS), "fit": values, "regularisation": _REG_WEIGHT}


def _key(users: IntArray, items: IntArray, content: Tensor | None, settings: RunSettings) -> str:
    parameters: dict[str, Any] = {
        **fit_parameters(settings.split_epochs),
        "seed": settings.split_seed,
        "model": settings.split_environment_model,
        "epochs": settings.split_epochs,
        "rounds": settings.split_rounds,
        "tolerance": _TOLERANCE,
        "detection": [_AGREEMENT, _KEPT_NDCG],
        "version": _VERSION,
    }
    if settings.split_variant == "strict":
        numbers = _STRICT_NEIGHBOURS, _STRICT_NEGATIVES, _STRICT_TEST
        parameters["strict"] = [asdict(_STRICT_WEIGHTS), *numbers]
    digest = hashlib.sha256(json.dumps(parameters, sort_keys=True).encode())
    for array in (users, items, *([] if content is None else [content.numpy()])):
        digest.update(f"{array.shape}{array.dtype}".encode())
        digest.update(np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()[:16]


def _read(path: Path, n_rows: int) -> Split | None:
    """The cached split, or None if there is none or it is damaged."""
    if not path.is_file():
        return None
    try:
        arrays = read_arrays(path, "the split is made again")
        diagnostics = parse_json(arrays.pop("diagnostics").tobytes())
        _check_rows(arrays, n_rows)
        rows = {name: arrays[name] for name in SPLITS if name in arrays}
        if diagnostics["sizes"] != {name: len(indices) for name, indices in rows.items()}:
            raise ValueError("its sizes are not those of its splits")
    except (OSError, ValueError, LookupError, TypeError) as error:
        getLogger("recbole_painvrl").warning(
            "%s: unreadable (%s), the split is made again", path, reason(error.__cause__ or error)
        )
        return None
    return Split(rows, diagnostics)


def _check_rows(arrays: dict[str, Any], n_rows: int) -> None:
    """Refuse with ValueError what is no split of a table of ``n_rows`` rows."""
    if set(arrays) not in (set(SPLITS), {TRAIN, TEST, OOD}):
        raise ValueError(f"it holds {', '.join(sorted(arrays))[:80]}, not the splits")
    if any(rows.dtype != np.int64 or rows.ndim != 1 for rows in arrays.values()):
        raise ValueError("its splits are no lists of row indices")
    rows = np.sort(np.concatenate(list(arrays.values())))
    if len(rows) and (rows[0] < 0 or rows[-1] >= n_rows or (rows[1:] == rows[:-1]).any()):
        raise ValueError("its rows are not those of the interactions, each at most once")
