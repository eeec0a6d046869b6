"""Checks on the stages that a trainer gives, which may be those of another package."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

from recbole_painvrl.errors import UserError

if TYPE_CHECKING:
    from recbole_painvrl.training.pipeline import Outcome, Stage


def distinct(stages: Iterable[Stage[Any]]) -> Iterator[Stage[Any]]:
    """The stages as they are made; of a list, all names are checked before the first one.

    Raises:
        UserError: two have the same name, so that the second would pass for one that is finished.
    """
    if isinstance(stages, Sequence):
        for place, stage in enumerate(stages):
            _refuse_known(stage.name, {one.name for one in stages[:place]})
    names: set[str] = set()
    for stage in stages:
        _refuse_known(stage.name, names)
        names.add(stage.name)
        yield stage


def _refuse_known(name: str, names: set[str]) -> None:
    if name in names:
        raise UserError(f"stage `{name}`: there are two of this name; give each stage its own")


def outcome_of(last: Any, trainer: Any, saved: bool) -> Outcome:
    """Best validation score and result after the last stage.

    A stage without ``outcome`` may have changed the model, whose weights are those of the run then.

    Args:
        last: the stage; None if there was none.
        trainer: after it.
        saved: whether to write checkpoints.
    """
    if not hasattr(last, "outcome"):
        if saved:
            trainer._save_checkpoint(-1)
        return trainer.best_valid_score, trainer.best_valid_result
    outcome: Outcome = last.outcome
    return outcome
