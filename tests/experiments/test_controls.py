"""Controls of a mask: learnt once per seed, every row the same model under another mask."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from forks import SUBPROCESS
from support import STAGES_ALONE, empty_figures, every_mask_is_cut, result_of

from recbole_painvrl.__main__ import main
from recbole_painvrl.evaluation.comparison import CONTROLS
from recbole_painvrl.experiments import ablate as ablate_module
from recbole_painvrl.experiments import controls, launch, tables
from recbole_painvrl.experiments.ablate import Ablation
from recbole_painvrl.experiments.options import GridOptions
from recbole_painvrl.experiments.planning import Plan, Row, words_of
from recbole_painvrl.experiments.runs import GridRun, RunKey
from recbole_painvrl.functional.ultragcn import UltraGCNWeights
from recbole_painvrl.models.backbone import BackboneSettings
from recbole_painvrl.models.ultragcn import UltraGCNSettings
from recbole_painvrl.report.sections import controls as section


def words(data: Path) -> list[str]:
    own = [f"--set=PaInvRL.{word.removeprefix('--')}" for word in STAGES_ALONE]
    return [
        *("ablate", "--dataset=tiny", "--what=controls", "--seeds=3,", "--output=out"),
        *(f"--data_path={data}", "--use_gpu=False", "--epochs=2", *own),
        *("--set=PaInvRL.eta=0.25", "--set=PaInvRL.oracle=False"),
        "--set=PaInvRL.mask_form=binary",
    ]


@pytest.fixture
def ablate(
    tiny_data: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> Iterator[Callable[..., tuple[int, Any]]]:
    monkeypatch.setattr(launch, "subprocess", SUBPROCESS)
    monkeypatch.setattr("recbole_painvrl.cli.__main__._changed", lambda run: [])

    def run(*more: str) -> tuple[int, Any]:
        return main([*words(tiny_data), *more]), capsys.readouterr()

    with every_mask_is_cut():
        yield run


def entries(folder: Path) -> dict[str, Any]:
    record = json.loads((folder / "cells.json").read_text())
    assert record["methods"] == {"controls": "learnt mask"}
    return {entry["row"]: entry for entry in record["cells"]}


def test_the_mask_is_learnt_once_and_every_control_gets_its_own(
    ablate: Callable[..., tuple[int, Any]], tmp_path: Path
) -> None:
    code, said = ablate()
    assert code == 0, said.err
    out = tmp_path / "out"
    found = entries(out)
    assert [*found] == ["PaInvRL as configured", *controls.LABELS.values()]
    models = [entry["model"] for entry in found.values()]
    assert models == ["PaInvRL", *["UltraGCN"] * 7]
    used = {
        row: np.load(out / entry["folder"] / "feature_mask.npz")
        for row, entry in found.items()
        if row in controls.LABELS.values()
    }
    learnt = np.load(out / found["PaInvRL as configured"]["folder"] / "mask.npz")
    for modality in ("visual", "acoustic"):
        mask = learnt[f"used/{modality}"]
        np.testing.assert_array_equal(used["learnt mask"][modality], mask)
        np.testing.assert_array_equal(used["learnt values, not cut"][modality], learnt[modality])
        permuted = used["permuted in each modality"][modality]
        np.testing.assert_allclose(np.sort(permuted), np.sort(mask), rtol=1e-6)
        assert np.ptp(used["uniform, same mean"][modality]) == 0
        assert used["all features (ones)"][modality].min() == 1
        assert used["no features (zeros)"][modality].max() == 0
        np.testing.assert_array_equal(
            used["oracle mask"][modality], learnt[f"truth/{modality}"].astype(float)
        )
    both = [np.concatenate([used[row][name] for name in ("visual", "acoustic")])
            for row in ("learnt mask", "permuted in each modality")]  # fmt: skip
    assert not np.array_equal(*both)
    table = (out / "controls" / "table.md").read_text()
    assert all(label in table for label in found)
    assert "Tests: learnt mask against every other row" in table
    assert "Best baseline" not in table
    assert "with oracle mask" not in table and "behind oracle mask" not in table
    tests = (out / "controls" / "significance.csv").read_text()
    assert len(tests.splitlines()) > 6
    again, second = ablate()
    assert again == 0
    assert "starts" not in second.err
    assert "8 runs: 8 done" in second.err
    assert ablate("--report-only")[0] == 0
    check_report(out, found)


def check_report(out: Path, found: dict[str, Any]) -> None:
    """The page has every control, with the values of its runs."""
    pytest.importorskip("matplotlib", reason="the figures of a report need the extra `plot`")
    with empty_figures():
        assert main(["report", str(out), "--output", str(out / "page.html")]) == 0
    page = (out / "page.html").read_text()
    section = page.partition('-controls"><h3>')[2].partition("</section>")[0]
    rows = re.findall(r'<th scope="row">\s*(\w+)\s*</th>(.*?)</tr>', section, re.DOTALL)
    assert [name for name, _ in rows] == [*controls.LABELS]
    for name, cells in rows:
        folder = out / found[controls.LABELS[name]]["folder"]
        metrics = result_of(folder)["metrics"]
        for test in ("iid", "ood"):
            assert f"{metrics[test]['ndcg@10']:.4f}" in cells
    assert "UltraGCN (mask=permuted)" in page
    assert "the best other one by validation" not in page
    assert "the oracle mask knows the truth and is not counted" in page


def test_a_seed_without_a_mask_is_missing_in_every_row(tiny_data: Path, tmp_path: Path) -> None:
    options = GridOptions("tiny", "3,4", tmp_path / "out", settings=[f"--data_path={tiny_data}"])
    plan = options.plan({name: name for name in ("PaInvRL", "UltraGCN")})
    source = controls.source_row(plan)
    assert controls.control_rows(plan, source) == [], "nothing is learnt yet"
    good, bad = source.runs
    good.folder.mkdir(parents=True)
    (good.folder / "result.json").write_text('{"metrics": {}, "mask": {"used": "soft"}}')
    np.savez(good.folder / "mask.npz", visual=np.full(16, 0.5), acoustic=np.full(8, 0.25))
    assert controls.control_rows(plan, source) == [], "one seed is not learnt yet"
    bad.fail("no luck", resumable=False)
    rows = controls.control_rows(plan, source)
    labels = [label for name, label in controls.LABELS.items() if name not in ("soft", "oracle")]
    assert [row.label for row in rows] == labels
    for row in rows:
        assert row.runs[0].model == "UltraGCN"
        assert row.runs[1] is bad
    keys = {row.label: row.runs[0].key for row in rows}
    assert keys.pop("permuted in each modality") == keys["learnt mask"], "its values are equal"
    assert len(set(keys.values())) == 4
    with np.load(tmp_path / "out" / "masks" / good.folder.name / "uniform.npz") as uniform:
        assert uniform["visual"][0] == pytest.approx((16 * 0.5 + 8 * 0.25) / 24)


def test_a_mask_that_a_second_try_learns_gets_its_own_controls(
    tiny_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The run that learnt it must not stand in their rows."""

    def run_all(options: GridOptions, plan: Plan, rows: Sequence[Row], **_: Any) -> list[GridRun]:
        for run in [run for row in rows for run in row.runs]:
            if run.state() == "failed" and options.retry_failed:
                run.forget_failure()
            if run.state() == "open":
                run.folder.mkdir(parents=True)
                result = {"metrics": {}, "mask": {"used": "soft"}}
                (run.folder / "result.json").write_text(json.dumps(result))
                np.savez(run.folder / "mask.npz", visual=[0.5, 0.7], acoustic=[0.1, 0.2])
        return []

    written: list[Ablation] = []
    monkeypatch.setattr(ablate_module, "run_grid", run_all)
    monkeypatch.setattr(ablate_module, "_write", lambda part, one, options: written.append(one))
    options = GridOptions("tiny", "3,4", tmp_path / "out", settings=[f"--data_path={tiny_data}"])
    source = controls.source_row(options.plan(ablate_module.MODELS))
    source.runs[1].folder.parent.mkdir(parents=True)
    source.runs[1].fail("no luck", resumable=False)
    for again in (False, True):
        ablate_module.ablate(replace(options, retry_failed=again), "controls")
    for one, second in zip(written, ("PaInvRL", "UltraGCN"), strict=True):
        assert len(one.rows) > 4
        assert all([r.model for r in row.runs] == ["UltraGCN", second] for row in one.rows[1:])


def test_a_dry_run_counts_the_seeds_that_will_learn_a_mask(
    tiny_data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    options = GridOptions(
        "tiny", "3,4", tmp_path / "out", settings=[f"--data_path={tiny_data}"], dry_run=True
    )

    def said(**more: bool) -> tuple[str, str]:
        ablate_module.ablate(replace(options, **more), "controls")
        out, err = capsys.readouterr()
        return out.splitlines()[2].partition(";")[0], err

    source = controls.source_row(options.plan(ablate_module.MODELS))
    assert said()[0] == "2 runs, 0 done, 2 left" and "at most 14 runs" in said()[1]
    source.runs[0].folder.parent.mkdir(parents=True)
    for run in source.runs:
        run.fail("no luck", resumable=False)
    assert said() == ("2 runs, 0 done, 0 left", "")
    again = said(retry_failed=True)
    assert again[0] == "2 runs, 0 done, 2 left" and "at most 14 runs" in again[1]


def test_every_row_has_a_run_of_its_own_whatever_the_form(tiny_data: Path, tmp_path: Path) -> None:
    """The final model of one seed has the mask cut in two, that of the other all features."""
    options = GridOptions("tiny", "3,4", tmp_path / "out", settings=[f"--data_path={tiny_data}"])
    plan = options.plan({name: name for name in ("PaInvRL", "UltraGCN")})
    source = controls.source_row(plan)
    learnt = {"visual": np.linspace(0.1, 0.9, 16), "acoustic": np.linspace(0.2, 0.8, 8)}
    for run, form in zip(source.runs, ("binary", "ones"), strict=True):
        run.folder.mkdir(parents=True)
        result = {"metrics": {}, "mask": {"used": form}}
        (run.folder / "result.json").write_text(json.dumps(result))
        values = {name: (one > 0.5) * 1.0 for name, one in learnt.items()}
        if form == "ones":
            values = {name: np.ones_like(one) for name, one in learnt.items()}
        used = {f"used/{name}": one for name, one in values.items()}
        np.savez(run.folder / "mask.npz", **learnt, **used)
    rows = controls.control_rows(plan, source)
    assert "learnt values, not cut" in [row.label for row in rows]
    for row in rows:
        assert [run.model for run in row.runs] == ["UltraGCN", "UltraGCN"], row.label
    (learnt_row,) = (row for row in rows if row.label == "learnt mask")
    assert tables._table_row(learnt_row).control == "learnt"
    # A final model with all features tells nothing apart: its row has the learnt values.
    masks = [words_of(run.arguments)["feature_mask"] for run in learnt_row.runs]
    for path, cut in zip(masks, (True, False), strict=True):
        with np.load(path) as mask:
            for name, one in learnt.items():
                np.testing.assert_allclose(mask[name], (one > 0.5) if cut else one, rtol=1e-6)
    # In a benchmark the same file is a mask like any other.
    assert tables._table_row(replace(learnt_row, group="")).control == ""
    words = controls.note(source, [row.label for row in rows])
    assert "cut in two on seeds 3;" in words


def test_every_seed_has_a_permutation_of_its_own(tmp_path: Path) -> None:
    learnt = np.linspace(0.1, 0.9, 16).astype(np.float32)
    found = []
    for seed in (3, 4):
        run = GridRun("PaInvRL", seed, (), RunKey("data", "config", "code"), tmp_path / str(seed))
        run.folder.mkdir()
        np.savez(run.folder / "mask.npz", visual=learnt)
        with np.load(controls.mask_files(run, tmp_path)["permuted"]) as permuted:
            found.append(permuted["visual"])
        np.testing.assert_array_equal(np.sort(found[-1]), learnt)
    assert not np.array_equal(*found)


def test_without_a_column_known_to_be_spurious_there_is_no_oracle(tmp_path: Path) -> None:
    for seed, truth in enumerate(([True, True], [True, False])):
        run = GridRun("PaInvRL", seed, (), RunKey("data", "config", "code"), tmp_path / str(seed))
        run.folder.mkdir()
        arrays: dict[str, Any] = {"visual": np.array([0.2, 0.7]), "truth/visual": np.array(truth)}
        np.savez(run.folder / "mask.npz", **arrays)
        assert ("oracle" in controls.mask_files(run, tmp_path)) == (not all(truth))


def test_table_comparison_and_report_know_the_same_controls() -> None:
    assert [*controls.LABELS] == [*CONTROLS] == [*section._KEEPS]


def test_the_rows_have_the_settings_of_the_final_model(tiny_data: Path) -> None:
    given = ("eta=0.25", "kappa=0.5", "embedding_reg_weight=0.125", "item_graph=code", "epochs=7")
    options = GridOptions(
        "tiny", "1", Path("out"), own=[f"PaInvRL.{one}" for one in given],
        settings=[f"--data_path={tiny_data}", "--use_gpu=False"],
    )  # fmt: skip
    plan = options.plan({name: name for name in ("PaInvRL", "UltraGCN")})
    source = plan.config(plan.arguments("PaInvRL", {}))
    row = plan.config(plan.arguments("UltraGCN", controls.final_settings(plan)))
    settings = UltraGCNSettings.from_config(row)
    assert settings.loss_weights() == UltraGCNWeights.from_paper(0.25, 0.5)
    for name in BackboneSettings.model_fields:
        assert row[name] == source[name], name
    for name in ("epochs", "learning_rate", "train_batch_size", "stopping_step"):
        assert row[name] == source[name], name
    assert row["epochs"] == 7
