"""Makes the plugin's models known to RecBole, and looks up models, trainers and properties."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from recbole_painvrl._compat import recbole
from recbole_painvrl.config.layers import Layer, internal_layers, merge
from recbole_painvrl.config.lookup import model_class, model_names
from recbole_painvrl.config.properties import properties_root
from recbole_painvrl.config.settings import DATA_SETTINGS
from recbole_painvrl.config.validation import check_names, check_values

__all__ = ["PLUGIN_MODELS", "model_class", "model_names", "properties_root", "register"]

# Model -> its trainer. A new model needs a line here, one in config.models.SCHEMAS, a module
# in _recbole_models and properties/model/<Model>.yaml.
_TRAINERS = {
    "InvRL": "recbole_painvrl.trainer.staged:StagedTrainer",
    "MMGCN": "recbole_painvrl.trainer.base:RunTrainer",
    "MMSSL": "recbole_painvrl.trainer.mmssl:MMSSLTrainer",
    "PaInvRL": "recbole_painvrl.trainer.staged:StagedTrainer",
    "UltraGCN": "recbole_painvrl.trainer.base:RunTrainer",
    "VBPR": "recbole_painvrl.trainer.base:RunTrainer",
}
_DATASET = "recbole_painvrl.data.dataset:ModalityDataset"

PLUGIN_MODELS = tuple(_TRAINERS)


def register() -> None:
    """Register models, trainers, datasets and properties with RecBole; repeating it is harmless.

    Afterwards RecBole's own ``run_recbole(model="PaInvRL", ...)`` finds all of them. Trainers
    and datasets are imported when RecBole asks for them.
    """
    recbole.quiet_warnings()
    recbole.add_model_folder(Path(__file__).parent / "_recbole_models")
    recbole.add_lazy_attributes(
        "recbole.trainer", {f"{model}Trainer": where for model, where in _TRAINERS.items()}
    )
    recbole.add_lazy_attributes(
        "recbole.data.dataset", {f"{model}Dataset": _DATASET for model in PLUGIN_MODELS}
    )
    recbole.add_dataset_arguments(list(DATA_SETTINGS))
    recbole.wrap_internal_config(_internal_values)
    recbole.fix_collector()
    recbole.fix_popularity()
    recbole.fix_random()
    recbole.keep_best_in_memory()


def _internal_values(config: Any, model: str, dataset: str) -> dict[str, Any] | None:
    """Defaults of a plugin model inside RecBole's own ``Config``, with what the user set checked.

    Raises :class:`UserError` for an unknown setting, a wrong value or an unknown preset.
    """
    if model not in PLUGIN_MODELS:
        return None
    external = [
        Layer("configuration file", config.file_config_dict),
        Layer("config_dict", config.variable_config_dict),
        Layer("command line", config.cmd_config_dict),
    ]
    internal = internal_layers(model, dataset, external)
    check_names(model, internal, external)
    values, sources = merge([*internal, *external])
    check_values(model, values, sources)
    return merge(internal)[0]
