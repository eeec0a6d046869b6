"""Environment models of the paper: a complete UltraGCN per environment (Eq. 2, 3)."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from recbole_painvrl.environments.content import EnvironmentLearner, FitSettings
from recbole_painvrl.errors import BadNumberError
from recbole_painvrl.functional.ultragcn import (
    Distinct,
    GraphWeights,
    UltraGCNWeights,
    batch_loss,
)

_Learner = type[torch.optim.Adam] | type[torch.optim.Adagrad]
# Optimisers of the embedding tables and of W.
_LEARNERS: dict[EnvironmentLearner, tuple[_Learner, _Learner]] = {
    "adam": (torch.optim.Adam, torch.optim.Adam),
    "adagrad": (torch.optim.Adagrad, torch.optim.Adagrad),
    "mixed": (torch.optim.Adagrad, torch.optim.Adam),
}


class PlainUltraGCN:
    """UltraGCN on plain tensors, with ids and optionally features: ``<p^t, t> + <p^f, W f>``.

    Args:
        content: ``[n_items, d]``, or None for an ID-only model.
        graph: tables of Eq. 6 and 8, of the whole training set.
        weights: scalars of the loss.
        embedding_size: width of the id vectors.
        content_embedding_size: width of p^f and W f.
        init_std: standard deviation of the initial values.
        generator: draws the initial values.
    """

    def __init__(
        self,
        content: Tensor | None,
        graph: GraphWeights,
        weights: UltraGCNWeights,
        embedding_size: int,
        content_embedding_size: int,
        init_std: float,
        generator: torch.Generator,
    ) -> None:
        self.graph, self.weights, self.content = graph, weights, content
        device = graph.user_factor.device

        def draw(*shape: int) -> Tensor:
            values = init_std * torch.randn(*shape, generator=generator)
            return values.to(device).requires_grad_()

        width = embedding_size + (0 if content is None else content_embedding_size)
        self.users = draw(len(graph.user_factor), width)
        self.items = draw(len(graph.item_factor), embedding_size)
        self.projection = (
            None if content is None else draw(content_embedding_size, content.shape[1])
        )

    def item_table(self) -> Tensor:
        """Vectors of all items, ``[n_items, k or 2k]``."""
        if self.content is None or self.projection is None:
            return self.items
        return torch.cat([self.items, self.content @ self.projection.T], dim=1)

    def fit(
        self,
        users: Tensor,
        items: Tensor,
        settings: FitSettings,
        embedding_reg_weight: float,
        generator: torch.Generator,
        projection_reg_weight: float,
    ) -> None:
        """Train on the given interactions for a fixed number of epochs.

        Args:
            users: user of every interaction, ``[n]``.
            items: item of every interaction, ``[n]``.
            settings: how to train.
            embedding_reg_weight: L2 of the tables, per step.
            generator: order of the interactions and negatives.
            projection_reg_weight: L2 of W, per step.
        """
        optimizers = self._optimizers(settings, embedding_reg_weight, projection_reg_weight)
        for _ in range(settings.epochs):
            order = torch.randperm(len(users), generator=generator).to(users.device)
            batches = order.split(settings.batch_size)
            for number, rows in enumerate(batches, 1):
                own = (len(rows),) if settings.per_positive else ()
                negatives = torch.randint(
                    1, len(self.items), (*own, settings.n_negatives), generator=generator
                ).to(self.items.device)
                for optimizer in optimizers:
                    optimizer.zero_grad()
                batch_users = Distinct.of(users[rows])
                loss = batch_loss(
                    self.users[batch_users.values],
                    self.item_table(),
                    batch_users,
                    items[rows],
                    negatives,
                    self.graph,
                    self.weights,
                )
                loss.backward()
                self._check(loss, number)
                for optimizer in optimizers:
                    optimizer.step()

    def _optimizers(
        self, settings: FitSettings, embedding_reg_weight: float, projection_reg_weight: float
    ) -> list[torch.optim.Optimizer]:
        """One for the tables, one for W; coupled weight decay is the gradient of a dense L2."""
        for_tables, for_projection = _LEARNERS[settings.learner]
        rate = settings.learning_rate
        optimizers: list[torch.optim.Optimizer] = [
            for_tables([self.users, self.items], lr=rate, weight_decay=2 * embedding_reg_weight)
        ]
        if self.projection is not None:
            decay = 2 * projection_reg_weight
            optimizers.append(for_projection([self.projection], lr=rate, weight_decay=decay))
        return optimizers

    def _check(self, loss: Tensor, number: int) -> None:
        """Stop at a non-finite loss, before the step; does not synchronize a GPU."""
        if loss.device.type == "cpu" and not math.isfinite(loss.item()):
            columns = {}
            if self.content is not None and self.projection is not None:
                columns = {"the features": self.content, "W": self.projection}
            raise BadNumberError(f"the loss of Gamma_e is {loss.item():g}", columns, number)

    @torch.no_grad()
    def score(self, users: Tensor, items: Tensor, block: int = 65536) -> Tensor:
        """Scores of pairs, ``[n], [n] -> [n]``."""
        table = self.item_table()
        return torch.cat(
            [
                (self.users[u] * table[i]).sum(dim=-1)
                for u, i in zip(users.split(block), items.split(block), strict=True)
            ]
        )


class FullEnvironmentModel:
    """Eq. 2 literally: a new UltraGCN on the interactions of each environment.

    Args:
        users: user of every interaction, ``[n]``.
        items: item of every interaction, ``[n]``.
        n_items: with padding.
        make: makes an untrained model; its argument draws the initial values.
        n_environments: |E|.
        fit: training settings.
        embedding_reg_weight: L2 of all tables, per step.
        projection_reg_weight: L2 of W, per step.

    Deviations:
        Negatives are shared by the batch, unless ``per_positive``. InvRL's code initializes all
        models equally, gives W a bias and scores with an item table that is one step old; here
        every model has its own initial values, no bias and scores with the latest table. See
        ``content.py`` for why this model tends to return its random initialization.
    """

    def __init__(
        self,
        users: Tensor,
        items: Tensor,
        n_items: int,
        make: Callable[[torch.Generator], PlainUltraGCN],
        n_environments: int,
        fit: FitSettings,
        embedding_reg_weight: float,
        projection_reg_weight: float,
    ) -> None:
        self.users, self.items, self.n_items, self.make = users, items, n_items, make
        self.n_environments, self.fit_settings = n_environments, fit
        self.embedding_reg_weight = embedding_reg_weight
        self.projection_reg_weight = projection_reg_weight

    def restart(self, generator: torch.Generator) -> Tensor | None:
        """No state to reset, since every round trains new models; uniform random labels."""
        return None

    def state(self) -> tuple[object, ...]:
        """Nothing is kept between rounds."""
        return ()

    refines = False

    def reseed(self, environment: int, generator: torch.Generator) -> None:
        """No effect, since every round trains new models on the reinitialized labels."""

    def load_state(self, state: tuple[object, ...]) -> None:
        """Nothing is kept between rounds."""

    def fit_and_score(
        self, labels: Tensor, generator: torch.Generator, refinement: float | None = None
    ) -> tuple[Tensor, float]:
        """See :class:`~recbole_painvrl.environments.loop.EnvironmentModel`."""
        draws = torch.randint(1, self.n_items, (len(self.users),), generator=generator)
        draws = draws.to(self.users.device)
        scores, negatives = [], []
        for environment in range(self.n_environments):
            rows = torch.nonzero(labels == environment).squeeze(-1).to(self.users.device)
            model = self.make(generator)
            model.fit(
                self.users[rows],
                self.items[rows],
                self.fit_settings,
                self.embedding_reg_weight,
                generator,
                self.projection_reg_weight,
            )
            scores.append(model.score(self.users, self.items))
            negatives.append(model.score(self.users, draws))
        stacked, negative = torch.stack(scores), torch.stack(negatives)
        best, label = stacked.max(dim=0)
        negative_best = negative.gather(0, label[None]).squeeze(0)
        likelihood = float((F.logsigmoid(best) + F.logsigmoid(-negative_best)).mean())
        if not math.isfinite(likelihood):
            columns = {} if model.content is None else {"the features": model.content}
            raise BadNumberError(f"the likelihood is {likelihood:g}", columns)
        return stacked, likelihood
