"""Trains MMSSL: discriminator and generator by turns, and graphs that are refreshed."""

from __future__ import annotations

from typing import Any

import torch
from recbole.data.dataloader.abstract_dataloader import AbstractDataLoader as Loader
from recbole.data.interaction import Interaction
from torch import Tensor

from recbole_painvrl.config.base import ConfigLike
from recbole_painvrl.functional.nearest import nearest_items
from recbole_painvrl.models.mmssl.adversary import Adversary
from recbole_painvrl.models.mmssl.model import MMSSL, Views
from recbole_painvrl.seeds import generator
from recbole_painvrl.training.base import RunTrainer
from recbole_painvrl.training.pipeline import Context, Stage, TrainingStage
from recbole_painvrl.training.user_batches import UserBatches

# As released, the graphs are empty once the second step is over.
_RELEASED_STEPS = 2
_ADVERSARIAL = ("generator", "discriminator")


class MMSSLTrainer(RunTrainer):
    """A step of the discriminator, then one of the model, on every batch of distinct users.

    RecBole's training loader is not used; its epoch loop runs over ``UserBatches``.
    """

    model: MMSSL

    def __init__(self, config: ConfigLike, model: MMSSL) -> None:
        super().__init__(config, model)
        s = self.settings = model.settings
        self._negative_source = generator(model.seed, "negatives", model.device)
        self.batches = UserBatches(
            model.interactions,
            config["train_batch_size"],
            generator(model.seed, "batches", model.device),
            (model.USER_ID, model.ITEM_ID, model.NEG_ITEM_ID),
            self._negative_source,
        )
        n_modalities = len(model.modality_slices)
        self.adversary: Adversary | None = None
        if s.adversarial_weight:
            self.adversary = Adversary(s, model.seed, model.n_items, n_modalities, model.device)
        self.steps = 0
        self._figures: dict[str, Tensor] = {}

    def stages(self) -> list[Stage[Any]]:
        """One stage, whose figures say how the graphs are learnt."""
        self.log.info("learnt graphs: %s", self.graphs_in_words())
        return [_MMSSLStage()]

    def graphs_in_words(self) -> str:
        """Which form of the learnt graphs this run uses."""
        s = self.settings
        if s.graph_update_every == 0:
            return "empty from the third step on, as released (`graph_update_every: 0`)"
        rest = "keep their row" if s.graph_carry_over else "have none"
        return (
            f"refreshed every {s.graph_update_every} steps with the {self.model.n_neighbours} "
            f"nearest items of the users drawn; users not drawn {rest}"
        )

    def _train_epoch(
        self, train_data: Loader, epoch_idx: int, loss_func: Any = None, show_progress: bool = False
    ) -> Any:
        self._figures = {}
        loss = super()._train_epoch(self.batches, epoch_idx, self._step, False)
        figures = {name: float(sums) / len(self.batches) for name, sums in self._figures.items()}
        self.guard.check_figures(figures)
        figures["edges"] = sum(self.model.graphs.edges()) / len(self.model.modality_slices)
        self.log.debug("epoch %d, means: %s", epoch_idx + 1, figures)
        for name, value in figures.items():
            self.tensorboard.add_scalar(f"{self.stage}/{name}", value, epoch_idx)
        return loss

    def further_terms(self) -> dict[str, Tensor]:
        """Scalar losses of this epoch beside the model's own, for the message of a failure."""
        return {name: self._figures[name] for name in _ADVERSARIAL if name in self._figures}

    def _step(self, batch: Interaction) -> Tensor:
        """The discriminator's step and the model's loss; RecBole's loop makes the model's step."""
        model, s = self.model, self.settings
        users, positives, negatives = model.triples(batch)
        views = model.propagate(s.modality_dropout)
        loss: Tensor = model.ranking_loss(views, users, positives, negatives)
        self._note("ranking", loss)
        seen = None
        if self.adversary is not None:
            seen = self.batches.seen(users)
            judged, own = self.adversary.losses(views, users, seen)
            loss = loss + s.adversarial_weight * judged
            self._note("generator", judged)
            self._note("discriminator", own)
        self._update_graphs(views, users, seen)
        return loss

    def _update_graphs(
        self, views: Views, users: Tensor, seen: tuple[Tensor, Tensor] | None
    ) -> None:
        """Collect the batch's nearest items; refresh, or empty the graphs, when it is time."""
        graphs, every = self.model.graphs, self.settings.graph_update_every
        self.steps += 1
        if every == 0:
            if self.steps == _RELEASED_STEPS:
                graphs.clear()
            return
        rows, items = self.batches.seen(users) if seen is None else seen
        with torch.no_grad():
            nearest = [
                nearest_items(user_part[users], item_part, rows, items, graphs.k)
                for user_part, item_part in zip(views.user_content, views.item_content, strict=True)
            ]
        graphs.collect(users, nearest)
        if self.steps % every == 0:
            graphs.refresh()

    def _note(self, name: str, value: Tensor) -> None:
        self._figures[name] = self._figures.get(name, torch.zeros_like(value)) + value.detach()

    def state_dict(self) -> dict[str, Any]:
        """Also what model and optimizer do not hold."""
        return {
            **super().state_dict(),
            "steps": self.steps,
            "adversary": None if self.adversary is None else self.adversary.state_dict(),
            "batch_generators": {name: g.get_state() for name, g in self._generators().items()},
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Inverse of :meth:`state_dict`."""
        super().load_state_dict(state)
        self.steps = state["steps"]
        if self.adversary is not None:
            self.adversary.load_state_dict(state["adversary"])
        for name, source in self._generators().items():
            source.set_state(state["batch_generators"][name].cpu())

    def _generators(self) -> dict[str, torch.Generator]:
        return {
            "batches": self.batches.generator,
            "negatives": self._negative_source,
            "dropout": self.model.dropout_source,
        }


class _MMSSLStage(TrainingStage[MMSSLTrainer]):
    def run(self, context: Context[MMSSLTrainer]) -> dict[str, Any]:
        figures, trainer = super().run(context), context.trainer
        adversary = trainer.adversary
        return {
            **figures,
            "learnt_graphs": trainer.graphs_in_words(),
            "discriminator_columns": 0 if adversary is None else len(adversary.columns),
        }
