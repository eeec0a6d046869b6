"""RecBole's own settings with types and bounds."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
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
from recbole_painvrl.errors import did_you_mean

# Setting, the value found, and what is expected.
Wrong = tuple[str, Any, str]


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
    settings = RecBoleSettings.from_config(values, sources)
    columns = DatasetSettings.from_config(values, sources)
    wrong = [*_wrong_columns(columns), *_wrong_metrics(settings, sources)]
    if values.get("nproc", 1) != 1:
        expected = "1: start several processes with `torchrun --nproc-per-node=N run_recbole.py`"
        wrong.insert(0, ("nproc", values["nproc"], expected))
    if wrong:
        name, found, expected = wrong[0]
        raise wrong_value(name, found, sources, expected)


def _wrong_columns(settings: DatasetSettings) -> Iterator[Wrong]:
    ids = [settings.USER_ID_FIELD, settings.ITEM_ID_FIELD]
    extra = settings.additional_feat_suffix or []
    files = ["inter", "item", "user", *([extra] if isinstance(extra, str) else extra)]
    for setting in ("load_col", "unload_col", "unused_col"):
        for file in getattr(settings, setting) or {}:
            if file not in files:
                expected = f"only {', '.join(files)}{did_you_mean(file, files)}"
                yield f"{setting}: {file}", file, expected
    columns = (settings.load_col or {"inter": "*"}).get("inter", [])
    if ids[0] == ids[1]:
        yield "ITEM_ID_FIELD", ids[1], "another column than USER_ID_FIELD"
    missing = [name for name in ids if columns != "*" and name not in columns]
    if missing:
        expected = f"also `{missing[0]}`, without which there are no interactions"
        yield "load_col", settings.load_col, expected
    if settings.threshold is not None and len(settings.threshold) != 1:
        yield "threshold", settings.threshold, "one column and its threshold"


def _wrong_metrics(settings: RecBoleSettings, sources: Mapping[str, str]) -> Iterator[Wrong]:
    from recbole.evaluator import metric_types, metrics_dict
    from recbole.utils import EvaluatorType

    names = {name: metric.__name__ for name, metric in metrics_dict.items()}
    metrics = [settings.metrics] if isinstance(settings.metrics, str) else settings.metrics
    unknown = [metric for metric in metrics if metric.lower() not in names]
    if not metrics:
        yield "metrics", metrics, "at least one metric"
    elif unknown:
        yield "metrics", unknown[0], _known_metrics(unknown[0], names)
    else:
        kinds = {metric_types[metric.lower()] for metric in metrics}
        if len({metric.lower() for metric in metrics}) < len(metrics):
            yield "metrics", metrics, "each metric once"
        if len(kinds) > 1:
            yield "metrics", metrics, "ranking metrics only or value metrics only"
        if kinds == {EvaluatorType.VALUE} and "full" in _modes(settings):
            expected = "ranking metrics, or also `--eval_args={mode: labeled}` (labels) or "
            yield "metrics", metrics, expected + "`{mode: uni100}`"
        yield from _wrong_valid_metric(settings, metrics, names, sources)


def _modes(settings: RecBoleSettings) -> set[str]:
    """Modes of validation and test, as RecBole completes them."""
    mode = settings.eval_args.mode
    if isinstance(mode, str):
        return {mode}
    return {mode.valid or mode.test or "full", mode.test or mode.valid or "full"}


def _wrong_valid_metric(
    settings: RecBoleSettings,
    metrics: list[str],
    names: Mapping[str, str],
    sources: Mapping[str, str],
) -> Iterator[Wrong]:
    """RecBole fails with a KeyError after the first epoch if the metric is not computed."""
    from recbole.evaluator import metric_types
    from recbole.evaluator.register import smaller_metrics
    from recbole.utils import EvaluatorType

    chosen = settings.valid_metric
    name, _, cut_off = chosen.partition("@")
    lower = name.lower()
    topk = [settings.topk] if isinstance(settings.topk, int) else settings.topk
    if lower not in names:
        yield "valid_metric", chosen, _known_metrics(chosen, names)
    elif not topk:
        yield "topk", topk, "at least one cut-off"
    elif lower not in {metric.lower() for metric in metrics}:
        example = f"`--valid_metric={metrics[0]}@{topk[0]}`"
        yield "valid_metric", chosen, f"one of `metrics`, such as {example}"
    elif lower == "gauc" or metric_types[lower] == EvaluatorType.VALUE:
        if cut_off:
            yield "valid_metric", chosen, f"`{name}`, which has no cut-off"
    elif cut_off not in {str(k) for k in topk}:
        expected = f"a cut-off in `topk`, such as `--valid_metric={name}@{topk[0]}`"
        yield "valid_metric", chosen, expected
    bigger = lower not in smaller_metrics
    source = sources.get("valid_metric_bigger", "RecBole overall")
    if settings.valid_metric_bigger != bigger and source != "RecBole overall":
        expected = f"{bigger}: the direction follows from `valid_metric: {chosen}`"
        yield "valid_metric_bigger", settings.valid_metric_bigger, expected


def _known_metrics(value: str, names: Mapping[str, str]) -> str:
    """The metrics that exist, and the one closest to a value."""
    close = did_you_mean(value.partition("@")[0], names.values())
    if "," in value:
        close = f"; write [{value}]"
    return f"a metric out of {', '.join(sorted(names.values()))}{close}"
