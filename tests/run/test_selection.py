"""Selection never sees a test set, and reads the validation split that was asked for."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from support import SHORT_STAGES, MakeConfig, id_pairs, run_main

from recbole_painvrl.data.dataset import ModalityDataset
from recbole_painvrl.data.loaders import evaluation_loader
from recbole_painvrl.data.splits.base import (
    OOD,
    OOD_VALID,
    TEST,
    TRAIN,
    VALID,
    LockedTestError,
    LockedTests,
)
from recbole_painvrl.run.build import build, build_trainer
from recbole_painvrl.training.base import RunTrainerMixin

CASES = pytest.mark.parametrize(("model", "argv"), [("PaInvRL", SHORT_STAGES), ("BPR", ())])


def permute_items(path: Path, seed: int) -> None:
    """Swap items between the users of a split file; no pair of another split comes in."""
    header, *lines = path.read_text().splitlines()
    rows = [tuple(line.split("\t")[:2]) for line in lines]
    taken = {
        tuple(line.split("\t")[:2])
        for other in path.parent.glob("tiny.*.inter")
        for line in other.read_text().splitlines()[1:]
    }
    for first, second in np.random.default_rng(seed).integers(len(rows), size=(20 * len(rows), 2)):
        (user, item), (other_user, other_item) = rows[first], rows[second]
        swapped = (user, other_item), (other_user, item)
        if taken.isdisjoint(swapped):
            taken.difference_update((rows[first], rows[second]))
            taken.update(swapped)
            rows[first], rows[second] = swapped
    path.write_text("\n".join([header, *("\t".join(row) for row in rows)]) + "\n")


@CASES
def test_permuting_test_labels_changes_only_the_test_lines(
    model: str, argv: tuple[str, ...], tiny_data: Path, own_data: Path, tmp_path: Path
) -> None:
    for number, split in enumerate(("test", "ood")):
        permute_items(own_data / "tiny" / f"tiny.{split}.inter", number)
    before, after = (
        run_main(data, tmp_path, model, *argv, name=name)
        for data, name in ((tiny_data, "before"), (own_data, "after"))
    )
    assert after.code == 0, after.err
    old, new = before.result, after.result
    assert new["metrics"]["valid"] == old["metrics"]["valid"]
    assert new["metrics"]["iid"] != old["metrics"]["iid"]
    assert new["metrics"]["ood"] != old["metrics"]["ood"]

    def figures(result: Any) -> list[dict[str, Any]]:
        timing = ("seconds", "peak_memory_mb")
        return [{k: v for k, v in s.items() if k not in timing} for s in result["stages"]]

    assert figures(new) == figures(old)
    weights, others = before.weights(), after.weights()
    assert set(weights) == set(others)
    for name, tensor in weights.items():
        assert tensor.numpy().tobytes() == others[name].numpy().tobytes(), name


class Sealed:
    """A test dataset from which nothing can be read before the lock is open."""

    def __init__(self, dataset: Any, is_open: Callable[[], bool]) -> None:
        self.__dict__.update(_dataset=dataset, _is_open=is_open)

    def __getattr__(self, name: str) -> Any:
        if not self._is_open():
            raise LockedTestError(f"`{name}` of a test set was read")
        return getattr(self._dataset, name)

    def __len__(self) -> int:
        return int(self.__getattr__("__len__")())


@CASES
def test_no_test_set_is_read_before_training_is_over(
    model: str,
    argv: tuple[str, ...],
    tiny_data: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    events: list[str] = []
    build, unlock = ModalityDataset.build_parts, LockedTests.unlock
    stage = RunTrainerMixin.fit_stage

    def sealed_parts(self: Any) -> Any:
        parts = build(self)
        for name in (TEST, OOD):
            parts[name] = Sealed(parts[name], lambda: "unlock" in events)
        return parts

    def spy_unlock(self: Any) -> None:
        events.append("unlock")
        unlock(self)

    def spy_stage(self: Any, context: Any) -> Any:
        events.append(self.stage)
        return stage(self, context)

    monkeypatch.setattr(ModalityDataset, "build_parts", sealed_parts)
    monkeypatch.setattr(LockedTests, "unlock", spy_unlock)
    monkeypatch.setattr(RunTrainerMixin, "fit_stage", spy_stage)
    run = run_main(tiny_data, tmp_path, model, *argv, name="x")
    assert run.code == 0, run.err
    assert events[-1] == "unlock", "every stage is over before"
    assert len(events) > 1
    assert set(run.result["metrics"]) == {"valid", "iid", "ood"}


def spied_scores(monkeypatch: pytest.MonkeyPatch) -> list[tuple[float, dict[str, float]]]:
    seen: list[tuple[float, dict[str, float]]] = []
    original = RunTrainerMixin._valid_epoch

    def spy(self: Any, *arguments: Any, **options: Any) -> Any:
        score, result = original(self, *arguments, **options)
        seen.append((float(score), {name: float(value) for name, value in result.items()}))
        return score, result

    monkeypatch.setattr(RunTrainerMixin, "_valid_epoch", spy)
    return seen


@pytest.mark.parametrize(
    ("model", "select_on"),
    [("BPR", "iid"), ("BPR", "ood"), ("BPR", "harmonic"), ("PaInvRL", "harmonic")],
)
def test_select_on(
    model: str,
    select_on: str,
    tiny_data: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    seen = spied_scores(monkeypatch)
    argv = (*SHORT_STAGES, "--oracle=False") if model == "PaInvRL" else ()
    run = run_main(tiny_data, tmp_path, model, f"--select_on={select_on}", *argv, name="x")
    assert run.code == 0, run.err
    assert len(seen) >= 2
    for score, result in seen:
        near, far = result["ndcg@10"], result.get("ood_ndcg@10")
        if select_on == "iid":
            assert (score, far) == (near, None)
        elif select_on == "ood":
            assert score == far
        else:
            expected = 2 * near * far / (near + far) if near + far else 0.0
            assert score == pytest.approx(expected)
    last = run.result["stages"][-1]
    best = max(score for score, _ in seen[-2:])
    chosen = seen[-2:][last["best_epoch"] - 1]
    assert chosen[0] == best
    assert run.result["metrics"]["valid"]["ndcg@10"] == pytest.approx(chosen[1]["ndcg@10"])


def test_ood_validation_leaves_out_the_training_items(
    tiny_config: MakeConfig, tmp_path: Path
) -> None:
    """NDCG@10 user by user, from the model's scores."""
    config = tiny_config("BPR", f"--checkpoint_dir={tmp_path / 'saved'}", "--select_on=ood")
    built = build(config)
    trainer = build_trainer(config, built.model)
    trainer.tensorboard.close()
    parts = built.parts
    parts[VALID].further, parts[VALID].history = {OOD_VALID: parts[OOD_VALID]}, [parts[TRAIN]]
    valid = evaluation_loader(config, [parts[TRAIN]], parts[VALID], "valid")
    # The same order of the items for every user.
    order = torch.rand(built.model.n_items, generator=torch.Generator().manual_seed(0))
    for table, values in (
        (built.model.item_embedding.weight, order),
        (built.model.user_embedding.weight, torch.ones(built.model.n_users)),
    ):
        table.data.zero_()[:, 0] = values

    def pairs(name: str) -> dict[int, set[int]]:
        found: dict[int, set[int]] = {}
        for user, item in id_pairs(parts[name]):
            found.setdefault(user, set()).add(item)
        return found

    def ndcg(excluded: dict[int, set[int]]) -> float:
        values = []
        for user, wanted in pairs(OOD_VALID).items():
            scores = order.numpy().copy()
            scores[[0, *excluded.get(user, ())]] = -np.inf
            best = np.argsort(-scores)[:10]
            gains = sum(1 / np.log2(n + 2) for n, item in enumerate(best) if item in wanted)
            values.append(gains / sum(1 / np.log2(n + 2) for n in range(min(10, len(wanted)))))
        return float(np.mean(values))

    found = trainer.ood_valid(valid)["ndcg@10"]
    assert found == pytest.approx(ndcg(pairs(TRAIN)), abs=1e-6)
    assert abs(found - ndcg({})) > 1e-3
