"""The answer at the end of a run: every rule by results whose answer is known."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from support import SHORT_STAGES, run_main

from recbole_painvrl.__main__ import main
from recbole_painvrl.run.answer import answer, compared

ONE, TWO = {"visual": {"found": False}}, {"text": {"found": False}, "visual": {"found": True}}
AUTO = {"form": "auto", "used": "binary", "two_groups": TWO}
KEPT = {"form": "auto", "used": "ones", "two_groups": ONE}
NONE = {**KEPT, "used": "zeros"}
# Spurious columns were found, but validation decided for no features.
HARM = {**AUTO, "used": "zeros", "candidates": {"binary": {}, "ones": {}, "zeros": {}}}
SOFT = {**AUTO, "form": "soft", "used": "soft"}
FLAT = {**SOFT, "two_groups": ONE}


def result(**changes: Any) -> dict[str, Any]:
    metrics = {name: {"ndcg@10": value} for name, value in (("iid", 0.10), ("ood", 0.06))}
    command = ["python", "run_recbole.py", "--model=PaInvRL", "--dataset=mine"]
    return {
        "model": "PaInvRL",
        "dataset": "mine",
        "edition": "as found",
        "valid_metric": "NDCG@10",
        "metrics": metrics,
        "command": command,
        "run_folder": "runs/x",
        "mask": AUTO,
        **changes,
    }


def planted(auc: float, rand: float | None = 0.1, oracle: float | None = None) -> dict[str, Any]:
    found: dict[str, Any] = {"mask_auc": {"overall": auc}}
    if rand is not None:
        found |= {"environment_ari": rand, "environment_ari_supervised": 0.3}
    if oracle is not None:
        found["oracle"] = {"iid": {"ndcg@10": 0.09}, "ood": {"ndcg@10": oracle}}
    return found


def evaluated(iid: float, ood: float, noise: float = 0.01, seed: int = 0) -> Any:
    """Metrics of two tests of 200 users whose mean is exactly as given."""
    rng, tests = np.random.default_rng(seed), {}
    for name, mean in (("iid", iid), ("ood", ood)):
        values = rng.normal(0, noise, 200)
        values += mean - values.mean()
        users = [f"u{number}" for number in range(200)]
        frame = pd.DataFrame({"test_set": name, "user_id": users, "ndcg@10": values})
        tests[name] = {"ndcg@10": mean}, frame
    return tests


def asked(unmasked: Any = None, **changes: Any) -> Any:
    final = evaluated(0.10, 0.06)
    found = compared(final, unmasked, "ndcg@10", 0) if unmasked else []
    return answer(result(**changes), False, found)


@pytest.mark.parametrize(
    ("iid", "ood", "expected"),
    [
        (0.12, 0.04, {"iid": "worse", "ood": "better"}),
        (0.10, 0.0601, {"iid": "not significant", "ood": "not significant"}),
        (0.08, 0.08, {"iid": "better", "ood": "worse"}),
    ],
)
def test_it_says_whether_the_backbone_is_beaten(
    iid: float, ood: float, expected: dict[str, str]
) -> None:
    found = asked(evaluated(iid, ood, seed=1))
    assert found["backbone"] == expected
    change = f"{0.06 / ood - 1:+.1%}"
    assert change in found["lines"][0]
    assert found["lines"][0].count("significant") == 2


def test_what_was_not_compared_is_said_with_the_command_that_does() -> None:
    found = asked()
    assert found["backbone"] == {}
    assert "not compared" in found["lines"][0]
    assert found["lines"][-1].endswith(
        "run_recbole.py --model=PaInvRL --dataset=mine --compare_backbone=True"
    )
    no_ood = {"metrics": {"test": {"ndcg@10": 0.1}}}
    words = ["--protocol=random", "--eval_args={split: {RS: [7, 1, 2]}, mode: {test: uni100}}"]
    words.append("--benchmark_filename=[a, b]")
    command = ["python", "run_recbole.py", "--model=PaInvRL", "--dataset=mine", *words]
    line = asked(**no_ood, command=command)["lines"][-1]
    assert line.endswith("'--eval_args={mode: {test: uni100}}' --protocol=popularity")
    assert "random" not in line and "benchmark" not in line
    files = asked(**no_ood, shift={"other_protocols": False})
    assert "--protocol" not in files["lines"][-1]


def test_the_next_command_has_the_settings_of_the_run(
    tiny_data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Each can be given as it is: it names the same data, split and settings."""
    words = ["--protocol=popularity", f"--data_path={tiny_data}", "--mask_decay=0.02"]
    words += ["--epochs=2", "--seed=3", "--embedding_size=32"]
    # Of a run alone: every run of a grid would train more for it.
    words += ["--compare_backbone=True", "--oracle=False"]
    for model, more, kind in (
        ("PaInvRL", {}, "ablate --what=controls"),
        ("InvRL", {}, "benchmark --method=InvRL --models=InvRL,UltraGCN"),
        ("PaInvRL", {"final_model": "FREEDOM"}, "benchmark --models=FREEDOM"),
        (
            "PaInvRL",
            {"final_model": "FREEDOM", "mask": KEPT},
            "benchmark --models=FREEDOM,UltraGCN",
        ),
    ):
        launcher = ["torchrun", "--nproc-per-node=2", "-m", "recbole_painvrl", "run"]
        if model == "InvRL":
            launcher = ["python", "/a run/of/run_recbole.py"]
        preset = "released" if model == "InvRL" else "large"
        command = [*launcher, f"--model={model}", "--dataset=tiny", *words, f"--preset={preset}"]
        command += ["--final_settings={n_layers: 1, embedding_size: 16}"] if more else []
        unmasked = None if more else evaluated(0.1, 0.05)
        entry = asked(unmasked, model=model, dataset="tiny", command=command, **more)
        line = entry["lines"][-1].removeprefix("next: ")
        assert line.startswith("python -m recbole_painvrl ")
        assert set(kind.split()) <= set(line.split())
        assert not any(word in line for word in ("nproc", "compare_backbone", "oracle"))
        sized = {"InvRL", "UltraGCN"} if model == "InvRL" else {model}
        for one in {"FREEDOM"} if more else sized:
            assert f"--set={one}.embedding_size={16 if more else 32}" in line
        assert ("--set=FREEDOM.n_layers=1" in line) == bool(more)
        assert f"--data_path={tiny_data}" in line and "--protocol=popularity" in line
        assert (f"--set={model}.preset={preset}" in line) == (not more)
        # UltraGCN has no preset `released`.
        assert "--set=UltraGCN.preset" not in line
        assert "--seed=" not in line and "--epochs=2" in line.split()
        given = [one for one in shlex.split(line)[3:] if "feature-mask" not in one]
        assert main([*given, f"--output={tmp_path}", "--dry-run"]) == 0
        assert model in capsys.readouterr().out or more


@pytest.mark.parametrize(
    ("changes", "mask"),
    [
        ({"planted": planted(0.98), "mask": FLAT}, "recovered"),
        ({"planted": planted(0.9)}, "recovered"),
        ({"planted": planted(0.89)}, "not recovered"),
        ({"planted": planted(0.98), "mask": KEPT}, "recovered"),
        ({"mask": FLAT}, "nothing found"),
        ({"mask": SOFT}, "not known"),
        ({"mask": {**SOFT, "used": "ones"}}, "nothing found"),
        ({"mask": KEPT}, "nothing found"),
        ({"mask": NONE}, "nothing found"),
        ({"mask": AUTO}, "not known"),
        ({"mask": HARM}, "not known"),
    ],
)
def test_mask(changes: dict[str, Any], mask: str) -> None:
    found = asked(**changes)
    assert found["mask"] == mask
    (line,) = (line for line in found["lines"] if line.startswith(f"mask: {mask};"))
    unused = changes.get("planted") and changes.get("mask") is KEPT
    assert ("the final model has all features" in line) == bool(unused)
    assert ("the final model has no features" in line) == (changes.get("mask") in (NONE, HARM))


@pytest.mark.parametrize(
    ("found", "known", "expected"),
    [
        (planted(0.9, 0.5), False, "recovered"),
        (planted(0.9, 0.27), False, "not recovered"),
        (planted(0.9, None), False, "not known"),
        ({}, False, "not known"),
        (planted(0.9, None), True, "given"),
    ],
)
def test_environments(found: dict[str, Any], known: bool, expected: str) -> None:
    entry = answer(result(planted=found), known, [])
    assert entry["environments"] == expected


def test_the_gap_where_less_is_better() -> None:
    metric = "giniindex@10"
    final, other = (
        {
            "ood": (
                {metric: value},
                pd.DataFrame({"test_set": "ood", "user_id": ["a", "b"], metric: value}),
            )
        }
        for value in (0.4, 0.6)
    )
    found = compared(final, other, metric, 0)
    truth = {"mask_auc": {"overall": 1.0}, "oracle": {"ood": {metric: 0.2}}}
    run = result(planted=truth, valid_metric=metric, metrics={"ood": {metric: 0.4}})
    assert answer(run, False, found)["oracle_gap"] == pytest.approx(0.5)
    truth["oracle"]["ood"][metric] = 0.7
    assert answer(run, False, found)["oracle_gap"] is None


def test_share_of_the_gap_to_the_oracle() -> None:
    """All features .04, learnt .06, oracle .08: half; needs both, and an oracle ahead."""
    unmasked = evaluated(0.1, 0.04, seed=1)
    assert asked(unmasked, planted=planted(1, oracle=0.08))["oracle_gap"] == pytest.approx(0.5)
    assert asked(unmasked, planted=planted(1))["oracle_gap"] is None
    assert asked(planted=planted(1, oracle=0.08))["oracle_gap"] is None
    behind = asked(evaluated(0.1, 0.09, seed=1), planted=planted(1, oracle=0.08))
    assert behind["oracle_gap"] is None
    assert any("within 2%" in line for line in behind["lines"])
    # A lead of 30 %, which is less than 0.02.
    small = asked(evaluated(0.1, 0.05, seed=1), planted=planted(1, oracle=0.065))
    assert small["oracle_gap"] == pytest.approx(2 / 3)
    close = asked(evaluated(0.1, 0.0799, seed=1), planted=planted(1, oracle=0.08))
    assert close["oracle_gap"] is None
    kept = asked(planted=planted(1, oracle=0.08), mask=KEPT)
    assert any("0.0800, all features 0.0600" in line for line in kept["lines"])
    none = asked(unmasked, planted=planted(1, oracle=0.08), mask=NONE)
    assert any("which has no features, 0.0600" in line for line in none["lines"])
    # Against the backbone of the first stage, whose L2 differs, no share is given.
    final = compared(evaluated(0.10, 0.06), unmasked, "ndcg@10", 0)
    assert (
        answer(result(planted=planted(1, oracle=0.08)), False, final, False)["oracle_gap"] is None
    )


def test_without_an_ood_test_no_share_of_a_gap_is_claimed() -> None:
    truth = {"mask_auc": {"overall": 1.0}, "oracle": {"test": {"ndcg@10": 0.100}}}
    final, unmasked = (
        {"test": evaluated(mean, 0.0, seed=seed)["iid"]} for mean, seed in ((0.08, 0), (0.05, 1))
    )
    found = compared(final, unmasked, "ndcg@10", 0)
    entry = answer(result(planted=truth, metrics={"test": {"ndcg@10": 0.08}}), False, found)
    assert entry["oracle_gap"] is None
    assert any("gap to all features was not measured" in line for line in entry["lines"])


def test_what_is_synthetic_is_said_and_eight_lines_are_enough() -> None:
    found = asked(
        evaluated(0.1, 0.04, seed=1),
        edition="embedded (visual and acoustic features are planted)",
        planted=planted(1, oracle=0.08),
    )
    assert any(line.startswith("synthetic: embedded (visual") for line in found["lines"])
    assert len(found["lines"]) <= 8
    assert any(line.startswith("synthetic: no part") for line in asked()["lines"])


def test_a_run_compares_with_all_features_and_leaves_the_rest_as_it_was(
    tiny_data: Path, tmp_path: Path
) -> None:
    argv = (*SHORT_STAGES, "--seed=1")
    alone = run_main(tiny_data, tmp_path, "PaInvRL", *argv, name="alone")
    both = run_main(tiny_data, tmp_path, "PaInvRL", *argv, "--compare_backbone=True", name="both")
    assert both.code == 0, both.err
    for key in ("metrics", "planted"):
        assert both.result[key] == alone.result[key]
    assert both.result["hashes"]["weights"] == alone.result["hashes"]["weights"]
    assert both.per_user.equals(alone.per_user)
    weights = both.weights("all_features")
    assert weights["mask"].eq(1).all()
    assert set(both.result["all_features"]) == {"iid", "ood"}
    assert set(both.result["answer"]["backbone"]) == {"iid", "ood"}
    final, other = (both.result[key]["ood"]["ndcg@10"] for key in ("metrics", "all_features"))
    assert f"{final / other - 1:+.1%}" in both.result["answer"]["lines"][0]
    assert both.result["stages"][-1]["name"] == "final with all features"
    for line in both.result["answer"]["lines"]:
        assert line in both.out
    # Without being asked it is compared with the backbone.
    assert "all_features" not in alone.result
    assert (
        set(alone.result["backbone"]) == set(alone.result["answer"]["backbone"]) == {"iid", "ood"}
    )
    assert alone.result["answer"]["lines"][0].startswith("backbone (first stage")


def test_a_candidate_with_all_features_is_compared_without_being_asked(
    tiny_data: Path, tmp_path: Path
) -> None:
    argv = (*SHORT_STAGES, "--seed=1", "--mask_form=validation", "--compare_backbone=True")
    run = run_main(tiny_data, tmp_path, "PaInvRL", *argv, name="x")
    assert run.code == 0, run.err
    names = [stage["name"] for stage in run.result["stages"]]
    assert "final with all features" not in names
    if run.result["mask"]["used"] == "ones":
        assert "all_features" not in run.result
        assert "has all features, too" in run.result["answer"]["lines"][0]
    else:
        assert set(run.result["answer"]["backbone"]) == {"iid", "ood"}


@pytest.mark.parametrize(
    ("auc", "in_part"), [(0.69, False), (0.7, True), (0.89, True), (0.9, False)]
)
def test_a_mask_that_tells_apart_in_part(auc: float, in_part: bool) -> None:
    line = asked(planted=planted(auc))["lines"][1]
    assert ("told apart only in part" in line) == in_part
