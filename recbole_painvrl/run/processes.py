"""What can be trained by several processes, refused before anything is read."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import torch
from recbole.data.dataloader import FullSortEvalDataLoader
from recbole.data.utils import get_dataloader
from recbole.utils import get_model

from recbole_painvrl.data.loaders import can_be_fast
from recbole_painvrl.errors import UserError
from recbole_painvrl.parallel import launch
from recbole_painvrl.parallel.shards import Sharding

if TYPE_CHECKING:
    from recbole_painvrl.config import SafeConfig

# Settings that must have their default.
_NEED_OFF = {
    "clip_grad_norm": "the norm of a gradient is over all processes",
    "enable_scaler": "each process would scale by its own factor",
    "exclude_positives": "negatives are shared by the users of all processes",
    "profile": "it times one process",
}


def check_processes(config: SafeConfig) -> None:
    """Refuse what several processes cannot train, or would train several times.

    Raises:
        UserError: the first such model or setting.
    """
    launch.check_start()
    for found, why in _faults(config):
        raise UserError(
            f"{found} cannot be trained by {launch.world_size()} processes: {why}; "
            "start it without torchrun"
        )


def _faults(config: SafeConfig) -> Iterator[tuple[str, str]]:
    """Settings that do not fit, each with the reason."""
    name = str(config["model"])
    # Not inherited: a subclass may score in another way.
    sharding: Sharding | None = vars(get_model(name)).get("sharding")
    if sharding is None:
        yield f"`model: {name}`", "its users cannot be divided"
        return
    for setting, value in sharding.needs.items():
        if config[setting] != value:
            yield f"`{setting}: {config[setting]}`", f"the model needs `{setting}: {value}` there"
    for setting, why in _NEED_OFF.items():
        if config[setting]:
            yield f"`{setting}: {config[setting]}`", why
    if not can_be_fast(config):
        reason = "it needs the plugin's own loader"
        yield f"`fast_loader: {config['fast_loader']}` (or the negatives)", reason
    for phase in ("valid", "test"):
        if get_dataloader(config, phase) is not FullSortEvalDataLoader:
            mode = config["eval_args"]["mode"][phase]
            yield f"`eval_args: mode: {mode}`", "candidates would be drawn in each process"
    if config["use_gpu"] and 0 < torch.cuda.device_count() < launch.local_size():
        yield (
            f"`use_gpu: True` with {torch.cuda.device_count()} GPUs",
            f"{launch.local_size()} processes run on this machine, and each needs its own",
        )
