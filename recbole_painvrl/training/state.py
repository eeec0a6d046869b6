"""Random numbers and plain attributes that an interrupted run needs to continue exactly."""

from __future__ import annotations

import hashlib
import random
import sys
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

if TYPE_CHECKING:
    from recbole_painvrl.training.protocols import Recommender, Trains

# Their objects hold no optimizers of a trainer, or save them.
_LIBRARIES = frozenset({"recbole_painvrl", "recbole", "torch", "numpy", "scipy", "pandas"})
# A longer container is data.
_MOST_HELPERS = 100


def global_rng() -> dict[str, Any]:
    """State of the global generators of Python, NumPy and PyTorch (RecBole draws from them)."""
    legacy: Any = np.random.get_state(legacy=True)
    kind, keys, position, has_gauss, cached = legacy
    version, words, gauss = random.getstate()
    # Asking for their state would initialise the GPUs, which a run on the CPU does not use.
    cuda = torch.cuda.get_rng_state_all() if torch.cuda.is_initialized() else []
    return {
        "torch": torch.get_rng_state(),
        "cuda": cuda,
        "numpy": [kind, keys.astype(np.int64), int(position), int(has_gauss), float(cached)],
        "python": [version, list(words), gauss],
    }


def restore_global_rng(state: Mapping[str, Any]) -> None:
    """Inverse of :func:`global_rng`."""
    torch.set_rng_state(state["torch"].cpu())
    if state["cuda"] and torch.cuda.is_available():
        # The run may go on where there are fewer GPUs.
        here = state["cuda"][: torch.cuda.device_count()]
        torch.cuda.set_rng_state_all([one.cpu() for one in here])
    kind, keys, position, has_gauss, cached = state["numpy"]
    np.random.set_state((kind, keys.astype(np.uint32), position, has_gauss, cached))
    version, words, gauss = state["python"]
    random.setstate((version, tuple(words), gauss))


class ModelAttributes:
    """What some of RecBole's models count or collect in plain attributes while they train.

    Examples are MultiVAE's number of steps and DiffRec's losses per diffusion step. Caches of
    propagated tables (``restore_...``) and private attributes are made anew and left out.

    Args:
        model: as it was built; what has not changed since is not kept.
    """

    def __init__(self, model: Recommender) -> None:
        self._model = model
        self._initial = {
            name: (value, value._version if isinstance(value, Tensor) else _content(value))
            for name, value in self._all()
        }

    def state_dict(self) -> dict[str, Any]:
        """Tensors and numbers that differ from the model as it was built."""
        return {name: value for name, value in self._all() if self._has_changed(name, value)}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Inverse of :meth:`state_dict`.

        Raises:
            ValueError: the model has no such attribute, or another kind of it.
        """
        known = {name for name, _ in self._all()}
        known |= {name for name, value in vars(self._model).items() if value is None}
        for name, value in state.items():
            if name not in known or not isinstance(value, Tensor | np.ndarray | int | float):
                raise ValueError(f"the model keeps nothing in `{name}`")
            setattr(self._model, name, value)

    def _has_changed(self, name: str, value: Any) -> bool:
        if name not in self._initial:
            return True
        first, version = self._initial[name]
        if isinstance(value, Tensor):
            return value is not first or value._version != version
        return bool(_content(value) != version)

    def _all(self) -> Iterator[tuple[str, Any]]:
        for name, value in vars(self._model).items():
            if name.startswith(("_", "restore_")) or name == "training":
                continue
            dense = isinstance(value, Tensor) and value.layout == torch.strided
            numbers = isinstance(value, np.ndarray) and value.dtype.kind in "biuf"
            if dense or numbers or type(value) in (int, float):
                yield name, value


def _content(value: Any) -> Any:
    """A number itself; of an array, which may be changed in place, its hash."""
    return hashlib.sha256(value.tobytes()).digest() if isinstance(value, np.ndarray) else value


def further_optimizers(trainer: Trains) -> dict[str, torch.optim.Optimizer]:
    """Optimizers that a trainer has beside ``optimizer``, by their path from it.

    They are attributes of the trainer (RecVAE's), or of helper objects, lists and dictionaries of
    a trainer of another package. Helpers of this project save and reset their own.
    """
    found: dict[str, torch.optim.Optimizer] = {}
    seen = {id(trainer)}
    to_visit = [("", list(vars(trainer).items()))]
    # Grows while it is read, so that the shortest path of each is found, and none is too long.
    for path, values in to_visit:
        for name, value in values:
            at = f"{path}{name}"
            if isinstance(value, torch.optim.Optimizer):
                # A scheduler may hold it as well.
                if at != "optimizer" and value not in found.values():
                    found[at] = value
            elif id(value) not in seen and (inner := _inside(value)):
                seen.add(id(value))
                to_visit.append((f"{at}.", inner))
    return found


def _inside(value: Any) -> list[tuple[Any, Any]]:
    """Names and values in a container or helper object; nothing of data and of libraries."""
    if isinstance(value, list | tuple | dict):
        if len(value) > _MOST_HELPERS:
            return []
        return list(value.items() if isinstance(value, dict) else enumerate(value))
    root = type(value).__module__.partition(".")[0]
    if root in _LIBRARIES or root in sys.stdlib_module_names:
        return []
    return list(getattr(value, "__dict__", {}).items())


def forget_training(trainer: Any) -> None:
    """Reset what RecBole's ``fit`` keeps on a trainer: its counters, and moments of optimizers."""
    trainer.start_epoch, trainer.cur_step = 0, 0
    trainer.best_valid_score = -np.inf if trainer.valid_metric_bigger else np.inf
    trainer.best_valid_result = None
    trainer.train_loss_dict = {}
    for optimizer in (trainer.optimizer, *further_optimizers(trainer).values()):
        optimizer.state.clear()
