"""How much memory a run will take, said before it starts and refused where it cannot fit."""

from __future__ import annotations

import resource
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from logging import getLogger
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import torch

from recbole_painvrl.config.base import ConfigLike
from recbole_painvrl.errors import UserError
from recbole_painvrl.trainer.mmssl_memory import mmssl_parts, short_size

_FLOAT = 4
# Python with PyTorch and RecBole, before any data.
_BASE = 450 << 20
# An interaction through RecBole's tables: ids as text, as numbers, and split.
_INTERACTION = 320
# A parameter with gradient and two moments of Adam, a copy of all but the gradient for Ctrl-C, and
# twice more while a checkpoint is written.
_LEARNT = (4 + 3 * 3) * _FLOAT
# A sparse entry with its transposed twin.
_ENTRY = 2 * (8 + _FLOAT)
_STAGED = ("PaInvRL", "InvRL")


@dataclass(frozen=True)
class Sizes:
    """What a run's memory depends on beside its settings.

    Attributes:
        users: number of users.
        items: number of items.
        interactions: rows of all parts.
        columns: feature columns of each modality in use.
    """

    users: int
    items: int
    interactions: int
    columns: Mapping[str, int]

    @property
    def width(self) -> int:
        """Feature columns of all modalities."""
        return sum(self.columns.values())


def estimate(model: str, sizes: Sizes, settings: ConfigLike) -> dict[str, int]:
    """Bytes of the largest parts of a run at its height; for models unknown here a lower bound.

    Args:
        model: name of the model.
        sizes: sizes of the data.
        settings: effective settings of the run; only numbers that matter are read.
    """
    features = sizes.items * sizes.width * _FLOAT
    parts = {
        "program": _BASE,
        # Aligned one by one, then side by side.
        "dataset": _INTERACTION * sizes.interactions + 2 * features,
        "evaluation": 4 * _FLOAT * int(settings["eval_batch_size"]),
    }
    own = _MODELS.get(model, _unknown)
    return parts | own(sizes, settings)


def sizes_of(dataset: Any) -> Sizes:
    """Sizes of a ``ModalityDataset``, before or after it is split."""
    slices: dict[str, slice] = dataset.features.slices
    columns = {name: part.stop - part.start for name, part in slices.items()}
    return Sizes(dataset.user_num, dataset.item_num, len(dataset.inter_feat), columns)


def check_memory(model: str, sizes: Sizes, settings: ConfigLike, on_gpu: bool) -> list[str]:
    """The estimate in words; refuse a run that does not fit, unless ``memory_check`` is false.

    On a GPU what the model needs is compared with the card's free memory.

    Raises:
        UserError: there is not enough memory.
    """
    parts = estimate(model, sizes, settings)
    shared = {name: size for name, size in parts.items() if name in ("program", "dataset")}
    lines = []
    if on_gpu:
        on_card = {name: size for name, size in parts.items() if name not in shared}
        lines.append(_compare("GPU memory", on_card, _free_gpu()))
        parts = shared
    free = available_memory()
    if free is not None:
        # What is loaded by now is part of the estimate.
        free += _resident()
    return [*lines, _compare("memory", parts, free, bool(settings["memory_check"]))]


def available_memory() -> int | None:
    """Bytes that this process may still take: of the machine, its cgroup or its own limit."""
    found = [_machine(), *_cgroups(), _own_limit()]
    known = [size for size in found if size is not None]
    return min(known) if known else None


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
        raise UserError(f"{message}; {_ADVICE.get(largest, _ADVICE[''])}, or try it all the same "
                        "with `--memory_check=False`")  # fmt: skip
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


def _unknown(sizes: Sizes, settings: ConfigLike) -> dict[str, int]:
    known = "embedding_size" in settings
    size = int(settings["embedding_size"]) if known else 0
    return {"parameters": _LEARNT * size * (sizes.users + sizes.items)}


def _light(sizes: Sizes, settings: ConfigLike) -> dict[str, int]:
    """LightGCN: one graph of users and items, a table per layer, forward and backward."""
    table = (sizes.users + sizes.items) * settings["embedding_size"] * _FLOAT
    graph = 2 * sizes.interactions * _ENTRY
    layers = 2 * (settings["n_layers"] + 1) * table
    batch = 12 * settings["train_batch_size"] * settings["embedding_size"] * _FLOAT
    return {
        **_unknown(sizes, settings),
        "graphs": graph,
        "forward pass": layers,
        "batch": batch,
    }


def _ngcf(sizes: Sizes, settings: ConfigLike) -> dict[str, int]:
    """NGCF: some twelve tables per layer are alive between forward and backward."""
    widths = [settings["embedding_size"], *settings["hidden_size_list"]]
    tables = 12 * (sizes.users + sizes.items) * sum(widths) * _FLOAT
    batch = 12 * settings["train_batch_size"] * sum(widths) * _FLOAT
    graph = 2 * sizes.interactions * _ENTRY
    own = {"graphs": graph, "forward pass": tables, "batch": batch}
    return {**_unknown(sizes, settings), **own}


def _ultragcn(sizes: Sizes, settings: ConfigLike) -> dict[str, int]:
    size = settings["embedding_size"]
    content = settings["content_embedding_size"] if sizes.width else 0
    batch, negatives = settings["train_batch_size"], settings["n_negatives"]
    n_learnt = sizes.users * (size + content) + sizes.items * size + sizes.width * content
    vectors = 1 if settings["negative_sampling"] == "shared" else size + content
    neighbours = settings["n_neighbours"] * (size + content)
    # Scores, losses and gradients of the pool or of every pair, and the neighbours' vectors.
    own = batch * (6 * negatives * vectors + 3 * neighbours)
    projected = min(sizes.items, batch * (1 + settings["n_neighbours"]) + batch * negatives)
    return {
        "parameters": n_learnt * _LEARNT,
        # Phi = m (.) f beside f.
        "features": sizes.items * sizes.width * _FLOAT,
        "batch": _FLOAT * (own + projected * 3 * (size + content)),
    }


def _staged(sizes: Sizes, settings: ConfigLike) -> dict[str, int]:
    parts = _ultragcn(sizes, settings)
    content, width = settings["content_embedding_size"], sizes.width
    n_environments = settings["n_environments"]
    # Reach of every pair in every environment, with the gathered rows and gradients.
    reach = n_environments * width * (4 * settings["environment_batch_size"] + 2 * 8192)
    kept = settings["environment_restarts"] * 4 * n_environments * content * width
    batch, negatives = settings["mask_batch_size"], settings["mask_negatives"]
    pairs = n_environments * batch
    drawn = pairs * (1 + settings["n_neighbours"])
    shared = settings["negative_sampling"] == "shared"
    drawn += negatives if shared else pairs * negatives
    local = min(sizes.items, drawn)
    # Features of the step's items twice, and per environment, part and kind of pair A_e.
    tables = local * (2 * width + 12 * n_environments * content)
    attention = pairs * (negatives + settings["n_neighbours"] + 1)
    attention *= 8 * (settings["attention_hidden_size"] or 0)
    own_vectors = pairs * settings["n_neighbours"] * content * 6
    own_vectors += 0 if shared else pairs * negatives * content * 6
    return {
        **parts,
        "environments": _FLOAT * (reach + kept + sizes.items * width + sizes.interactions * 6),
        "mask": _FLOAT * (tables + attention + own_vectors),
    }


def _vbpr(sizes: Sizes, settings: ConfigLike) -> dict[str, int]:
    size, content = settings["embedding_size"], settings["content_embedding_size"]
    content = content if sizes.width else 0
    n_learnt = sizes.users * (size + content) + sizes.items * size + sizes.width * content
    rows = min(2 * settings["train_batch_size"], sizes.items)
    vectors = 8 * (2 * settings["train_batch_size"] + rows) * (size + content)
    return {
        "parameters": n_learnt * _LEARNT,
        "batch": _FLOAT * (vectors + 2 * rows * sizes.width),
    }


def _mmgcn(sizes: Sizes, settings: ConfigLike) -> dict[str, int]:
    size, n_nodes = settings["embedding_size"], sizes.users + sizes.items
    learnt, tables = n_nodes * size, 0
    for width in sizes.columns.values():
        start = settings["latent_size"] if width > settings["latent_size"] else width
        learnt += sizes.users * start + 3 * start * start + width * start
        # The first layer at its own width, the others at the embedding's.
        tables += n_nodes * (7 * start + 6 * size * (settings["num_layers"] - 1))
    batch = 6 * len(sizes.columns) * 3 * settings["train_batch_size"] * size
    return {
        "parameters": learnt * (_LEARNT if settings["train_ids"] else _FLOAT),
        "graphs": 2 * sizes.interactions * _ENTRY,
        "forward pass": _FLOAT * tables,
        "batch": _FLOAT * batch,
    }


def _mmssl(sizes: Sizes, settings: ConfigLike) -> dict[str, int]:
    names = ("embedding_size", "n_heads", "n_layers")
    chosen = SimpleNamespace(**{name: settings[name] for name in names})
    columns = 0
    if settings["adversarial_weight"]:
        columns = min(settings["discriminator_columns"] or sizes.items, sizes.items)
    return mmssl_parts(
        *(sizes.users, sizes.items, sizes.interactions, list(sizes.columns.values())),
        *(chosen, settings["train_batch_size"], columns),
    )


_MODELS: dict[str, Callable[[Sizes, ConfigLike], dict[str, int]]] = {
    "UltraGCN": _ultragcn,
    **dict.fromkeys(_STAGED, _staged),
    "VBPR": _vbpr,
    "MMGCN": _mmgcn,
    "MMSSL": _mmssl,
    "LightGCN": _light,
    "NGCF": _ngcf,
}


def _machine() -> int | None:
    try:
        lines = Path("/proc/meminfo").read_text(encoding="ascii").splitlines()
    except OSError:
        return None
    found = [line.split()[1] for line in lines if line.startswith("MemAvailable:")]
    return int(found[0]) << 10 if found else None


def _cgroups() -> list[int | None]:
    """What is left of the limits of this process's control groups (containers, job systems)."""
    try:
        lines = Path("/proc/self/cgroup").read_text(encoding="utf-8").splitlines()
    except OSError:
        return []
    left: list[int | None] = []
    for line in lines:
        _, controllers, path = line.split(":", 2)
        if controllers == "":
            root, names = Path("/sys/fs/cgroup"), ("memory.max", "memory.current")
        elif "memory" in controllers.split(","):
            root = Path("/sys/fs/cgroup/memory")
            names = ("memory.limit_in_bytes", "memory.usage_in_bytes")
        else:
            continue
        # Inside a container the path is the host's and its own group is the root.
        for group in (root / path.lstrip("/"), root):
            left.append(_left(group / names[0], group / names[1]))
    return left


def _left(limit: Path, used: Path) -> int | None:
    try:
        return max(0, int(limit.read_text()) - int(used.read_text()))
    except (OSError, ValueError):
        # No such group, or "max".
        return None


def _own_limit() -> int | None:
    """What ``ulimit -v`` leaves."""
    limit, _ = resource.getrlimit(resource.RLIMIT_AS)
    if limit == resource.RLIM_INFINITY:
        return None
    try:
        pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[0])
    except (OSError, ValueError):
        return None
    return max(0, limit - pages * resource.getpagesize())


def _resident() -> int:
    try:
        pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    except (OSError, ValueError):
        return 0
    return pages * resource.getpagesize()


def _free_gpu() -> int | None:
    return int(torch.cuda.mem_get_info()[0]) if torch.cuda.is_available() else None
