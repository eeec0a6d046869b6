"""The property files have all settings of the schemas and no others."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest

from recbole_painvrl.config import RunSettings, properties
from recbole_painvrl.config.layers import Layer, internal_layers, merge
from recbole_painvrl.config.loading import read_yaml
from recbole_painvrl.config.properties import preset_names, properties_root
from recbole_painvrl.config.recbole_settings import RecBoleSettings
from recbole_painvrl.config.settings import DATA_SETTINGS
from recbole_painvrl.config.validation import check_values
from recbole_painvrl.specs import specs

SCHEMAS = {name: spec.schema for name, spec in specs().items()}

PRESETS = [(model, preset) for model in SCHEMAS for preset in preset_names(model)]
RECBOLE = set(RecBoleSettings.model_fields)


@pytest.mark.parametrize("model", SCHEMAS)
def test_model_file_and_schema_agree(model: str) -> None:
    names = set(read_yaml(properties_root() / "model" / f"{model}.yaml"))
    fields = set(SCHEMAS[model].model_fields)
    assert fields - names == set()
    assert names - fields <= RECBOLE
    assert all(field.is_required() for field in SCHEMAS[model].model_fields.values())


@pytest.mark.parametrize(("model", "preset"), PRESETS)
def test_presets_contain_every_setting(model: str, preset: str) -> None:
    # Otherwise a better default would change what "the paper's values" means.
    names = set(read_yaml(properties_root() / "preset" / model / f"{preset}.yaml"))
    fields = set(SCHEMAS[model].model_fields)
    assert fields - names == set()
    assert names - fields <= RECBOLE | {"modalities"}
    assert {"learning_rate", "train_batch_size", "epochs", "stopping_step"} <= names


@pytest.mark.parametrize(("model", "preset"), [*PRESETS, *((model, None) for model in SCHEMAS)])
@pytest.mark.parametrize("dataset", ["ml-trailers", "planted", "unknown"])
def test_every_combination_is_valid(model: str, preset: str | None, dataset: str) -> None:
    chosen = [] if preset is None else [Layer("test", {"preset": preset})]
    values, sources = merge(internal_layers(model, dataset, chosen))
    check_values(model, values, sources)
    SCHEMAS[model].from_config(values)


def ends(space: dict[str, Any]) -> list[Any]:
    """The outermost values of a search space, or all of its choices."""
    if "choices" in space:
        assert set(space) == {"choices"}
        assert len(space["choices"]) > 1
        return list(space["choices"])
    assert set(space) <= {"low", "high", "log"}
    assert space["low"] < space["high"]
    return [space["low"], space["high"]]


@pytest.mark.parametrize("model", SCHEMAS)
def test_search_space(model: str) -> None:
    """It names settings of the model, with values that the model accepts."""
    spaces = read_yaml(properties_root() / "search" / f"{model}.yaml")
    values, sources = merge(internal_layers(model, "unknown", []))
    for name, space in spaces.items():
        assert name in values, name
        for value in ends(space):
            check_values(model, {**values, name: value}, sources)


def test_run_defaults_agree_with_overall() -> None:
    values = read_yaml(properties_root() / "overall.yaml")
    assert set(values) - set(RunSettings.model_fields) <= RECBOLE
    assert RunSettings.from_config(values) == RunSettings()
    assert set(RunSettings.model_fields) <= set(values)
    assert set(DATA_SETTINGS) <= set(RunSettings.model_fields)


def test_every_setting_has_a_description_and_a_comment() -> None:
    for schema in (RunSettings, RecBoleSettings, *SCHEMAS.values()):
        assert all(field.description for field in schema.model_fields.values())
    lines = (properties_root() / "overall.yaml").read_text().splitlines()
    assert [line for line in lines if line.strip() and "#" not in line] == [
        "metrics: [Recall, NDCG, Precision]",
        "topk: [10]",
    ]


@pytest.mark.parametrize(
    ("preset", "expected"),
    [
        # spec 3.2: dim, init, lr, batch, w1..w4, N, NW, gamma, lambda, early stop, sift
        ("ml-1m", (128, 1e-3, 1e-3, 1024, 1e-7, 1, 1e-7, 1, 200, 200, 1e-4, 1e-3, 50, False)),
        ("electronics", (64, 1e-3, 1e-3, 2048, 1e-7, 1, 1e-7, 1, 75, 75, 5e-5, 1e-7, 250, True)),
        ("amazon-cds", (64, 1e-4, 1e-3, 1024, 1e-7, 1, 1e-7, 1, 1000, 1000, 1e-4, 1, 15, False)),
        ("amazon-books", (64, 1e-4, 1e-3, 1024, 1e-8, 1, 1, 1e-8, 500, 500, 1e-4, 2.75, 15, False)),
        ("gowalla", (64, 1e-4, 1e-4, 512, 1e-6, 1, 1e-6, 1, 1500, 300, 1e-4, 5e-4, 150, False)),
        ("yelp2018", (64, 1e-4, 1e-3, 1024, 1e-8, 1, 1e-8, 1, 800, 300, 1e-4, 5e-4, 15, False)),
    ],
)
def test_published_ultragcn_settings(preset: str, expected: tuple[Any, ...]) -> None:
    values = read_yaml(properties_root() / "preset" / "UltraGCN" / f"{preset}.yaml")
    names = (
        *("embedding_size", "init_std", "learning_rate", "train_batch_size"),
        *("w1", "w2", "w3", "w4", "n_negatives", "negative_weight"),
    )
    found = [values[name] for name in names]
    found += [2 * values["embedding_reg_weight"], values["item_item_weight"]]
    # RecBole stops at one miss more than its setting.
    found += [values["stopping_step"] + 1, values["exclude_positives"]]
    assert tuple(found) == expected
    assert (values["item_graph"], values["modalities"], values["epochs"]) == ("code", [], 2000)
    assert (values["topk"], values["valid_metric"]) == ([20], "Recall@20")


@pytest.mark.parametrize(
    ("preset", "expected"),
    [
        # Baby, Sports in the authors' log and in MMRec's file, Clothing
        ("released", (1, 4, 0.5, 0.3)),
        ("sports", (4, 4, 0.6, 0.6)),
        ("mmrec", (1, 4, 0.6, 0.6)),
        ("clothing", (2, 64, 0.8, 0.2)),
    ],
)
def test_published_lgmrec_settings(preset: str, expected: tuple[float, ...]) -> None:
    values, released = (
        read_yaml(properties_root() / "preset" / "LGMRec" / f"{name}.yaml")
        for name in (preset, "released")
    )
    names = ("hyper_layers", "n_hyperedges", "hyperedge_dropout", "global_weight")
    assert tuple(values[name] for name in names) == expected
    assert values | {name: released[name] for name in names} == released


# RecBole stops at the first evaluation after `stopping_step` without gain; spec.md 2.5 and 4 name
# the evaluation at which the releases stop.
@pytest.mark.parametrize(
    ("model", "preset", "stops_at"),
    [
        ("InvRL", "released", 42),
        ("MMGCN", "movielens", 22),
        ("MMGCN", "kwai", 22),
        ("MMGCN", "tiktok", 22),
        ("MMGCN", "mmrec", 21),
        ("LATTICE", "mmrec", 21),
        ("DualGNN", "mmrec", 21),
        ("SLMRec", "mmrec", 21),
        ("MMSSL", "released", 8),
        ("VBPR", "mmrec", 21),
    ],
)
def test_presets_stop_where_the_releases_do(model: str, preset: str, stops_at: int) -> None:
    values = read_yaml(properties_root() / "preset" / model / f"{preset}.yaml")
    assert values["stopping_step"] + 1 == stops_at
    if model == "InvRL":
        assert values["backbone_stopping_step"] + 1 == 12


def test_an_installed_package_finds_its_own_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = tmp_path / "site-packages" / "recbole_painvrl"
    (package / "config").mkdir(parents=True)
    monkeypatch.setattr(properties, "__file__", str(package / "config" / "properties.py"))
    with pytest.raises(FileNotFoundError, match="install recbole-painvrl again"):
        properties_root()
    # A folder of that name beside the package may belong to another package.
    (tmp_path / "site-packages" / "properties").mkdir()
    with pytest.raises(FileNotFoundError):
        properties_root()
    monkeypatch.undo()
    shutil.copytree(properties_root(), package / "properties")
    monkeypatch.setattr(properties, "__file__", str(package / "config" / "properties.py"))
    assert properties_root() == package / "properties"
