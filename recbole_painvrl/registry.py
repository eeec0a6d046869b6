"""Makes the models known to RecBole."""

from __future__ import annotations

from typing import Any

from recbole_painvrl._compat import recbole
from recbole_painvrl.config.layers import Layer, internal_layers, merge
from recbole_painvrl.config.settings import DATA_SETTINGS
from recbole_painvrl.config.validation import check_names, check_values
from recbole_painvrl.specs import introduce, spec_of, specs


def register() -> None:
    """Register models, trainers, datasets and properties with RecBole; repeating it is harmless.

    Afterwards RecBole's own ``run_recbole(model="PaInvRL", ...)`` finds all of them. Trainers
    and datasets are imported when RecBole asks for them.
    """
    recbole.quiet_warnings()
    for spec in specs().values():
        introduce(spec)
    recbole.add_dataset_arguments(list(DATA_SETTINGS))
    recbole.wrap_internal_config(_internal_values)
    recbole.fix_collector()
    recbole.fix_popularity()
    recbole.fix_random()
    recbole.count_rows_without_list()
    recbole.keep_best_in_memory()


def _internal_values(config: Any, model: str, dataset: str) -> dict[str, Any] | None:
    """Defaults of a plugin model inside RecBole's own ``Config``, with what the user set checked.

    Raises :class:`UserError` for an unknown setting, a wrong value or an unknown preset.
    """
    if spec_of(model) is None:
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
