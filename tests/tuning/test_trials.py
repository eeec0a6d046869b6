"""Trials compared with one another: which are pruned, and which is chosen."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from optuna.trial import TrialState

from recbole_painvrl.tuning.study import Search, rung_name
from recbole_painvrl.tuning.trial import Watch


def watching(trainer: Any, *parts: str) -> tuple[Watch, list[tuple[str, list[float]]]]:
    """The watch of a trial without peers, and what it will note."""
    rungs: list[tuple[str, list[float]]] = []
    plan = SimpleNamespace(parts=("valid", *parts), metric="ndcg@10")
    search: Any = SimpleNamespace(plan=plan, peers=lambda own, rung: [])
    trial: Any = SimpleNamespace(
        set_user_attr=lambda *words: rungs.append(words), number=0, user_attrs={}
    )
    return Watch(search, trial, trainer, None), rungs


def test_of_several_candidates_the_first_is_compared() -> None:
    losses = dict.fromkeys(range(4), 0.0)
    trainer = SimpleNamespace(
        candidates={"ones": None, "soft": None}, train_loss_dict=losses, eval_step=1,
        best_valid_result={}, history=[],
    )  # fmt: skip
    trainer.evaluated = trainer
    watch, rungs = watching(trainer)
    for number, stage in enumerate(("backbone", "final ones", "final soft"), 1):
        trainer.stage = stage
        watch(0.1 * number, {"ndcg@10": 0.1 * number})
    assert rungs == [(rung_name(4), [0.2])]


def test_another_final_model_is_compared_by_its_own_training() -> None:
    common = {"candidates": {}, "eval_step": 1, "stage": "final", "history": []}
    final = SimpleNamespace(train_loss_dict={}, best_valid_result={}, **common)
    backbone = SimpleNamespace(
        train_loss_dict=dict.fromkeys(range(8), 0.0), best_valid_result={"ndcg@10": 0.9},
        evaluated=final, **common,
    )  # fmt: skip
    watch, rungs = watching(backbone)
    for epoch in range(4):
        final.train_loss_dict[epoch] = 0.0
        watch(0.1, {"ndcg@10": 0.1 * (epoch + 1)})
    assert rungs == [(rung_name(4), [pytest.approx(0.4)])]


def test_peers_are_compared_after_as_many_validations() -> None:
    """Or at their end; neither the trial itself nor one that failed is a peer."""

    def trial(state: TrialState, at_rung: float | None, value: float | None = None) -> Any:
        attributes = {} if at_rung is None else {rung_name(8): [at_rung]}
        values = None if value is None else [value]
        return SimpleNamespace(
            number=len(trials), state=state, user_attrs=attributes, values=values
        )

    trials: list[Any] = []
    trials.append(trial(TrialState.COMPLETE, 0.1, 0.9))
    trials.append(trial(TrialState.COMPLETE, None, 0.2))
    trials.append(trial(TrialState.PRUNED, 0.3))
    trials.append(trial(TrialState.PRUNED, None))
    trials.append(trial(TrialState.RUNNING, 0.4))
    trials.append(trial(TrialState.RUNNING, 0.5))
    trials.append(trial(TrialState.FAIL, 0.6))
    search: Any = SimpleNamespace(study=SimpleNamespace(get_trials=lambda deepcopy: trials))
    assert Search.peers(search, own=5, rung=8) == [[0.1], [0.2], [0.3], [0.4]]


def test_the_best_value_before_an_interruption_counts() -> None:
    """The trainer knows it again; a trial that goes on has a watch of its own."""
    trainer = SimpleNamespace(
        train_loss_dict=dict.fromkeys(range(16), 0.0), eval_step=2, stage="train",
        best_valid_result={"ndcg@10": 0.6}, history=[],
    )  # fmt: skip
    trainer.evaluated = trainer
    watch, rungs = watching(trainer)
    watch(0.2, {"ndcg@10": 0.2})
    assert rungs == [(rung_name(8), [0.6])]


def test_the_best_value_of_either_part_is_compared() -> None:
    shifted = iter([0.3, 0.1])
    trainer = SimpleNamespace(
        train_loss_dict={}, eval_step=1, best_valid_result={}, stage="train", history=[],
        ood_valid=lambda loader: {"ndcg@10": next(shifted)},
    )  # fmt: skip
    trainer.evaluated = trainer
    watch, rungs = watching(trainer, "ood_valid")
    # Where OOD validation selects the epoch, every validation has both.
    for validations, value, own in ((4, 0.5, None), (8, 0.4, None), (12, 0.4, 0.6), (16, 0.3, 0.2)):
        trainer.train_loss_dict = dict.fromkeys(range(validations), 0.0)
        watch(value, {"ndcg@10": value, **({} if own is None else {"ood_ndcg@10": own})})
    seen = {4: [0.5, 0.3], 8: [0.5, 0.3], 16: [0.5, 0.6]}
    assert rungs == [(rung_name(number), best) for number, best in seen.items()]


def test_a_resumed_trial_is_compared_by_all_its_validations() -> None:
    """The best IID and OOD values need not be those of the epoch that the trainer remembers."""
    found = [
        {"ndcg@10": 0.1 + 0.1 * (epoch == 1), "ood_ndcg@10": 0.1 + 0.1 * (epoch == 6)}
        for epoch in range(8)
    ]

    def rungs_of(*processes: range) -> list[tuple[str, list[float]]]:
        trainer = SimpleNamespace(
            candidates={}, stage="train", eval_step=1, train_loss_dict={}, best_valid_result={},
            history=[],
        )  # fmt: skip
        trainer.evaluated = trainer
        noted: list[tuple[str, list[float]]] = []
        for epochs in processes:
            watch, rungs = watching(trainer, "ood_valid")
            watch.trial.user_attrs.update(dict(noted))
            for epoch in epochs:
                trainer.train_loss_dict[epoch] = 0.0
                trainer.history.append({"valid": found[epoch]})
                watch(0.1, found[epoch])
            noted += rungs
        return noted

    expected = [(rung_name(4), [0.2, 0.1]), (rung_name(8), [0.2, 0.2])]
    for processes in ((range(8),), (range(3), range(3, 8)), (range(7), range(7, 8))):
        assert rungs_of(*processes) == expected


def test_a_resumed_trial_keeps_the_ood_values_of_its_rungs() -> None:
    """With `select_on: iid` the OOD split is evaluated at the rungs alone."""
    shifted = iter([0.7, 0.3])
    trainer = SimpleNamespace(
        candidates={}, stage="train", eval_step=1, best_valid_result={}, history=[],
        ood_valid=lambda loader: {"ndcg@10": next(shifted)},
    )  # fmt: skip
    trainer.evaluated = trainer
    for n, expected in ((4, 0.7), (8, 0.7)):
        watch, rungs = watching(trainer, "ood_valid")
        watch.trial.user_attrs[rung_name(4)] = [0.1, 0.7]
        trainer.train_loss_dict = dict.fromkeys(range(n), 0.0)
        watch(0.1, {"ndcg@10": 0.1})
        assert rungs == [(rung_name(n), [0.1, expected])]
