"""Environment models without ids: ``Gamma_e(u, i) = <[p^f_u, 1], W_e Psi_i>``."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from recbole_painvrl.errors import BadNumberError
from recbole_painvrl.functional.pairs import pair_scores
from recbole_painvrl.parallel import group
from recbole_painvrl.parallel.shards import OwnRows

# Lower bound of an environment's fraction; without it, its log could exclude it permanently.
_MIN_FRACTION = 0.02
# During refinement: weight of the log fraction of an environment in Eq. 9 (the paper: 0), and
# factor on the learning rate at its start, from which the rate decreases linearly to 0.
_SHARE_WEIGHT, _REFINEMENT_RATE = 0.5, 1 / 3
# Momentum of the running fractions of the environments.
_MOMENTUM = 0.9
# Shared negatives of the likelihood, and pairs or users scored at a time.
_LIKELIHOOD_NEGATIVES = 256
_BLOCK = 8192
# Above this fraction of rows with a gradient, copying them costs more than it saves.
_MOST_ROWS = 0.6


EnvironmentLearner = Literal["adam", "adagrad", "mixed"]


@dataclass(frozen=True)
class FitSettings:
    """Training settings of the environment models.

    Attributes:
        epochs: passes over the interactions per round.
        learning_rate: of Adam or Adagrad.
        batch_size: positives per step, over all environments together.
        n_negatives: uniform negatives of a step, shared by its positives.
        learner: ``adam``, ``adagrad``, or ``mixed``: Adagrad for embedding tables and Adam for
            the projections, as in InvRL's code.
        per_positive: whether every positive has its own negatives (``full.py`` only).
    """

    epochs: int
    learning_rate: float
    batch_size: int
    n_negatives: int
    learner: EnvironmentLearner
    per_positive: bool = False


class ContentEnvironmentModel:
    """Eq. 2 with frozen user content embeddings p^f; only the projections W_e are trained.

    Args:
        users: user of every interaction, ``[n]``.
        items: item of every interaction, ``[n]``.
        user_content: p^f of the backbone, ``[n_users, k]``.
        content: Psi (Eq. 25), ``[n_items, d]``; row 0 is padding.
        n_environments: |E|.
        fit: training settings.
        own: None in a single process. With several: which of all interactions this process has;
            ``users`` are then rows of its ``user_content``, which has its own users only.

    Deviations:
        * Eq. 2 trains all of UltraGCN per environment (``full.py``). With id embeddings, every
          model memorises its interactions, and the arg max of Eq. 9 returns the random
          initialization. Here there are no id embeddings.
        * p^f is scaled to mean square norm 1 and gets a constant entry, so that W_e can
          represent a preference common to all users.
        * The models of a round continue from those of the last, and every batch is partitioned by
          Eq. 9 with the current models, not by the partition of the last round: the same
          alternation in smaller steps, which is trapped in a poor partition far less often. The
          models are initialized at random, not the labels: models of random partitions are
          almost equal at first and take several times longer to differ.
        * The arg max of raw scores makes the sizes of a large and a small environment too
          similar. During refinement, half of the log fraction of each environment is added.
    """

    def __init__(
        self,
        users: Tensor,
        items: Tensor,
        user_content: Tensor,
        content: Tensor,
        n_environments: int,
        fit: FitSettings,
        own: OwnRows | None = None,
    ) -> None:
        self.users, self.items, self.own = users, items, own
        # Number of interactions of all processes.
        self.n = len(users) if own is None else len(own)
        norm = self._mean_square(user_content).sqrt().clamp(min=1e-12)
        constant = user_content.new_ones(len(user_content), 1)
        self.user_content = torch.cat([user_content / norm, constant], dim=1)
        self.content = content
        self.n_environments, self.fit = n_environments, fit
        self.projections: Tensor | None = None

    refines = True

    def _mean_square(self, rows: Tensor) -> Tensor:
        """Mean of the squared lengths of the rows of all processes."""
        squares = rows.square().sum(dim=1)
        if self.own is None:
            return squares.mean()
        total = torch.stack([squares.sum(), squares.new_tensor(len(rows))])
        group.sum_([total])
        return total[0] / total[1]

    def restart(self, generator: torch.Generator) -> Tensor | None:
        """See :class:`~recbole_painvrl.environments.loop.EnvironmentModel`."""
        size, k, d = self.n_environments, self.user_content.shape[1], self.content.shape[1]
        weight = 0.01 * torch.randn(size, k, d, generator=generator)
        self.projections = weight.to(self.content.device).requires_grad_()
        learner = torch.optim.Adagrad if self.fit.learner == "adagrad" else torch.optim.Adam
        self.optimizer: torch.optim.Optimizer = learner(
            [self.projections], lr=self.fit.learning_rate
        )
        self.shares = self.content.new_full((size,), 1.0 / size)
        with torch.no_grad():
            return self._scores_and_likelihood(generator)[0].argmax(dim=0).cpu()

    def reseed(self, environment: int, generator: torch.Generator) -> None:
        """Reinitialize an empty environment as a perturbed copy of the largest one.

        Labels are recomputed in every batch, so new labels alone would have no effect.
        """
        assert self.projections is not None
        with torch.no_grad():
            largest = self.projections[int(self.shares.argmax())]
            noise = torch.randn(largest.shape, generator=generator).to(largest.device)
            self.projections[environment] = largest + largest.std() * noise
            self.shares[environment] = 1.0 / self.n_environments

    def state(self) -> tuple[object, ...]:
        """See :class:`~recbole_painvrl.environments.loop.EnvironmentModel`."""
        return self.projections, self.optimizer, self.shares

    def load_state(self, state: tuple[object, ...]) -> None:
        """See :class:`~recbole_painvrl.environments.loop.EnvironmentModel`."""
        self.projections, self.optimizer, self.shares = state  # type: ignore[assignment]

    def fit_and_score(
        self, labels: Tensor, generator: torch.Generator, refinement: float | None = None
    ) -> tuple[Tensor, float]:
        """See :class:`~recbole_painvrl.environments.loop.EnvironmentModel`."""
        if self.projections is None:
            self.restart(generator)
        assert self.projections is not None
        rate = self.fit.learning_rate
        if refinement is not None:
            rate *= _REFINEMENT_RATE * (1.0 - refinement)
        for part in self.optimizer.param_groups:
            part["lr"] = rate
        for _ in range(self.fit.epochs):
            for number, (rows, negatives, size) in enumerate(self._draws(generator), 1):
                self.optimizer.zero_grad()
                loss = self._batch_loss(rows, negatives, refinement is not None)
                loss.backward()
                self._check(self._sum(loss, size), number)
                self.optimizer.step()
        if self.own is not None:
            group.raise_flags()
            group.assert_same({"W_e": self.projections})
        with torch.no_grad():
            scores, likelihood = self._scores_and_likelihood(generator)
            if not math.isfinite(likelihood):
                columns = {"the features": self.content, "W_e": self.projections}
                raise BadNumberError(f"the likelihood is {likelihood:g}", columns)
            return scores + self._offset(refinement is not None), likelihood

    @torch.no_grad()
    def _sum(self, loss: Tensor, size: int) -> Tensor:
        """Sum gradient, loss and label counts of a batch of ``size`` rows over the processes."""
        assert self.projections is not None and self.projections.grad is not None
        numbers = torch.cat([loss.detach().view(1), self._counts.to(loss.dtype)])
        if self.own is not None:
            group.sum_step([self.projections.grad, numbers])
        self.shares = _MOMENTUM * self.shares + (1 - _MOMENTUM) * (numbers[1:] / size)
        return numbers[0]

    def _check(self, loss: Tensor, number: int) -> None:
        """Stop at a non-finite loss or gradient, before the step; does not synchronize a GPU.

        On a GPU, the check of the likelihood at the end of the round detects them.
        """
        assert self.projections is not None and self.projections.grad is not None
        if loss.device.type != "cpu":
            return
        columns = {
            "the features": self.content,
            "W_e": self.projections,
            "the gradient of W_e": self.projections.grad,
        }
        if not math.isfinite(loss.item()):
            raise BadNumberError(f"the loss of Gamma_e is {loss.item():g}", columns, number)
        if not math.isfinite(self.projections.grad.sum().item()):
            raise BadNumberError("the gradient of W_e is not finite", columns, number)

    def _offset(self, refining: bool) -> Tensor:
        """Term added to the scores of every environment in Eq. 9, ``[E, 1]``."""
        weight = _SHARE_WEIGHT if refining else 0.0
        return weight * self.shares.clamp(min=_MIN_FRACTION).log()[:, None]

    def _draws(self, generator: torch.Generator) -> Iterator[tuple[Tensor, Tensor, int]]:
        """Rows, shared negatives and size of every batch of an epoch, drawn and moved at once."""
        device = self.users.device
        rows = torch.randperm(self.n, generator=generator)
        sizes = [len(batch) for batch in rows.split(self.fit.batch_size)]
        shape, counts = (len(sizes), self.fit.n_negatives), sizes
        negatives = torch.randint(1, len(self.content), shape, generator=generator).to(device)
        if self.own is not None:
            rows, _, counts = self.own.pick(rows, self.fit.batch_size)
        return zip(rows.to(device).split(counts), negatives, sizes, strict=True)

    def _batch_loss(self, rows: Tensor, negatives: Tensor, refining: bool) -> Tensor:
        """BCE (Eq. 4) of every environment's model on its rows of the batch, summed."""
        assert self.projections is not None
        candidates = torch.cat([self.items[rows], negatives])
        # Only the distinct items are projected, which avoids a tensor of pairs x d.
        items, indices = torch.unique(candidates, return_inverse=True)
        vectors = self._item_vectors(items)
        users, positives = self.users[rows], indices[: len(rows)]
        content = self.user_content.index_select(0, users)
        with torch.no_grad():
            scores = _by_environment(content, vectors, positives) + self._offset(refining)
            labels = scores.argmax(dim=0)
            self._counts = torch.bincount(labels, minlength=self.n_environments)
        # Only the label's score has a gradient.
        places = positives * self.n_environments + labels
        chosen = vectors.flatten(0, 1).index_select(0, places)
        loss = F.softplus(-(content * chosen).sum(dim=1)).sum()
        shared = vectors.index_select(0, indices[len(rows) :])
        for times, scores in self._shared_scores(users, labels, shared):
            loss = loss + times @ F.softplus(scores).mean(dim=-1)
        return loss

    def _item_vectors(self, items: Tensor | None = None) -> Tensor:
        """``W_e Psi_i`` of the items, or of all, under every environment, ``[n, E, k]``."""
        assert self.projections is not None
        content = self.content if items is None else self.content.index_select(0, items)
        vectors: Tensor = _Projected.apply(self.projections, content)  # type: ignore[no-untyped-call]
        return vectors

    def _scores_and_likelihood(self, generator: torch.Generator) -> tuple[Tensor, float]:
        """Scores ``[E, n]``; mean log-likelihood of pairs and negatives under the best model."""
        assert self.projections is not None
        drawn = torch.randint(1, len(self.content), (_LIKELIHOOD_NEGATIVES,), generator=generator)
        vectors = self._item_vectors()
        shared = vectors[drawn.to(self.content.device)]
        scores = torch.cat(
            [
                _by_environment(self.user_content.index_select(0, users), vectors, items)
                for users, items in zip(
                    self.users.split(_BLOCK), self.items.split(_BLOCK), strict=True
                )
            ],
            dim=1,
        )
        best, labels = scores.max(dim=0)
        total = F.logsigmoid(best).sum(dtype=torch.float64)
        for times, negatives in self._shared_scores(self.users, labels, shared):
            total += times.double() @ F.logsigmoid(-negatives).mean(dim=1).double()
        if self.own is not None:
            group.sum_([total])
        return scores, float(total) / max(1, self.n)

    def _shared_scores(
        self, users: Tensor, labels: Tensor, shared: Tensor
    ) -> Iterator[tuple[Tensor, Tensor]]:
        """Scores of users with shared items ``[P, E, k]`` in the environments of their pairs.

        Pairs of the same user in the same environment have the same scores, which are computed
        once.

        Args:
            users: ``[n]``.
            labels: environment of every pair, ``[n]``.
            shared: vectors of the items under every environment.

        Yields:
            Of some users of an environment the number of their pairs ``[m]`` and scores ``[m, P]``.
        """
        n_users = len(self.user_content)
        keys, times = torch.unique(labels * n_users + users, return_counts=True)
        sizes = torch.bincount(keys // n_users, minlength=self.n_environments).tolist()
        parts = (keys % n_users).split(sizes), times.split(sizes), shared.unbind(dim=1)
        for own, counts, vectors in zip(*parts, strict=True):
            for some, number in zip(own.split(_BLOCK), counts.split(_BLOCK), strict=True):
                content = self.user_content.index_select(0, some)
                yield number.to(content.dtype), content @ vectors.T


class _Projected(torch.autograd.Function):
    """``W_e f_i``, ``[E, k, d], [n, d] -> [n, E, k]``; backward by the environment's rows only.

    A pair's loss is that of one environment, so most rows of an environment's gradient are 0.
    """

    @staticmethod
    def forward(ctx: Any, projections: Tensor, content: Tensor) -> Tensor:
        ctx.save_for_backward(content)
        return (content @ projections.flatten(0, 1).T).view(len(content), *projections.shape[:2])

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        (content,) = ctx.saved_tensors
        touched = gradient.any(dim=2).T
        if touched.is_cuda or touched.sum() > _MOST_ROWS * touched.numel():
            whole = gradient.flatten(1).T @ content
            return whole.view(*gradient.shape[1:], content.shape[1]), None
        gradients = []
        for environment, rows in enumerate(touched):
            used = rows.nonzero().squeeze(-1)
            by_vector = gradient[:, environment].index_select(0, used)
            gradients.append(by_vector.T @ content.index_select(0, used))
        return torch.stack(gradients), None


def _by_environment(users: Tensor, vectors: Tensor, items: Tensor) -> Tensor:
    """Scores of pairs under every environment: ``[B, k], [M, E, k], [B] -> [E, B]``."""
    return pair_scores(vectors, users, items[:, None]).squeeze(1).T
