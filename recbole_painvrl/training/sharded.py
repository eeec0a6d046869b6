"""A training step of several processes, and the parts of their state that belong to users.

A process has the rows of its users of every table of users, with gradient and moments; all other
parameters are replicated. Batch losses are sums over rows, so that the replicated parameters'
gradient is the sum of the processes' gradients, and a user's gradient is already complete.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from recbole_painvrl.errors import PeerError
from recbole_painvrl.parallel import group
from recbole_painvrl.parallel.shards import user_tables

if TYPE_CHECKING:
    from recbole_painvrl.training.base import RunTrainerMixin


def replicated(model: nn.Module) -> dict[str, Tensor]:
    """The parameters of which all processes have the same copy, by name."""
    own = user_tables(model)
    return {name: one for name, one in model.named_parameters() if name not in own}


class ShardedSteps:
    """Sums the gradients of every step of an optimizer over the processes, before the step.

    Args:
        trainer: its model and its guard.
        optimizer: has the parameters of the model; its earlier hooks run first.
    """

    def __init__(self, trainer: RunTrainerMixin, optimizer: torch.optim.Optimizer) -> None:
        self._trainer = trainer
        self._loss: Tensor | None = None
        self._total: Tensor | None = None
        optimizer.register_step_pre_hook(self._sum)

    def weighted(self, loss_function: Callable[[Any], Any], loader: Any) -> Callable[[Any], Any]:
        """The loss function whose values add up over the processes to that of the whole batch.

        A mean over ``B_r`` rows of this process counts ``B_r / B``.
        """
        mean = self._trainer.model.sharding.loss == "mean"

        def own(batch: Any) -> Tensor:
            if mean and not len(batch):
                loss = torch.zeros((), device=self._trainer.device, requires_grad=True)
            else:
                loss = loss_function(batch)
                loss = loss * (len(batch) / loader.n_rows) if mean else loss
            self._loss = loss.detach()
            return loss

        return own

    def epoch_loss(self) -> float:
        """Sum of the losses of the steps since the last call, of all processes."""
        total, self._total = self._total, None
        self.check()
        return 0.0 if total is None else float(total)

    def check(self) -> None:
        """Stop if a process flagged it in an earlier step (on a GPU; synchronizes)."""
        self._stopping(group.raise_flags)

    def check_replicas(self) -> None:
        """Stop where the replicated parameters differ between processes."""
        group.assert_same(replicated(self._trainer.model))

    def _sum(self, optimizer: torch.optim.Optimizer, *_: Any) -> None:
        for table in optimizer.param_groups:
            for parameter in table["params"]:
                if parameter.grad is None:
                    # None of its rows are in this batch; the moments decay all the same.
                    parameter.grad = torch.zeros_like(parameter)
        gradients = [one.grad for one in replicated(self._trainer.model).values()]
        kept = [gradient for gradient in gradients if gradient is not None]
        assert self._loss is not None
        loss = self._loss.reshape(1).to(kept[0].dtype)
        bad = self._trainer.guard.failure is not None
        self._stopping(lambda: group.sum_step([*kept, loss], bad))
        self._total = loss.double() if self._total is None else self._total + loss

    def _stopping(self, step: Callable[[], None]) -> None:
        """Run ``step``; if it raises :class:`PeerError`, raise this process's own error if any."""
        try:
            step()
        except PeerError as error:
            raise self._trainer.guard.failure or error from None


def whole_tables(model: Any) -> dict[str, Tensor]:
    """State of a model, in the first process with the rows of all users."""
    state = dict(model.state_dict())
    for name in user_tables(model):
        whole = group.gather_rows(state[name])
        if whole is not None:
            state[name] = whole
    return state


def change_user_rows(
    state: Mapping[str, Any],
    model: Any,
    optimizer: torch.optim.Optimizer,
    change: Callable[[Tensor], Any],
) -> dict[str, Any]:
    """The state of a trainer with its tensors of users changed; all others as they are.

    Args:
        state: ``model`` and ``optimizer`` are read.
        model: has the tables.
        optimizer: the order of its parameters is that of the state.
        change: takes a tensor with a row per user.
    """
    names = user_tables(model)
    tables = {id(one) for name, one in model.named_parameters() if name in names}
    parameters = [one for part in optimizer.param_groups for one in part["params"]]

    def changed(index: int, moments: Mapping[str, Any]) -> dict[str, Any]:
        if id(parameters[index]) not in tables:
            return dict(moments)
        # A count of steps has no rows.
        return {
            name: change(one) if isinstance(one, Tensor) and one.dim() else one
            for name, one in moments.items()
        }

    adam = state["optimizer"]
    moments = {index: changed(index, one) for index, one in adam["state"].items()}
    weights = {n: change(one) if n in names else one for n, one in state["model"].items()}
    return {**state, "model": weights, "optimizer": {**adam, "state": moments}}
