"""Stops training at a non-finite loss, gradient or weight, and says where it came from."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TypeGuard

import torch
from torch import Tensor

from recbole_painvrl.errors import BadNumberError, NonFiniteLossError
from recbole_painvrl.parallel import group

if TYPE_CHECKING:
    from recbole_painvrl.training.protocols import Recommender, TermsRecommender, Trains

# If no column is non-finite yet, one that is this many times larger than usual is named.
_EXPLODING = 1e6


class Guard:
    """Watches the steps of a trainer's present stage.

    On a CPU every gradient is looked at before the step, so the weights stay good. On a GPU that
    would make the host wait: the flag of a step is read with the loss of the next, for which the
    host waits anyway, and at the end of the epoch. Only a failure is investigated, on its batch.

    Args:
        trainer: a ``RunTrainerMixin`` (model, stage, device).

    Attributes:
        failure: where several processes train, the error that the step raises in all of them.
    """

    def __init__(self, trainer: Trains) -> None:
        self._trainer = trainer
        self._batch: Any = None
        self._steps = 0
        self._epoch = 0
        self._gradients: Tensor | None = None
        self.failure: NonFiniteLossError | None = None

    def begin_epoch(self, epoch: int) -> None:
        """Count batches from 1 again; ``epoch`` counts from 0."""
        self._epoch, self._steps, self._batch, self._gradients = epoch, 0, None, None

    def watched(self, loss_function: Callable[[Any], Any]) -> Callable[[Any], Any]:
        """The same function, its last batch remembered."""

        def remembered(batch: Any) -> Any:
            self._steps += 1
            self._batch = batch
            try:
                return loss_function(batch)
            except BadNumberError as error:
                raise self._error(str(error)) from error

        return remembered

    def watch(self, optimizer: torch.optim.Optimizer) -> None:
        """Look at the gradients before every step of an optimiser."""
        optimizer.register_step_pre_hook(self._before_step)

    def check_loss(self, loss: Tensor) -> None:
        """Stop at a loss that is NaN or infinite, before it reaches the weights.

        Raises:
            NonFiniteLossError: with the term, the place and the first bad feature column.
        """
        finite = torch.isfinite(loss).all()
        if self._gradients is not None:
            finite = finite & self._gradients
        if bool(finite):
            return
        if bool(torch.isfinite(loss).all()):
            self._stop(self._error(f"the gradient of {self._bad_gradient()} is not finite", 1))
        else:
            self._stop(self._error(f"the training loss is {loss.sum().item():g}{self._terms()}"))

    def check_figures(self, figures: Mapping[str, float]) -> None:
        """After an epoch: what was summed over its batches must be finite.

        Raises:
            NonFiniteLossError: with the name of the first that is not.
        """
        for name, value in figures.items():
            if not math.isfinite(value):
                raise self._error(f"{name} is {value:g}")

    def check_weights(self) -> None:
        """After an epoch: no weight may have become NaN or infinite.

        Raises:
            NonFiniteLossError: with the parameter and the first bad feature column.
        """
        weights = {n: p for n, p in self._trainer.model.named_parameters() if p.numel()}
        finite = [torch.isfinite(weight).all() for weight in weights.values()]
        if finite and not bool(torch.stack(finite).all()):
            name = next(n for n, good in zip(weights, finite, strict=True) if not bool(good))
            raise self._error(f"the weights `{name}` are not finite")

    def _before_step(self, optimizer: torch.optim.Optimizer, *_: Any) -> None:
        # A fused optimiser skips the step itself where scaled gradients (`enable_scaler`) overflow.
        scaled = getattr(optimizer, "found_inf", None) is not None
        sums = [] if scaled else [gradient.sum() for gradient in _gradients(optimizer)]
        if not sums:
            return
        finite = torch.isfinite(torch.stack(sums)).all()
        if finite.device.type != "cpu":
            self._gradients = finite if self._gradients is None else finite & self._gradients
        # A sum of large numbers may overflow where none of them is infinite.
        elif not bool(finite) and not all(
            bool(torch.isfinite(gradient).all()) for gradient in _gradients(optimizer)
        ):
            self._stop(self._error(f"the gradient of {self._bad_gradient()} is not finite"))

    def _stop(self, error: NonFiniteLossError) -> None:
        """Raise, in all processes at the same step."""
        if group.size() == 1:
            raise error
        self.failure = self.failure or error

    def _bad_gradient(self) -> str:
        for name, parameter in self._trainer.model.named_parameters():
            gradient = parameter.grad
            if gradient is not None and not bool(torch.isfinite(_values(gradient)).all()):
                return f"`{name}`{self._terms()}"
        return "a parameter"

    def _terms(self) -> str:
        """`` (in L_I)`` for the terms of the loss that are not finite, computed once more."""
        noted = self._recompute()
        noted.update(getattr(self._trainer, "further_terms", dict)())
        bad = [name for name, value in noted.items() if not bool(torch.isfinite(value).all())]
        return f" (in {', '.join(bad)})" if bad else ""

    def _recompute(self) -> dict[str, Tensor]:
        """Terms of the loss on the failed batch; leaves gradients by the features behind."""
        model = self._trainer.model
        if self._batch is None or not _notes_terms(model):
            return {}
        noted: dict[str, Tensor] = {}
        model.noted = noted
        model.forget_tables()
        if model.features.numel():
            model.features.requires_grad_(True)
        try:
            loss = model.calculate_loss(self._batch)
            if model.features.requires_grad:
                (model.features.grad,) = torch.autograd.grad(
                    loss, model.features, allow_unused=True
                )
        finally:
            model.features.requires_grad_(False)
            model.noted = None
            model.forget_tables()
        return noted

    def _error(self, what: str, steps_ago: int = 0) -> NonFiniteLossError:
        trainer = self._trainer
        place = f"stage {trainer.stage}, epoch {self._epoch + 1}, batch {self._steps - steps_ago}"
        column = first_bad_column(trainer.model)
        return NonFiniteLossError(
            f"{place}: {what}; {column}; lower `learning_rate`; the last good checkpoint is kept"
        )


def _notes_terms(model: Recommender) -> TypeGuard[TermsRecommender]:
    return hasattr(model, "noted")


def first_bad_column(model: Recommender) -> str:
    """In words, the first feature column with a value or gradient that is no finite number."""
    features, slices = getattr(model, "features", None), getattr(model, "modality_slices", {})
    if features is None or not slices:
        return "the model has no feature columns"
    return blame(_by_column(model, features), slices)


def blame(tensors: Mapping[str, Tensor], slices: Mapping[str, slice]) -> str:
    """The first column, in words, at which tensors ``[..., d]`` are not finite, or exploding.

    Args:
        tensors: what to look at, most telling first.
        slices: columns of each modality.
    """
    exploding = ""
    for name, tensor in tensors.items():
        rows = tensor.detach().reshape(-1, tensor.shape[-1])
        bad = ~torch.isfinite(rows).all(dim=0)
        if bool(bad.all()):
            # Whatever it was has reached every column by now.
            continue
        if bool(bad.any()):
            first = int(torch.nonzero(bad)[0])
            return f"first bad feature column: {column_name(slices, first)} (in {name})"
        sizes = rows.abs().amax(dim=0)
        largest = int(sizes.argmax())
        if not exploding and float(sizes[largest]) > _EXPLODING * max(float(sizes.median()), 1e-30):
            exploding = (
                f"exploding feature column: {column_name(slices, largest)} "
                f"({float(sizes[largest]):.3g} in {name})"
            )
    return exploding or "no feature column is worse than the others"


def column_name(slices: Mapping[str, slice], column: int) -> str:
    """``visual column 5`` for a column of all modalities side by side."""
    for modality, part in slices.items():
        if part.start <= column < part.stop:
            return f"{modality} column {column - part.start}"
    return f"column {column}"


def _by_column(model: Recommender, features: Tensor) -> dict[str, Tensor]:
    """Features, and what the model holds with a place for every column of them."""
    found = {"the features": features}
    if features.grad is not None:
        found["the gradient by the features"] = features.grad
    for name, tensor in [*model.named_parameters(), *model.named_buffers()]:
        if tensor is features or not tensor.dim() or tensor.shape[-1] != features.shape[1]:
            continue
        if tensor.is_floating_point() and tensor.numel():
            found[f"`{name}`"] = tensor
            # Rows of looked-up embeddings have no place for a column, whatever their width.
            if tensor.grad is not None and not tensor.grad.is_sparse:
                found[f"the gradient of `{name}`"] = tensor.grad
    return found


def _gradients(optimizer: torch.optim.Optimizer) -> Iterator[Tensor]:
    for part in optimizer.param_groups:
        for parameter in part["params"]:
            if parameter.grad is not None:
                yield _values(parameter.grad)


def _values(gradient: Tensor) -> Tensor:
    """The gradient; of a sparse one only its stored rows, which may be repeated."""
    return gradient._values() if gradient.is_sparse else gradient


def check_step(
    losses: Mapping[str, float],
    norms: Mapping[str, float],
    columns: Callable[[], Mapping[str, Tensor]],
) -> None:
    """Stop before a joint step of which a loss or a gradient is not finite.

    Args:
        losses: value of every loss.
        norms: norm of every loss's gradient by the mask.
        columns: gives the tensors ``[..., d]`` among which the culprit is.

    Raises:
        BadNumberError: with the name of the first such number.
    """
    for name, value in losses.items():
        if not math.isfinite(value):
            raise BadNumberError(f"{name} is {value:g}", columns())
    for name, value in norms.items():
        if not math.isfinite(value):
            raise BadNumberError(f"the mask's gradient of {name} has norm {value:g}", columns())


def check_state(tensors: Mapping[str, Tensor]) -> None:
    """Raise :class:`BadNumberError` where an epoch left something learnt that is not finite."""
    for name, tensor in tensors.items():
        if not bool(torch.isfinite(tensor).all()):
            raise BadNumberError(f"{name} is not finite", tensors)


@contextmanager
def in_batch(number: int) -> Iterator[None]:
    """Remember the batch, from 1, in which a number went wrong inside."""
    try:
        yield
    except BadNumberError as error:
        error.batch = number
        raise


@contextmanager
def stopped_at(
    place: Callable[[], str], slices: Mapping[str, slice], settings: str
) -> Iterator[None]:
    """Turn what went wrong inside into the error that a user reads.

    Args:
        place: gives stage and epoch, or round.
        slices: columns of each modality.
        settings: what to lower.

    Raises:
        NonFiniteLossError: with the term, the place and the first bad feature column.
    """
    try:
        yield
    except BadNumberError as error:
        batch = "" if error.batch is None else f", batch {error.batch}"
        raise NonFiniteLossError(
            f"{place()}{batch}: {error}; {blame(error.columns, slices)}; lower "
            f"{settings}; the last good checkpoint is kept"
        ) from error
