"""What can be refused before anything is trained or written."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from recbole.utils import EvaluatorType

from recbole_painvrl.data.parts import OOD_VALID, TRAIN
from recbole_painvrl.errors import UserError
from recbole_painvrl.evaluation.planted import known_environments


def check_model(config: Any) -> None:
    """Refuse the one general recommender of RecBole that is not trained in one run.

    Raises:
        UserError: the model is RaCT.
    """
    if config["model"] == "RaCT":
        raise UserError(
            "`model`: RaCT trains in several process runs that hand over pickled files; "
            "run it with RecBole's own run_recbole"
        )


def check_saved(config: Any) -> None:
    """Refuse RecBole's pickles of datasets, which it reads without asking for what has changed.

    Raises:
        UserError: a setting that would write or read one.
    """
    for name in ("save_dataset", "save_dataloaders", "dataset_save_path", "dataloaders_save_path"):
        if config[name]:
            raise UserError(
                f"`{name}`: found {config[name]!r}, expected it unset: a run reads the dataset's "
                "own files, never a pickle of them, which may be out of date"
            )


def check_environments(config: Any, train: Any) -> None:
    """Refuse more environments than interactions.

    Raises:
        UserError: some environments would be empty.
    """
    wanted = config["n_environments"] or 0
    if wanted > len(train):
        raise UserError(
            f"`n_environments`: found {wanted}, but there are only {len(train)} training "
            "interactions; set it lower"
        )


def check_run(config: Any, model: Any, parts: Mapping[str, Any]) -> None:
    """Check the settings against the data they meet.

    Raises:
        UserError: the first setting that cannot work with these data.
    """
    train = parts[TRAIN]
    if config["select_on"] != "iid" and OOD_VALID not in parts:
        raise UserError(
            f"`select_on: {config['select_on']}` needs an OOD validation part, which protocol "
            f"`{train.protocol}` lacks here; set `select_on: iid` or another `protocol`"
        )
    most, n_items = max(config["topk"]), train.item_num - 1
    if config["eval_type"] != EvaluatorType.VALUE and most > n_items:
        raise UserError(
            f"`topk`: found {most}, but there are only {n_items} items to rank; set it lower, and "
            "`valid_metric` with it"
        )
    if config["eval_type"] == EvaluatorType.VALUE and hasattr(model, "settings"):
        raise UserError(
            f"`metrics: {config['metrics']}`: {config['model']} ranks items and has no labels; "
            "use ranking metrics such as [Recall, NDCG, Precision]"
        )
    if getattr(getattr(model, "settings", None), "known_environments", False):
        known_environments(train)
