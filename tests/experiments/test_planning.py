"""A run of a grid is the same as long as data, configuration and code are the same."""

from __future__ import annotations

import importlib
import sys
from dataclasses import replace
from pathlib import Path
from types import ModuleType, SimpleNamespace

import pytest
from grid_support import plan

from recbole_painvrl.config import SafeConfig
from recbole_painvrl.errors import UserError
from recbole_painvrl.experiments import PARTS
from recbole_painvrl.experiments.ablate import CHOICES, ablate, ablation, parts_of
from recbole_painvrl.experiments.options import GridOptions, models_of, seeds_of
from recbole_painvrl.experiments.planning import Plan, words_of
from recbole_painvrl.experiments.runs import GridRun, distinct
from recbole_painvrl.run.code import code_hash, code_of
from recbole_painvrl.run.final_model import final_config


def key(data: Path, **more: str) -> str:
    return plan(data, **more).run("BPR", 0, {}).key.digest


def test_the_key_is_of_data_configuration_and_code(
    tiny_data: Path, own_data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = key(tiny_data)
    assert key(tiny_data) == first
    assert key(tiny_data, learning_rate="0.5") != first
    assert plan(tiny_data).run("BPR", 1, {}).key.digest != first
    assert key(own_data) == first, "the same data elsewhere"
    with open(own_data / "tiny" / "truth" / "environments.tsv", "a") as stream:
        stream.write("u\ti\t0\n")
    assert key(own_data) != first
    monkeypatch.setattr("recbole_painvrl.experiments.planning.code_hash", lambda: "other")
    assert key(tiny_data) != first


def test_the_key_is_not_of_where_and_how_it_is_run(tiny_data: Path) -> None:
    first = plan(tiny_data, "here").run("BPR", 0, {})
    other = plan(tiny_data, "there", show_progress="False", gpu_id="3").run("BPR", 0, {})
    assert first.key == other.key
    assert first.folder != other.folder
    assert first.key.digest[:12] in first.folder.name


def test_the_code_hash_is_of_what_numbers_depend_on(tmp_path: Path) -> None:
    for name in ("models/a.py", "report/b.py", "cli/c.py", "data/d.py"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("x = 1\n")
    first = code_hash(tmp_path)
    (tmp_path / "report/b.py").write_text("x = 2\n")
    assert code_hash(tmp_path) == first
    (tmp_path / "data/d.py").write_text("x = 2\n")
    changed = code_hash(tmp_path)
    assert changed != first
    (tmp_path / "data/d.py").rename(tmp_path / "data/e.py")
    assert code_hash(tmp_path) not in (first, changed)


def test_the_key_is_of_the_code_of_a_model_of_another_package(
    tiny_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "foreign_model.py"
    file.write_text("class Tiny: pass\n")
    monkeypatch.syspath_prepend(tmp_path)
    spec = SimpleNamespace(properties=tmp_path, model=importlib.import_module("foreign_model").Tiny)
    specs = {"Tiny": spec, "UltraGCN": SimpleNamespace(properties=None), "BPR": None}
    monkeypatch.setattr("recbole_painvrl.run.code.spec_of", specs.get)
    first = code_of("Tiny", "code")
    assert code_of("UltraGCN", "code") == code_of("BPR", "code") == "code" != first
    file.write_text("class Tiny: size = 2\n")
    assert code_of("Tiny", "code") != first
    # Also under a label of its own.
    monkeypatch.setattr("recbole_painvrl.run.code.spec_of", {"BPR": spec}.get)
    common = {"data_path": str(tiny_data), "use_gpu": "False"}
    grid = Plan("tiny", [0], Path("out"), {"mine": "BPR"}, common)
    labelled = grid.run("mine", 0, {}).key
    file.write_text("class Tiny: size = 3\n")
    assert grid.run("mine", 0, {}).key.code != labelled.code


def settings(run: GridRun) -> dict[str, str]:
    return words_of(run.arguments)


def test_the_key_is_of_all_files_of_another_package(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = tmp_path / "foreign_package"
    (package / "deep").mkdir(parents=True)
    (package / "__init__.py").write_text("")
    (package / "deep" / "__init__.py").write_text("")
    (package / "deep" / "model.py").write_text("class Tiny: pass\n")
    monkeypatch.syspath_prepend(tmp_path)
    tiny = importlib.import_module("foreign_package.deep.model").Tiny
    spec = SimpleNamespace(properties=tmp_path, model=tiny)
    monkeypatch.setattr("recbole_painvrl.run.code.spec_of", {"Tiny": spec}.get)
    first = code_of("Tiny", "code")
    (package / "helper.py").write_text("x = 1\n")
    assert code_of("Tiny", "code") != first


def test_a_model_of_a_notebook_has_no_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "cell", ModuleType("cell"))
    spec = SimpleNamespace(properties=tmp_path, model=type("Tiny", (), {"__module__": "cell"}))
    monkeypatch.setattr("recbole_painvrl.run.code.spec_of", {"Tiny": spec}.get)
    assert code_of("Tiny", "code") == "code"


def test_the_key_is_of_the_defaults_of_another_final_model(
    tiny_data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    more = {"final_model": "VBPR"}
    first = plan(tiny_data).run("PaInvRL", 0, more).key
    assert plan(tiny_data).run("PaInvRL", 0, more).key == first

    def changed(config: SafeConfig) -> SafeConfig | None:
        found = final_config(config)
        effective = found.effective() | {"reg_weight": {"value": 0.9, "from": "model"}}
        found.effective = lambda: effective
        return found

    monkeypatch.setattr("recbole_painvrl.run.identity.final_config", changed)
    assert plan(tiny_data).run("PaInvRL", 0, more).key.config != first.config


@pytest.mark.parametrize(
    ("common", "own"),
    [
        ({}, {"protocol": "popularity"}),
        ({"protocol": "iid_ood"}, {"split_rounds": "3"}),
        ({"protocol": "popularity"}, {"split_seed": "5"}),
        ({}, {"eval_args": "{mode: {test: uni100}}"}),
        ({}, {"rm_dup_inter": "first"}),
        ({}, {"val_interval": "{rating: '[3,inf)'}"}),
        ({}, {"threshold": "{rating: 3}"}),
        ({}, {"user_inter_num_interval": "[5,inf)"}),
        ({}, {"item_inter_num_interval": "[5,inf)"}),
        ({}, {"filter_inter_by_user_or_item": "False"}),
        ({"metrics": "[NDCG, TailPercentage]"}, {"tail_ratio": "0.3"}),
        ({}, {"metric_decimal_place": "2"}),
        ({"benchmark_filename": "[train, test]"}, {"validation_share": "0.3"}),
        ({"protocol": "iid_ood", "split_environment_model": "content"}, {"modalities": "[visual]"}),
        (
            {"protocol": "iid_ood", "split_environment_model": "content"},
            {"missing_modality": "mean"},
        ),
    ],
)
def test_rows_with_other_test_sets_are_refused(
    tiny_data: Path, common: dict[str, str], own: dict[str, str]
) -> None:
    grid = replace(plan(tiny_data, **common), own={"UltraGCN": own})
    grid.row("PaInvRL", "PaInvRL")
    name = next(iter(own))
    with pytest.raises(UserError, match=f"`{name}`: found .* for UltraGCN and .* for PaInvRL"):
        grid.row("UltraGCN", "UltraGCN")
    grid.row("UltraGCN", "UltraGCN", group="another table")


def test_the_protocol_of_the_data_may_be_named(tiny_data: Path) -> None:
    grid = replace(plan(tiny_data), own={"UltraGCN": {"protocol": "files"}})
    for model in ("BPR", "UltraGCN"):
        grid.row(model, model)


@pytest.mark.parametrize(
    ("common", "own"),
    [
        ({"protocol": "popularity"}, {"split_rounds": "3"}),
        (
            {"protocol": "popularity", "split_environment_model": "content"},
            {"modalities": "[]"},
        ),
        ({"user_inter_num_interval": "[0,inf)"}, {"user_inter_num_interval": "[0, inf)"}),
        ({}, {"tail_ratio": "0.3"}),
        ({}, {"metrics": "[NDCG, TailPercentage]", "tail_ratio": "0.1"}),
        ({}, {"metric_decimal_place": "9"}),
    ],
)
def test_settings_without_an_effect_on_the_test_sets_may_differ(
    tiny_data: Path, common: dict[str, str], own: dict[str, str]
) -> None:
    grid = replace(plan(tiny_data, **common), own={"UltraGCN": own})
    for model in ("PaInvRL", "UltraGCN"):
        grid.row(model, model)


def test_rows_with_equal_settings_are_both_run(tiny_data: Path) -> None:
    models = {"UltraGCN": "UltraGCN", "again": "UltraGCN"}
    grid = Plan("tiny", [0], Path("out"), models, {"data_path": str(tiny_data)})
    runs = [grid.row(label, label).runs[0] for label in models]
    assert runs[0].key == runs[1].key
    assert distinct(runs) == runs


def test_a_models_own_settings_are_stronger(tiny_data: Path, tmp_path: Path) -> None:
    (tmp_path / "own.yaml").write_text("epochs: 7\nlearning_rate: 0.3\n")
    made = GridOptions(
        "tiny", "1", Path("out"), own_files=["BPR=own.yaml"],
        own=["BPR.learning_rate=0.7", "Pop.epochs=1"],
        settings=[f"--data_path={tiny_data}", "--epochs=2"],
    ).plan({name: name for name in ("BPR", "Pop", "VBPR")})  # fmt: skip
    found = {}
    for model in ("BPR", "Pop", "VBPR"):
        config = made.config(made.run(model, 0, {}).arguments)
        found[model] = (config["epochs"], config["learning_rate"])
    assert found["BPR"] == (7, 0.7)
    assert found["Pop"][0] == 1
    assert found["VBPR"] == (2, 0.01)


def test_a_setting_of_one_model_says_how_it_is_given(tiny_data: Path) -> None:
    with pytest.raises(UserError, match=r"not of BPR.*--set MODEL.SETTING=VALUE"):
        plan(tiny_data, mask_epochs="2").row("BPR", "BPR")


@pytest.mark.parametrize(("name", "option"), [("seed", "--seeds"), ("model", "--models")])
def test_what_the_grid_sets_is_refused(tiny_data: Path, name: str, option: str) -> None:
    with pytest.raises(UserError, match=option):
        plan(tiny_data, **{name: "1"})


def test_seeds() -> None:
    assert seeds_of("3") == [0, 1, 2]
    assert seeds_of("4,2") == seeds_of("[4, 2]") == [4, 2]
    assert seeds_of("7,") == [7]
    for wrong in ("0", "", "a", "1,1", "-1", "1.5", "²"):
        with pytest.raises(UserError, match="--seeds"):
            seeds_of(wrong)


def test_models_exist_and_differ() -> None:
    assert models_of("BPR, Pop") == {"BPR": "BPR", "Pop": "Pop"}
    with pytest.raises(UserError, match="PaInvRL"):
        models_of("BPR,PainvRL")
    with pytest.raises(UserError, match="different"):
        models_of("BPR,BPR")


def test_a_model_may_have_a_second_row_with_settings_of_its_own(tiny_data: Path) -> None:
    models = models_of("UltraGCN,ids=UltraGCN")
    assert models == {"UltraGCN": "UltraGCN", "ids": "UltraGCN"}
    own = {"ids": {"modalities": "[]"}}
    grid = Plan("tiny", [0], Path("out"), models, {"data_path": str(tiny_data)}, own=own)
    first, second = (grid.row(label, label).runs[0] for label in models)
    assert first.key != second.key and first.folder != second.folder
    assert "--model=UltraGCN" in second.arguments and "--modalities=[]" in second.arguments
    assert grid.config(first.arguments)["modalities"] != []
    for label in ("BPR", "NeuMF", "paper", "a b", "a.b", ""):
        with pytest.raises(UserError, match="label"):
            models_of(f"{label}=UltraGCN")
    with pytest.raises(UserError):
        models_of("ids=NoSuch")


@pytest.mark.parametrize(
    "words",
    [{"own": ["BPR"]}, {"own": ["BPR=1"]}, {"own": ["Pop.epochs=1"]}, {"own_files": ["x.yaml"]}],
)
def test_what_names_no_model_of_the_grid_is_refused(words: dict[str, list[str]]) -> None:
    with pytest.raises(UserError, match=r"--set|--model-config"):
        GridOptions("tiny", "1", Path("out"), **words).plan({"BPR": "BPR"})


@pytest.mark.parametrize(
    ("what", "model"), [("controls", "InvRL"), ("environments", "UltraGCN"), ("controls", "")]
)
def test_settings_of_a_model_that_is_not_trained_are_refused(
    what: str, model: str, tiny_data: Path
) -> None:
    own = [f"{model}.epochs=1"] if model else ["PaInvRL.epochs=1", "UltraGCN.epochs=2"]
    settings = [f"--data_path={tiny_data}", "--epochs=2"]
    options = GridOptions("tiny", "1", Path("out"), own=own, settings=settings, dry_run=True)
    if not model:
        ablate(options, what)
        return
    with pytest.raises(
        UserError, match=f"settings of {model}, which `--what={what}` does not train"
    ):
        ablate(options, what)


def test_ablations_vary_what_they_say_and_share_runs(tiny_data: Path) -> None:
    made = {part: ablation(part, plan(tiny_data)) for part in PARTS}
    rows = {part: {row.label: row for row in one.rows} for part, one in made.items()}
    for part, one in made.items():
        assert one.method in rows[part]
    weightings = {settings(r.runs[0]).get("loss_weighting") for r in made["losses"].rows}
    assert weightings == {"erm", "irm", "fixed", "pareto", None}
    for label, weighting in (("ERM only", "erm"), ("IRM only", "irm"), ("fixed weights", "fixed")):
        assert settings(rows["losses"][label].runs[0])["loss_weighting"] == weighting
    assert [row.runs[0].model for row in made["losses"].rows].count("InvRL") == 1
    grid = plan(tiny_data)
    forms = [grid.config(row.runs[0].arguments)["mask_form"] for row in made["losses"].rows]
    assert forms == ["auto"] * 5
    own = {"InvRL": {"mask_form": "binary"}}
    rows_of_losses = ablation("losses", replace(grid, own=own)).rows
    assert "--mask_form=binary" in rows_of_losses[3].runs[0].arguments
    own = {"PaInvRL": {"final_model": "VBPR"}}
    rows_of_losses = ablation("losses", replace(grid, own=own)).rows
    finals = {grid.config(row.runs[0].arguments)["final_model"] for row in rows_of_losses}
    assert finals == {"VBPR"}
    both = {
        "PaInvRL": {**own["PaInvRL"], "final_settings": "{reg_weight: 0.1}"},
        "InvRL": {"final_model": "UltraGCN"},
    }
    rows_of_losses = ablation("losses", replace(grid, own=both)).rows
    assert grid.config(rows_of_losses[3].runs[0].arguments)["final_model"] == "UltraGCN"
    shared = plan(tiny_data, final_model="FREEDOM")
    own_settings = {"InvRL": {"final_settings": "{n_layers: 1}"}}
    words = ablation("losses", replace(shared, own=own_settings)).rows[3].runs[0].arguments
    assert "--final_settings={n_layers: 1}" in words and "--final_model=FREEDOM" in words
    with pytest.raises(UserError, match="`final_model`: found VBPR, but the controls train Ultra"):
        ablation("controls", replace(grid, own=own))
    numbers = [settings(r.runs[0])["n_environments"] for r in made["environments"].rows]
    assert numbers == [str(n) for n in range(2, 11)]
    for row in made["recall_curve"].rows:
        assert settings(row.runs[0])["topk"] == "[10,20,30,40,50,60,70,80,90,100]"
    # The number that the user has chosen is compared, with a row of its own if need be.
    for n, labels in ((4, range(2, 11)), (12, [*range(2, 11), 12])):
        chosen = replace(grid, own={"PaInvRL": {"n_environments": str(n)}})
        found = ablation("environments", chosen)
        assert found.method == f"|E| = {n}"
        assert [row.label for row in found.rows] == [f"|E| = {label}" for label in labels]
    shipped = rows["choices"]["as configured"].runs[0].key
    # The defaults: two environments, Pareto weights.
    assert rows["environments"]["|E| = 2"].runs[0].key == shipped
    assert rows["losses"]["Pareto weights (PaInvRL)"].runs[0].key == shipped
    varied = sum(len(values) - 1 for values in CHOICES.values())
    assert len(made["choices"].rows) == 1 + varied
    assert len({row.runs[0].key for row in made["choices"].rows}) == 1 + varied


def test_parts_by_name() -> None:
    assert parts_of("environments,losses") == ["losses", "environments"]
    with pytest.raises(UserError, match="recall_curve"):
        parts_of("recall")
