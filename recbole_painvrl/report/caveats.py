"""Caveats of a run (planted data, limits, approximations), from its result and configuration."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from recbole_painvrl.data.splits.iid_ood import shift_words
from recbole_painvrl.reading import is_number
from recbole_painvrl.report.read import RunData, Stage, mapping
from recbole_painvrl.report.render import split_name

# The thresholds of the warnings that the stages log.
_UNMOVED = 0.9
_DEAD_MASK = 0.05


def caveats(run: RunData) -> list[str]:
    """Caveats of one complete run; may be empty."""
    rules = (_planted, _split, _selection, _epochs, _environments, _mask, _model)
    return [sentence for rule in rules for sentence in rule(run)]


def _planted(run: RunData) -> Iterator[str]:
    result = run.done
    if "planted" in result.edition:
        yield f"Variant of the data: {result.edition}."
    scored = result.planted.get("mask_auc")
    if isinstance(scored, dict):
        columns = ", ".join(name for name in scored if name != "overall") or "all modalities"
        yield f"Planted: the invariant columns of {columns}; in real data they are not known."
    if "oracle" in result.planted:
        yield "The oracle uses the planted mask instead of a learned one."
    shift = result.split.get("shift")
    if shift == "planted":
        yield "The distribution shift of the OOD split is planted."
    elif shift is not None:
        yield f"Distribution shift of the OOD split: {shift_words(result.split)}."
    if shift == "not detected":
        yield "That is no test of the distributions, which may differ all the same."


def _split(run: RunData) -> Iterator[str]:
    cold = mapping(run.done.split.get("cold_dropped"))
    dropped = {split: n for split, n in cold.items() if n}
    if dropped:
        counts = ", ".join(f"{split_name(split)} {n}" for split, n in dropped.items())
        yield f"Dropped, since their user or item is not in training: {counts} interactions."
    for modality, found in run.done.modalities.items():
        if found.get("items_without_row"):
            yield (
                f"{found['items_without_row']} items have no features in {modality}; they use "
                f"`missing_modality: {run.value('missing_modality')}`."
            )
        if found.get("constant_columns"):
            yield f"{found['constant_columns']} columns of {modality} are constant."


def _selection(run: RunData) -> Iterator[str]:
    if "valid" not in run.done.metrics:
        yield "There was no validation split: the last epoch was tested, not the best."
    chosen = run.value("select_on")
    if chosen in ("ood", "harmonic"):
        splits = "OOD validation split" if chosen == "ood" else "IID and OOD validation splits"
        yield f"Epochs were selected on the {splits} (`select_on: {chosen}`)."
    mode = mapping(run.value("eval_args")).get("mode")
    tested = mode.get("test") if isinstance(mode, dict) else mode
    if tested == "labeled":
        yield "Metrics are over the labelled interactions of a split, not over all items."
    elif isinstance(tested, str) and tested != "full":
        yield f"Metrics are over sampled candidates (`eval_args: mode: {tested}`), not all items."


def _epochs(run: RunData) -> Iterator[str]:
    for stage in run.done.stages:
        is_backbone = stage.name == "backbone"
        limit = run.value("backbone_epochs") if is_backbone else run.final_value("epochs")
        if stage.best_epoch is None or stage.epochs is None or not isinstance(limit, int):
            continue
        if stage.epochs >= limit > 1:
            yield (
                f"Stage {stage.name} reached its maximum of {limit} epochs without early stopping; "
                f"its best epoch was {stage.best_epoch}."
            )
    if run.value("negative_sampling") == "shared":
        counts = [f"{run.value('n_negatives')} per batch"]
        if run.value("mask_negatives") is not None:
            counts.append(f"{run.value('mask_negatives')} in the mask stage")
        yield (
            f"Negatives are shared within a batch ({', '.join(counts)}), instead of "
            "drawn for each positive."
        )


def _environments(run: RunData) -> Iterator[str]:
    if run.value("known_environments") is True:
        yield "The environments are the planted ones, not identified (`known_environments`)."
    for stage in run.done.stages:
        if stage.name.startswith("environments"):
            yield from _environment_stage(run, stage)


def _environment_stage(run: RunData, stage: Stage) -> Iterator[str]:
    rounds, moved = stage.numbers("rounds"), stage.numbers("moved")
    limit, tolerance = run.value("environment_rounds"), run.value("environment_tolerance")
    unstable = moved and moved[0] > (tolerance if is_number(tolerance) else 0)
    if rounds and rounds[0] == limit and unstable:
        yield (
            f"Stage {stage.name} reached its maximum of {limit} rounds while {moved[0]:.1%} of the "
            "interactions still changed their environment."
        )
    agreement = stage.numbers("start_agreement")
    if agreement and agreement[0] > _UNMOVED:
        yield (
            f"Stage {stage.name} identified nothing: {agreement[0]:.0%} of the interactions are "
            "still in their random initial environment."
        )
    stability = stage.numbers("stability")
    if stability and min(stability) < _UNMOVED:
        yield (
            f"Stage {stage.name}: other initializations gave other environments (agreement with "
            f"the selected one down to {min(stability):.2f}), so another seed may, too."
        )
    if run.value("environment_model") == "content":
        yield (
            "Environments are identified with frozen user embeddings and without ID embeddings, "
            "unlike in the paper."
        )


def _mask(run: RunData) -> Iterator[str]:
    for number in range(1, run.rounds() + 1):
        weights = run.mask.get(f"round {number}/trajectory/w_erm")
        if weights is not None and run.value("loss_weighting") == "pareto":
            at_end = float(np.isin(weights, (0.0, 1.0)).mean())
            if at_end > 0.5:
                yield (
                    f"In {at_end:.0%} of the steps of mask {number} one of the two losses had "
                    "weight 0."
                )
    if run.modalities and max(run.mask[name].max() for name in run.modalities) < _DEAD_MASK:
        yield "The mask is near 0 everywhere: the features are not used."
    normalization = run.value("gradient_normalization")
    if normalization not in (None, "none"):
        yield (
            f"Gradients of both losses are normalized (`{normalization}`) before the Pareto "
            "weights are computed, unlike in the paper."
        )


def _model(run: RunData) -> Iterator[str]:
    columns = run.final_value("discriminator_columns")
    if isinstance(columns, int):
        yield f"The discriminator uses at most {columns} items, drawn once."
    if run.value("ndcg_hits") is True:
        yield "`ndcg_hits` is normalized by the number of hits and is larger than NDCG."
    if run.value("preset"):
        yield f"Settings of preset `{run.value('preset')}`."
