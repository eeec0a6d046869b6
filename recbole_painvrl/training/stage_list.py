"""The stages of a trainer, perhaps of another package: their names, the outcome of the last."""

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
        for _ in distinct(iter(stages)):
            pass
    names: set[str] = set()
    for stage in stages:
        if stage.name in names:
            raise UserError(
                f"stage `{stage.name}`: there are two of this name; give each stage its own"
            )
        names.add(stage.name)
        yield stage


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
