"""Importing the package makes its models known to RecBole and changes nothing else."""

from __future__ import annotations

import sys
from typing import Any

import pytest
from forks import ROOT, fresh
from recbole.model.abstract_recommender import GeneralRecommender

from recbole_painvrl.errors import UserError
from recbole_painvrl.models.painvrl.settings import PaInvRLSettings
from recbole_painvrl.registry import register
from recbole_painvrl.specs import ModelSpec, register_model, specs
from recbole_painvrl.training.base import RunTrainerMixin

SCHEMAS = {name: spec.schema for name, spec in specs().items()}


def _recbole_config(model: str, **values: Any) -> Any:
    from recbole.config import Config

    return Config(model=model, dataset="planted", config_dict=values)


def test_register_is_idempotent() -> None:
    import recbole.data.dataset
    import recbole.trainer
    from recbole.config import Config
    from recbole.evaluator.collector import Collector
    from recbole.utils.argument_list import dataset_arguments

    def state() -> list[Any]:
        return [
            list(dataset_arguments),
            Config._load_internal_config_dict,
            Collector.get_data_struct,
            recbole.trainer.__dict__["__getattr__"],
            recbole.data.dataset.__dict__["__getattr__"],
        ]

    before = state()
    register()
    assert state() == before
    assert len(set(dataset_arguments)) == len(dataset_arguments)


@pytest.mark.parametrize("model", SCHEMAS)
def test_recbole_finds_the_model(model: str) -> None:
    from recbole.utils import get_model

    assert get_model(model).__module__.startswith(f"recbole_painvrl.models.{model.lower()}")


@pytest.mark.parametrize("model", SCHEMAS)
def test_recbole_finds_trainer_and_dataset(model: str) -> None:
    import recbole.data.dataset
    from recbole.utils import ModelType, get_trainer

    assert issubclass(get_trainer(ModelType.GENERAL, model), RunTrainerMixin)
    dataset = getattr(recbole.data.dataset, f"{model}Dataset")
    assert dataset.__module__ == "recbole_painvrl.data.dataset"


def test_unknown_attributes_stay_unknown() -> None:
    import recbole.data.dataset
    import recbole.trainer

    assert not hasattr(recbole.trainer, "LightGCNTrainer")
    assert not hasattr(recbole.data.dataset, "LightGCNDataset")


def test_recbole_config_of_a_plugin_model() -> None:
    config = _recbole_config("PaInvRL", preset="paper_literal", kappa=0.5, epochs=3)
    settings = PaInvRLSettings.from_config(config)
    assert (settings.kappa, settings.mask_decay, config["epochs"]) == (0.5, 1.0, 3)
    assert config["topk"] == [10]
    assert config["load_col"] == {"inter": ["user_id", "item_id"]}


def test_recbole_config_of_a_plugin_model_is_checked(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UserError, match=r"unknown setting `kapa` \(config_dict\).*`kappa`"):
        _recbole_config("PaInvRL", kapa=1)
    with pytest.raises(UserError, match=r"^`eta`: found 'x' \(config_dict\), expected a number"):
        _recbole_config("PaInvRL", eta="x")
    with pytest.raises(UserError, match=r"^`preset`: found 'x' \(config_dict\)"):
        _recbole_config("PaInvRL", preset="x")
    monkeypatch.setattr(sys, "argv", ["test", "--mask_epoch=3"])
    with pytest.raises(UserError, match=r"unknown setting `mask_epoch` \(command line\)"):
        _recbole_config("PaInvRL")


# RecBole's own, without the plugin. It sets names of NumPy, of which NumPy 2 has not all.
_PLAIN = """
import sys
sys.argv = ["test"]
from recbole.config import Config
Config.compatibility_settings = lambda self: None
config = Config(model="LightGCN", dataset="planted", config_dict={"anything": 1})
print(sorted((k, str(v)) for k, v in config.final_config_dict.items()))
"""


def test_other_models_keep_their_configuration() -> None:
    plain = fresh(["-c", _PLAIN], ROOT)
    assert plain.returncode == 0, plain.stderr
    values = _recbole_config("LightGCN", anything=1).final_config_dict
    assert str(sorted((key, str(value)) for key, value in values.items())) == plain.stdout.strip()


@pytest.mark.parametrize(
    ("name", "class_name", "bases", "message"),
    [
        ("BPR", "BPR", (GeneralRecommender,), "bpr has a model of this name"),
        ("vbpr", "vbpr", (GeneralRecommender,), "vbpr has a model of this name"),
        ("Dott", "Dot", (GeneralRecommender,), "its class is called Dot"),
        ("Dot", "Dot", (), "not a GeneralRecommender"),
    ],
)
def test_models_that_cannot_be_added(
    name: str, class_name: str, bases: tuple[type, ...], message: str
) -> None:
    before = dict(specs())
    with pytest.raises(UserError, match=message):
        register_model(ModelSpec(name, type(class_name, bases, {}), PaInvRLSettings))
    assert specs() == before
