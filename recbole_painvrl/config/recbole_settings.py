"""The settings of RecBole itself that users change, with types and bounds."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from pydantic import Field

from recbole_painvrl.config.base import Settings, wrong_value
from recbole_painvrl.config.mappings import (
    Clipping,
    DatasetSettings,
    EvaluationArguments,
    LogLevel,
    Negatives,
    Positive,
)
from recbole_painvrl.errors import UserError, did_you_mean


class RecBoleSettings(Settings):
    """RecBole's own settings, common to all models; its property files hold the defaults."""

    gpu_id: int | str = Field(description="Identifiers of the GPUs, separated by commas.")
    use_gpu: bool = Field(description="Whether to use a GPU if there is one.")
    worker: int = Field(ge=0, description="Processes that prepare batches.")
    # numpy takes no larger seed.
    seed: int = Field(ge=0, le=2**32 - 1, description="Seed of everything random but the split.")
    state: LogLevel = Field(description="Logging level.")
    reproducibility: bool = Field(description="Whether to use deterministic algorithms.")
    data_path: str = Field(description="Folder of the dataset folders.")
    checkpoint_dir: str = Field(description="Folder of RecBole's own checkpoints.")
    show_progress: bool = Field(description="Whether to show progress bars.")
    save_dataset: bool = Field(description="Whether to save the filtered dataset.")
    save_dataloaders: bool = Field(description="Whether to save the split data.")
    log_wandb: bool = Field(description="Whether to log to Weights and Biases.")
    shuffle: bool = Field(description="Whether to shuffle the training data.")

    epochs: int = Field(ge=1, description="Maximum number of epochs of training.")
    train_batch_size: int = Field(ge=1, description="Interactions per training step.")
    learner: Literal["adam", "adamw", "sgd", "adagrad", "rmsprop"] = Field(description="Optimiser.")
    learning_rate: float = Field(gt=0, description="Learning rate.")
    train_neg_sample_args: Negatives | None = Field(description="RecBole's negatives.")
    eval_step: int = Field(ge=0, description="Epochs between evaluations; 0 for none.")
    stopping_step: int = Field(ge=0, description="Evaluations without gain before stopping.")
    clip_grad_norm: Clipping | None = Field(description="Arguments of clip_grad_norm_.")
    weight_decay: float = Field(ge=0, description="The optimiser's weight decay.")
    loss_decimal_place: int = Field(ge=0, description="Decimals of losses in the log.")
    require_pow: bool = Field(description="Whether RecBole's EmbLoss squares its norms.")
    enable_amp: bool = Field(description="Whether to train in mixed precision.")
    enable_scaler: bool = Field(description="Whether to scale gradients in mixed precision.")

    transform: None = Field(default=None, description="RecBole's changes of sequences.")

    eval_args: EvaluationArguments = Field(description="Split, order, grouping and mode.")
    repeatable: bool = Field(description="Whether items of the training set are ranked.")
    metrics: list[str] | str = Field(description="Metrics to report.")
    topk: list[Positive] | Positive = Field(description="Cut-offs K of the ranking metrics.")
    valid_metric: str = Field(description="Metric that chooses the epoch.")
    valid_metric_bigger: bool = Field(default=True, description="Derived from the metric.")
    eval_batch_size: int = Field(ge=1, description="Scores per evaluation step.")
    metric_decimal_place: int = Field(ge=0, description="Decimals of the metrics.")


def check_recbole_settings(values: Mapping[str, Any], sources: Mapping[str, str]) -> None:
    """Check types, bounds and metric names of RecBole's own settings.

    Raises :class:`UserError` with one line for the first that is wrong.
    """
    present = {name: values[name] for name in RecBoleSettings.model_fields if name in values}
    settings = RecBoleSettings.checked(present, sources)
    present = {name: values[name] for name in DatasetSettings.model_fields if name in values}
    _check_columns(DatasetSettings.checked(present, sources), sources)
    if values.get("nproc", 1) != 1:
        raise wrong_value(
            "nproc", values["nproc"], sources, "1: training on several processes is not supported"
        )
    _check_metrics(settings, sources)


def _check_columns(settings: DatasetSettings, sources: Mapping[str, str]) -> None:
    ids = [settings.USER_ID_FIELD, settings.ITEM_ID_FIELD]
    further = settings.additional_feat_suffix or []
    files = ["inter", "item", "user", *([further] if isinstance(further, str) else further)]
    for setting in ("load_col", "unload_col", "unused_col"):
        for file in getattr(settings, setting) or {}:
            if file not in files:
                expected = f"only {', '.join(files)}{did_you_mean(file, files)}"
                raise wrong_value(f"{setting}: {file}", file, sources, expected)
    columns = (settings.load_col or {"inter": "*"}).get("inter", [])
    if ids[0] == ids[1]:
        raise wrong_value("ITEM_ID_FIELD", ids[1], sources, "another column than USER_ID_FIELD")
    missing = [name for name in ids if columns != "*" and name not in columns]
    if missing:
        expected = f"also `{missing[0]}`, without which there are no interactions"
        raise wrong_value("load_col", settings.load_col, sources, expected)
    if settings.threshold is not None and len(settings.threshold) != 1:
        raise wrong_value("threshold", settings.threshold, sources, "one column and its threshold")


def _check_metrics(settings: RecBoleSettings, sources: Mapping[str, str]) -> None:
    from recbole.evaluator import metric_types, metrics_dict
    from recbole.utils import EvaluatorType

    names = {name: metric.__name__ for name, metric in metrics_dict.items()}
    metrics = [settings.metrics] if isinstance(settings.metrics, str) else settings.metrics
    if not metrics:
        raise wrong_value("metrics", metrics, sources, "at least one metric")
    for metric in metrics:
        if metric.lower() not in names:
            raise _unknown_metric("metrics", metric, names, sources)
    if len({metric.lower() for metric in metrics}) < len(metrics):
        raise wrong_value("metrics", metrics, sources, "each metric once")
    if len({metric_types[metric.lower()] for metric in metrics}) > 1:
        raise wrong_value("metrics", metrics, sources, "ranking metrics only or value metrics only")
    kinds = {metric_types[metric.lower()] for metric in metrics}
    if kinds == {EvaluatorType.VALUE} and "full" in _modes(settings):
        raise wrong_value(
            "metrics", metrics, sources,
            "ranking metrics, or also `--eval_args={mode: labeled}` (labels) or `{mode: uni100}`",
        )  # fmt: skip
    _check_valid_metric(settings, metrics, names, sources)


def _modes(settings: RecBoleSettings) -> set[str]:
    """Modes of validation and test, as RecBole completes them."""
    mode = settings.eval_args.mode
    if isinstance(mode, str):
        return {mode}
    return {mode.valid or mode.test or "full", mode.test or mode.valid or "full"}


def _check_valid_metric(
    settings: RecBoleSettings,
    metrics: list[str],
    names: Mapping[str, str],
    sources: Mapping[str, str],
) -> None:
    """RecBole fails with a KeyError after the first epoch if it is not among what it computes."""
    from recbole.evaluator import metric_types
    from recbole.evaluator.register import smaller_metrics
    from recbole.utils import EvaluatorType

    chosen = settings.valid_metric
    name, _, cut_off = chosen.partition("@")
    if name.lower() not in names:
        raise _unknown_metric("valid_metric", chosen, names, sources)
    topk = [settings.topk] if isinstance(settings.topk, int) else settings.topk
    if not topk:
        raise wrong_value("topk", topk, sources, "at least one cut-off")
    if name.lower() not in {metric.lower() for metric in metrics}:
        expected = f"one of `metrics`, such as `--valid_metric={metrics[0]}@{topk[0]}`"
        raise wrong_value("valid_metric", chosen, sources, expected)
    if name.lower() == "gauc" or metric_types[name.lower()] == EvaluatorType.VALUE:
        if cut_off:
            raise wrong_value("valid_metric", chosen, sources, f"`{name}`, which has no cut-off")
    elif cut_off not in {str(k) for k in topk}:
        expected = f"a cut-off in `topk`, such as `--valid_metric={name}@{topk[0]}`"
        raise wrong_value("valid_metric", chosen, sources, expected)
    bigger = name.lower() not in smaller_metrics
    chosen_by = sources.get("valid_metric_bigger", "RecBole overall")
    if settings.valid_metric_bigger != bigger and chosen_by != "RecBole overall":
        expected = f"{bigger}: the direction follows from `valid_metric: {chosen}`"
        raise wrong_value("valid_metric_bigger", settings.valid_metric_bigger, sources, expected)


def _unknown_metric(
    setting: str, value: str, names: Mapping[str, str], sources: Mapping[str, str]
) -> UserError:
    close = did_you_mean(value.partition("@")[0].lower(), names)
    if setting == "metrics" and "," in value:
        close = f"; write [{value}]"
    for lower, name in names.items():
        close = close.replace(f"`{lower}`", f"`{name}`")
    return wrong_value(
        setting, value, sources, f"a metric out of {', '.join(sorted(names.values()))}{close}"
    )
