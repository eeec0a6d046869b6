"""How much memory a run will take, said before it starts and refused where it cannot fit."""

from __future__ import annotations

import resource
from collections.abc import Callable, Mapping
from dataclasses import replace
from logging import getLogger
from typing import TYPE_CHECKING

import psutil
import torch

from recbole_painvrl.config.base import ConfigLike
from recbole_painvrl.errors import UserError
from recbole_painvrl.models.memory import ENTRY, FLOAT, Sizes, embedding_tables, short_size
from recbole_painvrl.run.cgroups import cgroup_memory
from recbole_painvrl.specs import spec_of

if TYPE_CHECKING:
    from recbole_painvrl.data.dataset import ModalityDataset

# Python with PyTorch and RecBole, before any data.
_BASE = 450 << 20
# An interaction through RecBole's tables: ids as text, as numbers, and split.
_INTERACTION = 320


def estimate(model: str, sizes: Sizes, settings: ConfigLike) -> dict[str, int]:
    """Bytes of the largest parts of a run at its height; for models unknown here a lower bound.

    Args:
        model: name of the model.
        sizes: sizes of the data.
        settings: effective settings of the run; only numbers that matter are read.
    """
    features = sizes.items * sizes.width * FLOAT
    parts = {
        "program": _BASE,
        # Aligned one by one, then side by side.
        "dataset": _INTERACTION * sizes.interactions + 2 * features,
        "evaluation": 4 * FLOAT * int(settings["eval_batch_size"]),
    }
    spec = spec_of(model)
    own = spec.memory if spec is not None else _RECBOLE.get(model)
    return parts | (own or embedding_tables)(sizes, settings)


def sizes_of(dataset: ModalityDataset) -> Sizes:
    """Sizes of a dataset, before or after it is split."""
    slices = dataset.features.slices
    columns = {name: part.stop - part.start for name, part in slices.items()}
    return Sizes(dataset.user_num, dataset.item_num, len(dataset.inter_feat), columns)


def check_memory(
    model: str,
    sizes: Sizes,
    settings: ConfigLike,
    on_gpu: bool,
    processes: tuple[int, int] = (1, 1),
    final: ConfigLike | None = None,
) -> list[str]:
    """The estimate in words; refuse a run that does not fit, unless ``memory_check`` is false.

    On a GPU what the model needs is compared with the card's free memory.

    Args:
        model: name of the model.
        sizes: sizes of the data.
        settings: effective settings of the run.
        on_gpu: whether the model is on a GPU.
        processes: how many divide the users, and how many of them are on this machine.
        final: settings of the last stage where it trains another model, which may need more.

    Raises:
        UserError: there is not enough memory.
    """
    n_processes, n_here = processes
    sizes = replace(sizes, users=-(-sizes.users // n_processes))
    parts = estimate(model, sizes, settings)
    if final is not None:
        # The run's own model stays while the other one is trained.
        last = estimate(str(final["model"]), sizes, final)
        last["backbone"] = parts["parameters"]
        parts = max(parts, last, key=lambda found: sum(found.values()))
    if not on_gpu:
        # One process reads the dataset; every one has a part of the users.
        parts = {name: size * (1 if name == "dataset" else n_here) for name, size in parts.items()}
    shared = {name: size for name, size in parts.items() if name in ("program", "dataset")}
    lines = []
    if on_gpu:
        on_card = {name: size for name, size in parts.items() if name not in shared}
        lines.append(_compare("GPU memory", on_card, _free_gpu()))
        parts = shared
    # The estimate includes what this process has loaded already, so that counts as free.
    free = available_memory() + int(psutil.Process().memory_info().rss)
    return [*lines, _compare("memory", parts, free, bool(settings["memory_check"]))]


def available_memory() -> int:
    """Bytes that this process may still take: of the machine, its cgroup or its own limit."""
    found = [psutil.virtual_memory().available, *cgroup_memory(), _own_limit()]
    known = [size for size in found if size is not None]
    return int(min(known))


def _compare(what: str, parts: Mapping[str, int], free: int | None, refuse: bool = True) -> str:
    needed = sum(parts.values())
    largest = max(parts, key=lambda name: parts[name])
    of = "" if free is None else f" of {short_size(free)} free"
    words = ", ".join(f"{name} {short_size(size)}" for name, size in parts.items())
    line = f"{what} needed: about {short_size(needed)}{of}"
    getLogger("recbole_painvrl").debug("%s needed by part: %s", what, words)
    if free is None or needed <= free:
        return line
    message = (
        f"{what}: this run needs about {short_size(needed)}, {short_size(free)} are free; the "
        f"largest part is {largest} ({short_size(parts[largest])})"
    )
    if refuse:
        raise UserError(
            f"{message}; {_ADVICE.get(largest, _ADVICE[''])}, or try it all the same "
            "with `--memory_check=False`"
        )
    getLogger("recbole_painvrl").warning("%s", message)
    return line


_ADVICE = {
    "dataset": "take fewer interactions or `--modalities`, or a machine with more memory",
    "evaluation": "lower `eval_batch_size`",
    "parameters": "lower `embedding_size`",
    "batch": "lower `train_batch_size` (or `n_negatives`)",
    "environments": "lower `environment_batch_size`",
    "mask": "lower `mask_batch_size` or `mask_negatives`",
    "discriminator": "lower `discriminator_columns`",
    "forward pass": "lower `embedding_size` or `num_layers`",
    "": "take fewer `modalities`, lower the batch sizes",
}


def _light(sizes: Sizes, settings: ConfigLike) -> dict[str, int]:
    """LightGCN: one graph of users and items, a table per layer, forward and backward."""
    table = (sizes.users + sizes.items) * settings["embedding_size"] * FLOAT
    graph = 2 * sizes.interactions * ENTRY
    layers = 2 * (settings["n_layers"] + 1) * table
    batch = 12 * settings["train_batch_size"] * settings["embedding_size"] * FLOAT
    return {
        **embedding_tables(sizes, settings),
        "graphs": graph,
        "forward pass": layers,
        "batch": batch,
    }


def _ngcf(sizes: Sizes, settings: ConfigLike) -> dict[str, int]:
    """NGCF: some twelve tables per layer are alive between forward and backward."""
    widths = [settings["embedding_size"], *settings["hidden_size_list"]]
    tables = 12 * (sizes.users + sizes.items) * sum(widths) * FLOAT
    batch = 12 * settings["train_batch_size"] * sum(widths) * FLOAT
    graph = 2 * sizes.interactions * ENTRY
    own = {"graphs": graph, "forward pass": tables, "batch": batch}
    return {**embedding_tables(sizes, settings), **own}


_RECBOLE: dict[str, Callable[[Sizes, ConfigLike], dict[str, int]]] = {
    "LightGCN": _light,
    "NGCF": _ngcf,
}


def _own_limit() -> int | None:
    """What ``ulimit -v`` leaves."""
    limit, _ = resource.getrlimit(resource.RLIMIT_AS)
    if limit == resource.RLIM_INFINITY:
        return None
    return max(0, limit - int(psutil.Process().memory_info().vms))


def _free_gpu() -> int | None:
    return int(torch.cuda.mem_get_info()[0]) if torch.cuda.is_available() else None
