"""Environment models on content alone: ``Gamma_e(u, i) = <p^f_u, W_e Psi_i>``."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from recbole_painvrl.identification.batches import shuffled_batches


@dataclass(frozen=True)
class FitSettings:
    """How the environment models are trained.

    Attributes:
        epochs: passes over the interactions per round.
        learning_rate: of Adam or Adagrad.
        batch_size: positives per step, over all environments together.
        n_negatives: size of the pool of uniform negatives of a step.
        learner: ``adam`` or ``adagrad``.
    """

    epochs: int
    learning_rate: float
    batch_size: int
    n_negatives: int
    learner: str


class ContentEnvironmentModel:
    """Eq. 2 with the user's content vector frozen and only the projection W_e learnt.

    Args:
        users: user of every interaction, ``[n]``.
        items: item of every interaction, ``[n]``.
        user_content: p^f of the backbone, ``[n_users, k]``.
        content: Psi (Eq. 25), ``[n_items, d]``; row 0 is padding.
        n_environments: |E|.
        fit: training settings.

    Deviations:
        Eq. 2 trains all of UltraGCN per environment. With the id terms inside, every model
        memorises its own interactions, the arg max of Eq. 9 returns the random start and no
        environment is found; that model is ``full.py``. Without them there is nothing to
        memorise with.
    """

    def __init__(
        self,
        users: Tensor,
        items: Tensor,
        user_content: Tensor,
        content: Tensor,
        n_environments: int,
        fit: FitSettings,
    ) -> None:
        self.users, self.items = users, items
        self.user_content, self.content = user_content, content
        self.n_environments, self.fit = n_environments, fit

    def fit_and_score(self, labels: Tensor, generator: torch.Generator) -> tuple[Tensor, float]:
        """See :class:`~recbole_painvrl.identification.loop.EnvironmentModel`."""
        size, k, d = self.n_environments, self.user_content.shape[1], self.content.shape[1]
        weight = 0.01 * torch.randn(size, k, d, generator=generator)
        projections = weight.to(self.content.device).requires_grad_()
        learner = torch.optim.Adagrad if self.fit.learner == "adagrad" else torch.optim.Adam
        optimizer = learner([projections], lr=self.fit.learning_rate)
        device_labels = labels.to(self.content.device)
        for _ in range(self.fit.epochs):
            for rows in shuffled_batches(len(self.users), self.fit.batch_size, generator):
                optimizer.zero_grad()
                self._batch_loss(projections, rows, device_labels, generator).backward()
                optimizer.step()
        with torch.no_grad():
            tables = self.content @ projections.transpose(1, 2)
            scores = self._all_scores(tables)
            likelihood = self._likelihood(tables, scores, generator)
        return scores, likelihood

    def _batch_loss(
        self, projections: Tensor, rows: Tensor, labels: Tensor, generator: torch.Generator
    ) -> Tensor:
        """BCE (Eq. 4) of every environment's model on its own rows of the batch, summed."""
        pool = torch.randint(1, len(self.content), (self.fit.n_negatives,), generator=generator)
        negative_content = self.content[pool]
        loss = projections.new_zeros(())
        for environment in range(self.n_environments):
            mine = rows[labels[rows] == environment]
            if not len(mine):
                continue
            users = self.user_content[self.users[mine]]
            # <p, W f> = <p W, f>: projecting the users' side once serves positives and pool.
            reach = users @ projections[environment]
            positives = (reach * self.content[self.items[mine]]).sum(dim=-1)
            loss = loss + F.softplus(-positives).sum()
            loss = loss + F.softplus(reach @ negative_content.T).mean(dim=-1).sum()
        return loss

    def _all_scores(self, tables: Tensor, block: int = 65536) -> Tensor:
        scores = [
            torch.einsum(
                "nk,enk->en",
                self.user_content[self.users[start : start + block]],
                tables[:, self.items[start : start + block]],
            )
            for start in range(0, len(self.users), block)
        ]
        return torch.cat(scores, dim=1)

    def _likelihood(self, tables: Tensor, scores: Tensor, generator: torch.Generator) -> float:
        """Mean log-likelihood of every pair and of uniform negatives under its best model."""
        best, label = scores.max(dim=0)
        draws = torch.randint(1, len(self.content), (len(self.users),), generator=generator)
        vectors = tables[label, draws]
        negatives = (self.user_content[self.users] * vectors).sum(dim=-1)
        return float((F.logsigmoid(best) + F.logsigmoid(-negatives)).mean())
