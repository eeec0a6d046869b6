"""Dense gradients of embedding tables, kept between steps and changed only where a batch looked."""

from __future__ import annotations

from typing import Any

import torch
from recbole.model.general_recommender.bpr import BPR
from torch import Tensor, nn

from recbole_painvrl.config.base import ConfigLike
from recbole_painvrl.parallel import group
from recbole_painvrl.parallel.shards import user_tables

# RecBole's models whose embeddings are looked up and nothing else.
_RECBOLES = (BPR,)


class RowGradients:
    """Gives an optimiser the dense gradients it needs from those of the rows of a batch.

    PyTorch makes a table-sized gradient anew for every look-up of a step: most of it zeros that
    are allocated, written, added up and checked. Here the look-ups give rows (values ``[m, k]`` and
    their numbers ``[m]``, with repetition), which are added to one kept table of zeros ``[n, k]``
    before the step and zeroed again after it. The optimiser (Adam with all of its moments, not a
    sparse or lazy one) sees the same numbers.

    Args:
        optimizer: its parameters may have sparse gradients from now on.
    """

    def __init__(self, optimizer: torch.optim.Optimizer) -> None:
        self._kept: dict[Tensor, Tensor] = {}
        self._rows: dict[Tensor, Tensor] = {}
        optimizer.register_step_pre_hook(self._add_rows)
        optimizer.register_step_post_hook(self._zero_rows)

    def _add_rows(self, optimizer: torch.optim.Optimizer, *_: Any) -> None:
        for part in optimizer.param_groups:
            for parameter in part["params"]:
                gradient = parameter.grad
                if gradient is None or not gradient.is_sparse:
                    continue
                if parameter not in self._kept:
                    self._kept[parameter] = torch.zeros_like(parameter)
                self._rows[parameter] = gradient._indices()[0]
                whole = self._kept[parameter]
                parameter.grad = whole.index_add_(0, self._rows[parameter], gradient._values())

    def _zero_rows(self, *_: Any) -> None:
        for parameter, rows in self._rows.items():
            self._kept[parameter].index_fill_(0, rows, 0.0)
            parameter.grad = None
        self._rows.clear()


def use_row_gradients(
    config: ConfigLike, model: nn.Module, optimizer: torch.optim.Optimizer
) -> bool:
    """Give embeddings sparse row gradients if model, device and settings allow it; returns whether.

    On a GPU a dense gradient costs little, and the rows would have to be made distinct;
    RecBole's clipping of gradients knows dense ones only.
    """
    known = getattr(model, "row_gradients", isinstance(model, _RECBOLES))
    wanted = (
        known
        and type(optimizer) is torch.optim.Adam
        and torch.device(config["device"]).type == "cpu"
        and not config["clip_grad_norm"]
        and not config["enable_scaler"]
    )
    for name, module in model.named_modules():
        if isinstance(module, nn.Embedding):
            # The gradient of a replicated table stays dense: other processes have other rows of it.
            alone = group.size() == 1 or f"{name}.weight" in user_tables(model)
            module.sparse = bool(wanted) and alone
    if wanted:
        RowGradients(optimizer)
    return bool(wanted)
