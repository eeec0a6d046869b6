"""RecBole's loaders and samplers over the parts of a split."""

from __future__ import annotations

from collections.abc import Sequence
from logging import getLogger
from typing import Any

from recbole.data.dataloader import FullSortEvalDataLoader
from recbole.data.utils import get_dataloader
from recbole.sampler import Sampler
from recbole.utils import EvaluatorType

from recbole_painvrl.data.fast_evaluation import FastEvaluationLoader
from recbole_painvrl.data.fast_loader import FastTrainLoader, can_be_fast
from recbole_painvrl.errors import UserError
from recbole_painvrl.seeds import separate_draws


def liked(config: Any, train: Any) -> Any:
    """The training dataset of a labelled run, without label 0 where negatives are sampled.

    RecBole's samplers give label 1 to every row, whatever a ``threshold`` says. Without sampled
    negatives a model learns from the labels themselves, and every row stays.

    Raises:
        UserError: no row has a label above 0.
    """
    sampled = config["train_neg_sample_args"]["distribution"] != "none"
    labelled = config["eval_type"] == EvaluatorType.VALUE
    if not (sampled and labelled) or train.label_field not in train.inter_feat:
        return train
    positive = train.inter_feat[train.label_field] > 0
    if not positive.any():
        raise UserError(
            f"{train.folder}: no training interaction has `{train.label_field}` above 0; lower the "
            "`threshold` or correct the labels"
        )
    if positive.all():
        return train
    getLogger("recbole_painvrl").info(
        "%d of %d training interactions have label 0 and are no positives",
        int((~positive).sum()),
        len(positive),
    )
    return train.copy(train.inter_feat[positive])


def training_loader(config: Any, train: Any) -> Any:
    """RecBole's training loader; negatives avoid the user's training items only.

    With ``fast_loader`` its fast form, for models that it can serve.
    """
    if can_be_fast(config):
        return FastTrainLoader(config, train, shuffle=config["shuffle"])
    arguments = config["train_neg_sample_args"]
    sampler = None
    if arguments["distribution"] != "none":
        sampler = _sampler([train], "train", arguments["distribution"], arguments["alpha"])
    return get_dataloader(config, "train")(config, train, sampler, shuffle=config["shuffle"])


def evaluation_loader(config: Any, history: Sequence[Any], dataset: Any, phase: str) -> Any:
    """RecBole's evaluation loader of one part.

    Args:
        config: RecBole configuration.
        history: parts whose items are not recommended again (training, and what is known).
        dataset: the part to evaluate.
        phase: ``valid`` or ``test``, whose evaluation mode applies.
    """
    loader = get_dataloader(config, phase)
    if loader is FullSortEvalDataLoader and config["single_spec"]:
        return FastEvaluationLoader(config, history, dataset)
    arguments = config[f"{phase}_neg_sample_args"]
    distribution = arguments["distribution"]
    sampler = None
    if distribution != "none":
        datasets = [*history, dataset]
        sampler = _sampler(datasets, phase, distribution, 1.0, FixedCandidates)
        sampler.split_seed = config["split_seed"]
    return loader(config, dataset, sampler, shuffle=False)


class FixedCandidates(Sampler):
    """RecBole's sampler of candidates, which draws the same ones for a user of a test each time.

    RecBole draws from numpy's global generator, so that the same weights have other figures after
    another training, and every model other candidates.

    Attributes:
        split_seed: seed of the split, to which the candidates belong.
    """

    split_seed = 0

    def sample_by_user_ids(self, user_ids: Any, item_ids: Any, num: int) -> Any:
        """Candidates of one user; see RecBole."""
        with separate_draws(self.split_seed, f"{self.phase} candidates of user {user_ids[0]}"):
            return super().sample_by_user_ids(user_ids, item_ids, num)


def _sampler(
    datasets: list[Any],
    phase: str,
    distribution: str,
    alpha: float,
    sampler_class: type[Sampler] = Sampler,
) -> Any:
    phases = [f"history {index}" for index in range(len(datasets) - 1)] + [phase]
    try:
        return sampler_class(phases, datasets, distribution, alpha).set_phase(phase)
    except ValueError as error:
        raise UserError(f"negative sampling: {' '.join(str(error).split())}") from error
