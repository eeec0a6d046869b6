"""What can be refused before anything is trained or written."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from importlib.util import find_spec
from logging import getLogger
from typing import TYPE_CHECKING, Any

from recbole.data.dataloader import TrainDataLoader
from recbole.data.utils import get_dataloader
from recbole.model.abstract_recommender import GeneralRecommender
from recbole.utils import EvaluatorType, InputType, ModelType

from recbole_painvrl.data.loaders import draws_uniform_pairs
from recbole_painvrl.data.splits.base import OOD_VALID, TEST, TRAIN, VALID, without_ood_validation
from recbole_painvrl.errors import UserError
from recbole_painvrl.evaluation.per_user import PER_USER
from recbole_painvrl.evaluation.planted import known_environments, planted_truth
from recbole_painvrl.parallel import group
from recbole_painvrl.reading import reason
from recbole_painvrl.specs import draws_negatives, shuffles_users

if TYPE_CHECKING:
    from recbole_painvrl.config import SafeConfig
    from recbole_painvrl.data.dataset import ModalityDataset


def check_model(config: SafeConfig) -> None:
    """Refuse the one general recommender of RecBole that is not trained in one run.

    Raises:
        UserError: the model is RaCT.
    """
    if config["model"] == "RaCT":
        raise UserError(
            "`model`: RaCT trains in several process runs that hand over pickled files; "
            "run it with RecBole's own run_recbole"
        )


def check_saved(config: SafeConfig) -> None:
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


def check_settings(config: SafeConfig, said: Collection[str] = ()) -> None:
    """Refuse settings that would be ignored, and packages that would be missed after training.

    What a stronger mapping has replaced, and what other settings of the model make idle, is a
    warning.

    Args:
        config: of the run or of another final model.
        said: warnings that the run has given already.

    Raises:
        UserError: the first such setting.
    """
    if config["repeatable"]:
        raise UserError(
            "`repeatable`: found True, expected False: repeated interactions are dropped, so an "
            "item of training is never in a test and would only push others down"
        )
    if config["log_wandb"] and find_spec("wandb") is None:
        raise UserError(
            "`log_wandb`: found True, but the package `wandb` is not installed; type "
            "`pip install wandb` or leave it out"
        )
    if config["enable_scaler"] and config["device"].type == "cpu":
        raise UserError(
            "`enable_scaler`: found True, but PyTorch scales gradients on GPUs only; leave it out"
        )
    if config["enable_scaler"] and config["clip_grad_norm"]:
        raise UserError(
            "`clip_grad_norm`: found it with `enable_scaler`, but RecBole would clip the scaled "
            "gradients; leave one of them out"
        )
    by_users = get_dataloader(config, "train") is not TrainDataLoader
    by_users = by_users or config["sampling"] == "users" or shuffles_users(config["model"])
    if not config["shuffle"] and by_users:
        raise UserError(
            f"`shuffle`: found False, but the users of {config['model']} are always shuffled; "
            "leave it out"
        )
    for line in (*config.dropped, *config.idle):
        if line not in said:
            getLogger("recbole_painvrl").warning("%s", line)
    _check_evaluation(config)
    _check_idle_arguments(config)


def _check_evaluation(config: SafeConfig) -> None:
    """Refuse metrics, modes and thresholds that do not go together."""
    modes = set(config["eval_args"]["mode"].values())
    ranking = config["eval_type"] == EvaluatorType.RANKING
    if ranking and "labeled" in modes:
        raise UserError(
            f"`eval_args: mode`: found labeled with the ranking metrics {config['metrics']}, "
            "expected value metrics such as `--metrics=[AUC] --valid_metric=AUC`"
        )
    if config["threshold"] and modes != {"labeled"}:
        raise UserError(
            f"`threshold`: found {config['threshold']}, but in a ranking every interaction counts "
            "as positive; drop the others with `val_interval` (`load_col` need not list its "
            "column), or set `--eval_args={mode: labeled}` and value metrics"
        )
    top_k = PER_USER.intersection(name.lower() for name in config["metrics"])
    if config["ndcg_hits"] and not top_k:
        raise UserError(
            f"`ndcg_hits`: found True with the metrics {config['metrics']}, expected a top-K "
            "metric such as NDCG among them; add one, or leave `ndcg_hits` out"
        )


def _check_idle_arguments(config: SafeConfig) -> None:
    """Refuse keys of ``eval_args`` and ``train_neg_sample_args`` that split or model never read.

    The other loader, which then gives the same batches, is a warning.
    """
    split = config["eval_args"]["split"] or {}
    if {"LS", "TS"} & set(split) and str(config["eval_args"]["group_by"]).lower() != "user":
        raise UserError(
            f"`eval_args: group_by`: found {config['eval_args']['group_by']!r} with the split "
            f"{split}, which always goes user by user; leave it out"
        )
    given = config["train_neg_sample_args"]
    plain = {"distribution": "uniform", "sample_num": 1, "alpha": 1.0}
    plain |= {"dynamic": False, "candidate_num": 0}
    own = (
        draws_negatives(config["model"])
        # Batches of distinct users bring their own negatives.
        or config["sampling"] == "users"
        or get_dataloader(config, "train") is not TrainDataLoader
        or config["MODEL_TYPE"] == ModelType.TRADITIONAL
    )
    # RecBole adds them to the batches of a pointwise model as further positives.
    as_positives = draws_negatives(config["model"]) and (
        config["MODEL_INPUT_TYPE"] == InputType.POINTWISE
    )
    # Another final model may read it.
    if not (config["fast_loader"] or config["final_model"]) and (
        own or not draws_uniform_pairs(config)
    ):
        getLogger("recbole_painvrl").warning(
            "`fast_loader` has no effect: the loader of %s draws no uniform negatives of pairs",
            config["model"],
        )
    if own and given["distribution"] != "none" and (as_positives or given != plain):
        raise UserError(
            f"`train_neg_sample_args`: found {given}, but {config['model']} draws its own "
            "negatives or needs none; leave it out"
        )


@contextmanager
def settings_of_recbole(config: SafeConfig) -> Iterator[None]:
    """Turn an error in building one of RecBole's models into one about the user's settings for it.

    Raises:
        UserError: naming these settings. Without any, the original error is raised.
    """
    try:
        yield
    except (UserError, ModuleNotFoundError):
        raise
    except Exception as error:
        given = {
            name: config[name]
            for name in config.model_settings
            if config.sources[name] != "RecBole model"
        }
        if not given:
            raise
        settings = ", ".join(f"`{name}`: {value}" for name, value in given.items())
        raise UserError(
            f"RecBole's {config['model']} cannot be made with {settings} "
            f"({type(error).__name__}: {reason(error)}); change them or leave them out"
        ) from error


def check_environments(config: SafeConfig, train: ModalityDataset) -> None:
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


def check_run(
    config: SafeConfig, model: GeneralRecommender, parts: Mapping[str, ModalityDataset]
) -> None:
    """Check the settings against the data they meet.

    Raises:
        UserError: the first setting that cannot work with these data.
    """
    train = parts[TRAIN]
    _check_selection(config, parts)
    if not train.features.slices and config["modalities"] != []:
        for line in config.idle_without_features():
            getLogger("recbole_painvrl").warning("%s", line)
    if config["mask_form"] == "validation" and (VALID not in parts or not config["eval_step"]):
        raise UserError(
            "`mask_form: validation` needs a validation split and `eval_step` above 0; set auto, "
            "soft or binary, or another `eval_args: split`"
        )
    most, n_items = max(config["topk"]), train.item_num - 1
    if config["eval_type"] != EvaluatorType.VALUE and most > n_items:
        raise UserError(
            f"`topk`: found {most}, but there are only {n_items} items to rank; set it lower, and "
            "`valid_metric` with it"
        )
    for mode in config["eval_args"]["mode"].values():
        if mode[:3] in ("uni", "pop") and int(mode[3:]) >= n_items:
            raise UserError(
                f"`eval_args: mode`: found {mode}, but there are only {n_items} items to draw "
                "from; set it lower, or rank all with `full`"
            )
    _check_labels(config, model, parts)
    _check_sizes_of_recbole(config, model)
    if config["eval_type"] == EvaluatorType.VALUE and hasattr(model, "settings"):
        raise UserError(
            f"`metrics: {config['metrics']}`: {config['model']} ranks items and has no labels; "
            "use ranking metrics such as [Recall, NDCG, Precision]"
        )
    known = getattr(getattr(model, "settings", None), "known_environments", None)
    # Models that learn a mask are scored against planted truth once they are trained. With several
    # processes, only the first has the ids.
    if known is not None:
        group.from_first(lambda: planted_truth(train) is not None)
    if known:
        group.from_first(lambda: len(known_environments(train)))


def _check_sizes_of_recbole(config: SafeConfig, model: Any) -> None:
    """Refuse settings of RecBole's DGCF and NCL that ask for more users or items than there are.

    DGCF would fail in its first step, NCL in its first clustering.
    """
    # Rows of the smaller table, padding included.
    fewest = min(getattr(model, "n_users", 0), getattr(model, "n_items", 0))
    if config["model"] == "DGCF" and model.n_factors > 1 and model.cor_weight > 1e-9:
        drawn = model.cor_batch_size
        if drawn > fewest:
            raise UserError(
                f"`train_batch_size`: found {config['train_batch_size']}, with which RecBole's "
                f"DGCF draws {drawn} users and as many items per step out of {model.n_users} and "
                f"{model.n_items}; set it lower, or `cor_weight` to 0"
            )
    if config["model"] == "NCL" and model.k > fewest:
        raise UserError(
            f"`num_clusters`: found {model.k}, but RecBole's NCL clusters {model.n_users} users "
            f"and {model.n_items} items; set it to at most {fewest}"
        )


def _check_selection(config: SafeConfig, parts: Mapping[str, ModalityDataset]) -> None:
    """Refuse a choice of the epoch by validation splits or evaluations that there are not."""
    if config["select_on"] != "iid" and OOD_VALID not in parts:
        raise without_ood_validation(config["select_on"], parts[TRAIN].protocol)
    if config["select_on"] != "iid" and VALID not in parts:
        raise UserError(
            f"`select_on: {config['select_on']}`: without an IID validation split no epoch is "
            "selected; set `validation_share` above 0, or leave `select_on` out"
        )
    if config["select_on"] != "iid" and not config["eval_step"]:
        raise UserError(
            f"`select_on: {config['select_on']}`: found `eval_step: 0`, with which no epoch is "
            "selected; set `eval_step` above 0, or leave `select_on` out"
        )


def _check_labels(
    config: SafeConfig, model: GeneralRecommender, parts: Mapping[str, ModalityDataset]
) -> None:
    """Refuse models without labels or negatives to learn from, and AUC if all labels are equal."""
    name = parts[TRAIN].label_field
    labelled = name in parts[TRAIN].inter_feat
    negatives = config["train_neg_sample_args"]["distribution"] != "none"
    pairs = (
        config["MODEL_INPUT_TYPE"] == InputType.PAIRWISE
        and get_dataloader(config, "train") is TrainDataLoader
        and not draws_negatives(config["model"])
    )
    points = hasattr(model, "LABEL") and config["MODEL_TYPE"] == ModelType.GENERAL
    if not negatives and (pairs or (points and not labelled)):
        other = "" if pairs else ", or load labels with `load_col` or `threshold`"
        raise UserError(
            f"`train_neg_sample_args`: found None, but {config['model']} learns from negatives; "
            f"leave it out{other}"
        )
    if "AUC" in map(str.upper, config["metrics"]):
        for split, part in parts.items():
            labels = part.inter_feat[name] if labelled else []
            mode = config["eval_args"]["mode"][VALID if split in (VALID, OOD_VALID) else TEST]
            if split != TRAIN and mode == "labeled" and len(set(map(float, labels))) == 1:
                raise UserError(
                    f"`metrics: AUC`: all {len(labels)} interactions of split `{split}` have "
                    f"`{name}` {float(labels[0]):g}, and AUC compares two kinds; change the "
                    "`threshold` or the split"
                )
