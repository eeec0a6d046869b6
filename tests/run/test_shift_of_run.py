"""What a run says about the shift of its tests, in result.json, on the console and in the log."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd
import pytest
import torch
from support import Finished, run_main

from recbole_painvrl.config import RunSettings
from recbole_painvrl.data.splits import iid_ood
from recbole_painvrl.data.splits.iid_ood import fixed_ultragcn
from recbole_painvrl.environments.content import ContentEnvironmentModel, FitSettings
from recbole_painvrl.evaluation.shift import describe_shift
from recbole_painvrl.inference.loading import load_run
from recbole_painvrl.run import shift
from recbole_painvrl.run.shift import kept_shift, kept_ultragcn

SHORT_SPLIT = ("--split_epochs=1", "--split_rounds=2")


@pytest.fixture(scope="module")
def planted(tiny_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Finished:
    place = tmp_path_factory.mktemp("shift")
    return run_main(tiny_data, place, "UltraGCN", "--shift_ultragcn=True", name="x")


def test_popularity_is_evaluated_on_both_tests_as_the_model_is(
    planted: Finished, tiny_data: Path, tmp_path: Path
) -> None:
    assert planted.code == 0, planted.err
    pop = run_main(tiny_data, tmp_path, "Pop", name="pop")
    tests = {name: pop.result["metrics"][name] for name in ("iid", "ood")}
    for name, values in planted.result["shift"]["pop"].items():
        assert values == pytest.approx(tests[name], abs=1e-9)
    own = planted.result["metrics"]["iid"]
    assert own != planted.result["shift"]["pop"]["iid"], "the model itself is back"
    iid = planted.per_user[planted.per_user["test_set"] == "iid"]
    assert iid["ndcg@10"].mean() == pytest.approx(own["ndcg@10"], abs=1e-6)


def test_the_entry_says_everything_it_promises(planted: Finished, tiny_data: Path) -> None:
    found = planted.result["shift"]
    assert set(found["modalities"]) == {"visual", "acoustic"}
    assert found["kind"] in {"popularity", "content", "both", "other", "none found"}
    assert found["cold"]["ood"]["dropped"] == planted.result["split"]["cold_dropped"]["ood"]
    assert set(found["ultragcn_ndcg@10"]) == {"iid", "ood"}
    assert "departures" not in found
    log = (planted.folder / "train.log").read_text()
    for sentence in found["sentences"]:
        assert sentence in planted.out
        assert f"shift: {sentence}" in log
    train = pd.read_csv(tiny_data / "tiny" / "tiny.train.inter", sep="\t").iloc[:, 1]
    ood = pd.read_csv(tiny_data / "tiny" / "tiny.ood.inter", sep="\t").iloc[:, 1]
    counts = train.value_counts()
    expected = ood.map(counts).dropna().mean()
    assert found["mean_training_popularity"]["ood"] == pytest.approx(expected)


@pytest.mark.parametrize("wanted", ["auto", "True", "False"])
def test_an_ultragcn_is_trained_unasked_on_small_data_alone(
    wanted: str, tiny_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = Path(shutil.copytree(tiny_data, tmp_path / "data", ignore=shutil.ignore_patterns("c*")))
    computed, found = [], {}

    def counted(*given: Any) -> dict[str, float]:
        computed.append(given)
        return fixed_ultragcn(*given)

    monkeypatch.setattr(shift, "fixed_ultragcn", counted)
    for limit in (0, 10**6, 10**6):
        monkeypatch.setattr(shift, "_QUICK", limit)
        name = f"{limit}-{len(found)}"
        run = run_main(data, tmp_path, "Pop", f"--shift_ultragcn={wanted}", name=name)
        found[name] = run.result["shift"].get("ultragcn_ndcg@10")
        assert ("--shift_ultragcn=True" in run.out) == (found[name] is None)
    large, small, again = found.values()
    assert (large is None) == (wanted != "True")
    assert small == again and (small is None) == (wanted == "False")
    assert len(computed) == (wanted != "False"), "once per data and split"
    for path in (data / "tiny" / "caches").glob("ultragcn-*"):
        path.write_text('{"test": null, "ood": null}')
        run = run_main(data, tmp_path, "Pop", f"--shift_ultragcn={wanted}", name="mended")
        assert run.result["shift"]["ultragcn_ndcg@10"] == small and len(computed) == 2


def test_the_measures_are_computed_once_per_data(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    rng = np.random.default_rng(0)
    iid, ood = (tuple(rng.integers(1, 40, (2, n))) for n in (600, 200))
    features = {"visual": rng.normal(size=(40, 3))}
    first = kept_shift(tmp_path, iid, ood, features, 0)
    assert first["items"] == describe_shift(iid, ood, features, 0)["items"]
    calls: list[object] = []

    def computed(*given: object) -> object:
        calls.append(given)
        return first

    monkeypatch.setattr(shift, "describe_shift", computed)
    assert kept_shift(tmp_path, iid, ood, features, 0) == first
    assert calls == []
    # Anything that they depend on gives others.
    kept_shift(tmp_path, iid, ood, features, 1)
    kept_shift(tmp_path, iid, iid, features, 0)
    kept_shift(tmp_path, iid, ood, {"visual": features["visual"] + 1}, 0)
    kept_shift(tmp_path, iid, ood, {"text": features["visual"]}, 0)
    assert len(calls) == 4
    # So does another way to measure.
    with monkeypatch.context() as patch:
        patch.setattr(shift, "VERSION", -1)
        kept_shift(tmp_path, iid, ood, features, 0)
    assert len(calls) == 5
    for path in (tmp_path / "caches").iterdir():
        path.write_text("{")
    kept_shift(tmp_path, iid, ood, features, 0)
    assert len(calls) == 6 and "computed again" in caplog.text


def test_the_cold_fraction_is_of_all_interactions_of_the_part() -> None:
    diagnostics = {"cold_dropped": {"test": 3, "ood": 1}, "sizes": {"test": 9, "ood": 1}}
    assert shift._cold(diagnostics, True) == {
        "iid": {"dropped": 3, "fraction": 0.25}, "ood": {"dropped": 1, "fraction": 0.5},
    }  # fmt: skip


def sentences(metrics: dict[str, Any], **found: Any) -> str:
    """What is said of a model where no shift was found."""
    nothing: dict[str, Any] = {
        "kind": "none found", "shifted": [], "modalities": {}, "cold": {},
    }  # fmt: skip
    return " ".join(shift._sentences({**nothing, **found}, metrics, "ndcg@10", "VBPR"))


def test_how_much_harder_the_ood_test_is() -> None:
    said = sentences({}, **{"ultragcn_ndcg@10": {"iid": 0.2, "ood": 0.1}})
    assert "0.2000" in said and "0.1000" in said and "-50%" in said


@pytest.mark.parametrize("dropped", [0, 3])
def test_cold_interactions_are_mentioned_where_there_are_any(dropped: int) -> None:
    said = sentences({}, cold={"ood": {"dropped": dropped, "fraction": dropped / 100}})
    assert ("cold" in said) == (dropped > 0)


POP = {"iid": {"ndcg@10": 0.1}, "ood": {"ndcg@10": 0.2}}


@pytest.mark.parametrize(
    ("own", "said"),
    [
        ({"iid": 0.3, "ood": 0.1}, True),
        ({"iid": 0.3, "ood": 0.25}, False),
        ({"iid": 0.05, "ood": 0.1}, False),
        ({"iid": 0.3}, False),
        ({"ood": 0.1}, False),
        ({"iid": 0.3, "ood": float("nan")}, False),
        ({}, False),
    ],
)
def test_a_model_that_loses_to_popularity_only_out_of_distribution(
    own: dict[str, float], said: bool
) -> None:
    metrics = {name: {"ndcg@10": value} for name, value in own.items()}
    assert ("below it out of distribution" in sentences(metrics, pop=POP)) == said


@pytest.mark.parametrize(
    ("own", "words"),
    [
        (0.0, "VBPR is not above it in distribution (0.0000)"),
        (0.05, "is not above it in distribution"),
        (0.1, "VBPR is not above it in distribution (0.1000)"),
        (0.11, "that is 91% of"),
        (0.3, ""),
    ],
)
def test_what_popularity_says_of_the_iid_test(own: float, words: str) -> None:
    said = sentences({"iid": {"ndcg@10": own}}, pop=POP)
    assert words in said
    assert ("mostly about popularity" in said) == words.startswith("that is")


def test_a_folder_that_cannot_be_split_anew_needs_its_interactions(
    own_data: Path, tmp_path: Path
) -> None:
    (own_data / "tiny" / "tiny.ood.inter").unlink()
    (own_data / "tiny" / "tiny.inter").unlink(missing_ok=True)
    run = run_main(own_data, tmp_path, "UltraGCN", "--protocol=files", name="x")
    assert run.code == 0, run.err
    (sentence,) = run.result["shift"]["sentences"]
    assert "need tiny.inter" in sentence and "--protocol=" not in sentence


def test_without_an_ood_test_it_names_the_option_that_gives_one(
    tiny_data: Path, tmp_path: Path
) -> None:
    run = run_main(tiny_data, tmp_path, "UltraGCN", "--protocol=random", name="x")
    (sentence,) = run.result["shift"]["sentences"]
    assert "--protocol=popularity" in sentence
    assert sentence in run.out
    assert run.result["shift"]["kind"] is None


def test_strict_follows_the_paper_and_adapted_names_its_departures(
    own_data: Path, tmp_path: Path
) -> None:
    argv = ("--protocol=iid_ood", *SHORT_SPLIT)
    adapted = run_main(own_data, tmp_path, "UltraGCN", *argv, name="adapted").result
    variant = "--split_variant=strict"
    strict = run_main(own_data, tmp_path, "UltraGCN", *argv, variant, name="strict")
    assert strict.code == 0, strict.err
    result = strict.result
    named = " ".join(adapted["shift"]["departures"])
    for words in ("kappa", "negatives", "8:1:1", "OOD validation", "keeps", "epochs", "dropped"):
        assert words in named
    left = " ".join(result["shift"]["departures"])
    assert "kappa" not in left
    assert "8:1:1" not in left
    assert set(result["metrics"]) == {"iid", "ood"}
    split = result["split"]
    sizes, cold = split["sizes"], split["cold_dropped"]
    larger, smaller = sorted(split["environment_sizes"], reverse=True)
    assert sizes["ood"] + cold["ood"] == smaller
    assert sizes["test"] + cold["test"] == round(0.1 * larger)
    assert sizes["train"] + round(0.1 * larger) == larger
    again = run_main(own_data, tmp_path, "UltraGCN", *argv, variant, name="again")
    assert again.result["split"] == split, "read from the cache"
    assert len(list((own_data / "tiny" / "splits").glob("*.npz"))) == 2
    assert np.isfinite(list(result["shift"]["ultragcn_ndcg@10"].values())).all()


@pytest.mark.parametrize("variant", ["adapted", "strict"])
def test_departures_of_content_models_are_those_of_their_training(
    variant: Literal["adapted", "strict"], monkeypatch: pytest.MonkeyPatch
) -> None:
    fits: list[FitSettings] = []
    model, source = iid_ood.ContentEnvironmentModel, np.random.default_rng(0)

    def watched(*arguments: Any) -> ContentEnvironmentModel:
        fits.append(arguments[-1])
        return model(*arguments)

    monkeypatch.setattr(iid_ood, "ContentEnvironmentModel", watched)
    settings = RunSettings(
        split_variant=variant, split_environment_model="content", split_epochs=2, split_rounds=1
    )
    users, items = source.integers(1, 9, (2, 60))
    features = torch.from_numpy(source.standard_normal((9, 4))).float()
    iid_ood._make(users, items, features, settings)
    (fit,) = fits
    named = "; ".join(iid_ood.departures(settings))
    assert f"{fit.epochs} epochs per round" in named
    assert f"{fit.n_negatives} negatives shared" in named
    assert "kappa 0, " in named and "an UltraGCN of 2 epochs" in named
    assert ("8:1:1" in named) == (variant == "adapted")


def test_a_metric_of_which_less_is_better_is_not_compared(tiny_data: Path, tmp_path: Path) -> None:
    metrics = ("--metrics=[NDCG, AveragePopularity]", "--valid_metric=AveragePopularity@10")
    run = run_main(tiny_data, tmp_path, "BPR", *metrics, "--shift_ultragcn=False", name="x")
    assert run.code == 0, run.err
    (said,) = [s for s in run.result["shift"]["sentences"] if s.startswith("popularity alone")]
    assert "averagepopularity@10" in said and "BPR" not in said


def test_an_ultragcn_of_other_settings_is_not_taken_from_the_cache(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[Any] = []

    def computed(*given: Any) -> dict[str, float]:
        calls.append(given)
        return {"test": 0.5, "ood": 0.25}

    monkeypatch.setattr(shift, "fixed_ultragcn", computed)
    rng = np.random.default_rng(0)
    pairs = {name: (rng.integers(1, 9, 20), rng.integers(1, 9, 20)) for name in ("train", "ood")}
    settings = [RunSettings(), RunSettings(split_seed=1), RunSettings(split_epochs=3)]
    for _ in range(2):
        for one in settings:
            found = kept_ultragcn(tmp_path, pairs, 9, 9, one)
            assert found["ood"] == 0.25
    kept_ultragcn(tmp_path, pairs, 9, 10, settings[0])
    assert len(calls) == 4


def test_inside_are_training_validation_and_iid_test(planted: Finished) -> None:
    run = load_run(planted.folder)

    def pairs(*names: str) -> tuple[np.ndarray, np.ndarray]:
        tables = [run.parts[name].inter_feat for name in names]
        return tuple(  # type: ignore[return-value]
            np.concatenate([table[field].numpy() for table in tables])
            for field in ("user_id", "item_id")
        )

    matrix = run.dataset.features.matrix.numpy()
    features = {name: matrix[:, c] for name, c in run.dataset.features.slices.items()}
    seed = run.config["split_seed"]
    expected = describe_shift(pairs("train", "valid", "test"), pairs("ood"), features, seed)
    for name in ("items", "popularity"):
        assert planted.result["shift"][name] == pytest.approx(expected[name])
