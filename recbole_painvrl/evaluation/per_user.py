"""RecBole's metrics, kept per user."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from recbole.evaluator import Evaluator
from torch import Tensor

from recbole_painvrl.config.base import ConfigLike
from recbole_painvrl.errors import UserError
from recbole_painvrl.evaluation.list_metrics import LIST_METRICS, ListMetric
from recbole_painvrl.parallel import group

FloatArray = npt.NDArray[np.float64]

# RecBole's top-K metrics without and with the number of the user's positives as an argument.
_WITHOUT_LENGTH = frozenset({"hit", "mrr", "precision"})
_WITH_LENGTH = frozenset({"recall", "ndcg", "map"})
PER_USER = _WITHOUT_LENGTH | _WITH_LENGTH


def ndcg_hits(hits: npt.NDArray[np.bool_]) -> FloatArray:
    """NDCG as InvRL's code computes it: the ideal holds the hits found, not the positives.

    Args:
        hits: ``[n_users, K]``, whether the recommendation at each rank is a positive.

    Returns:
        ``[n_users]``; 0 without a hit. Never smaller than the usual NDCG, and not comparable
        with it.
    """
    discount = 1 / np.log2(np.arange(2, hits.shape[1] + 2))
    gained = (hits * discount).sum(axis=1)
    ideal = np.concatenate([[0.0], np.cumsum(discount)])[hits.sum(axis=1)]
    ndcg = np.zeros(len(hits))
    np.divide(gained, ideal, out=ndcg, where=ideal > 0)
    return ndcg


class PerUserEvaluator(Evaluator):
    """RecBole's evaluator that also keeps every top-K metric per user.

    Attributes:
        per_user: ``metric@k`` to one value per user, in the order of the loader's users, of the
            last evaluation; empty where the metrics are not top-K ones. Of several processes the
            first has all users.
    """

    def __init__(self, config: ConfigLike) -> None:
        super().__init__(config)
        self.per_user: dict[str, FloatArray] = {}
        for name in self.metric_class.keys() & LIST_METRICS.keys():
            self.metric_class[name] = ListMetric(name, config)

    def evaluate(self, dataobject: Any) -> dict[str, float]:
        """Means as RecBole returns them; the values per user are kept in ``per_user``.

        Raises:
            UserError: LogLoss of scores that are no probabilities; RecBole would clip them.
        """
        return group.from_first(lambda: self._evaluate(dataobject))

    def _evaluate(self, dataobject: Any) -> dict[str, float]:
        if "logloss" in self.metric_class:
            self._check_probabilities(dataobject.get("rec.score"))
        result: dict[str, float] = super().evaluate(dataobject)
        for name, value in result.items():
            # Some of RecBole's are numbers of numpy, which JSON does not know.
            result[name] = float(value)
        self.per_user, hits = {}, None
        for name, metric in self.metric_class.items():
            if name not in PER_USER:
                continue
            hits, n_positives = metric.used_info(dataobject)
            arguments = (hits, n_positives) if name in _WITH_LENGTH else (hits,)
            values = metric.metric_info(*arguments)
            for k in metric.topk:
                self.per_user[f"{name}@{k}"] = np.asarray(values[:, k - 1], dtype=np.float64)
        if self.config["ndcg_hits"] and hits is not None:
            for k in self.config["topk"]:
                self.per_user[f"ndcg_hits@{k}"] = ndcg_hits(hits[:, :k])
                result[f"ndcg_hits@{k}"] = float(self.per_user[f"ndcg_hits@{k}"].mean())
        return result

    def _check_probabilities(self, scores: Tensor) -> None:
        if scores.min() < 0 or scores.max() > 1:
            raise UserError(
                f"`metrics: LogLoss`: {self.config['model']} gives scores from "
                f"{float(scores.min()):.3g} to {float(scores.max()):.3g}, expected probabilities; "
                "use AUC, or a model such as NeuMF"
            )
