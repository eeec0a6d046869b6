"""The environment stage: heterogeneous identification on the training interactions (3.3)."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from tqdm import tqdm

from recbole_painvrl.environments.content import ContentEnvironmentModel, FitSettings
from recbole_painvrl.environments.full import FullEnvironmentModel, PlainUltraGCN
from recbole_painvrl.environments.loop import (
    EnvironmentModel,
    Identification,
    LoopSettings,
    identify,
)
from recbole_painvrl.functional.gate import variant
from recbole_painvrl.functional.invariance import FrozenTables
from recbole_painvrl.functional.ultragcn import UltraGCNWeights
from recbole_painvrl.parallel.shards import OwnRows
from recbole_painvrl.seeds import generator
from recbole_painvrl.training.guard import stopped_at
from recbole_painvrl.training.pipeline import Context, Stage

if TYPE_CHECKING:
    from recbole_painvrl.models.invrl import InvRLSettings
    from recbole_painvrl.models.painvrl.backbone_stage import BackboneStage
    from recbole_painvrl.models.painvrl.mask_stage import MaskStage
    from recbole_painvrl.models.painvrl.settings import PaInvRLSettings
    from recbole_painvrl.models.painvrl.trainer import StagedTrainer

# Above this agreement with its random start a partition has identified nothing.
_UNMOVED = 0.9
_TO_LOWER = "`environment_learning_rate`"


class EnvironmentStage(Stage["StagedTrainer"]):
    """The environments of one outer round: bar, figures, warnings.

    Args:
        outer: number of the outer round, from 1.
        backbone: gives the interactions and the frozen tables.
        mask: the mask stage of the round before, or None in the first round.

    Attributes:
        found: the environments, once finished.
    """

    def __init__(self, outer: int, backbone: BackboneStage, mask: MaskStage | None) -> None:
        super().__init__(f"environments {outer}")
        self._backbone, self._mask = backbone, mask
        self.found: Identification | None = None

    def run(self, context: Context[StagedTrainer]) -> dict[str, Any]:
        """Partition the training interactions."""
        trainer, s = context.trainer, context.trainer.settings
        model, tables = trainer.model, self._backbone.tables
        if self._mask is None:
            mask = torch.full_like(tables.features[0], s.mask_initial)
        else:
            mask = self._mask.mask
        loop = _loop(s)
        n_done = 0
        n_rounds = loop.restarts * loop.scout_rounds + loop.rounds - loop.scout_rounds
        with tqdm(
            total=n_rounds, desc=self.name, disable=not context.show_progress, dynamic_ncols=True
        ) as bar:

            def on_round(start: int, number: int, moved: float, sizes: list[int]) -> None:
                nonlocal n_done
                n_done += 1
                bar.update(1)
                bar.set_postfix_str(f"start {start + 1} moved {moved:.1%}", refresh=False)
                _report_round(trainer, self.name, start, number, moved, sizes)

            with stopped_at(
                lambda: f"stage {self.name}, round {n_done + 1}", model.modality_slices, _TO_LOWER
            ):
                self.found = identify_environments(
                    self._backbone.users,
                    self._backbone.items,
                    tables,
                    mask,
                    model.weights,
                    s,
                    generator(model.seed, self.name, "cpu"),
                    on_round,
                    self._backbone.own,
                )
        if s.n_environments > 1 and self.found.start_agreement > _UNMOVED:
            trainer.log.warning(
                "%s: %.0f %% of the interactions stayed where the random start put them; "
                "no environments were identified",
                self.name,
                100 * self.found.start_agreement,
            )
        return environment_figures(self.found, self._backbone.all_items)

    def state_dict(self) -> dict[str, Any]:
        """The environments, once found; an interrupted search starts again."""
        return {} if self.found is None else {"found": vars(self.found)}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take over environments that were found."""
        if state:
            values = state["found"]
            self.found = Identification(**{**values, "labels": values["labels"].cpu()})


def _report_round(
    trainer: StagedTrainer, name: str, start: int, number: int, moved: float, sizes: list[int]
) -> None:
    trainer.log.debug("%s start %d round %d: %s %s", name, start, number, moved, sizes)
    step = start * trainer.settings.environment_rounds + number
    trainer.tensorboard.add_scalar(f"{name}/moved", moved, step)
    for environment, size in enumerate(sizes):
        trainer.tensorboard.add_scalar(f"{name}/size {environment}", size, step)


def _loop(settings: InvRLSettings | PaInvRLSettings) -> LoopSettings:
    return LoopSettings(
        settings.n_environments,
        settings.environment_rounds,
        settings.environment_tolerance,
        settings.environment_restarts,
    )


def identify_environments(
    users: Tensor,
    items: Tensor,
    tables: FrozenTables,
    mask: Tensor,
    weights: UltraGCNWeights,
    settings: InvRLSettings | PaInvRLSettings,
    draws: torch.Generator,
    on_round: Callable[[int, int, float, list[int]], None] | None = None,
    own: OwnRows | None = None,
) -> Identification:
    """Partition the training interactions with environment models on Psi (Eq. 2, 9, 25).

    With ``environment_features: full`` they are given all of f, and the mask has no effect.

    Args:
        users: user of every training interaction, ``[n]``.
        items: item of every training interaction, ``[n]``.
        tables: the frozen backbone and its graph.
        mask: m learnt so far (0.5 in the first round), ``[d]``.
        weights: scalars of the UltraGCN loss (``environment_model: full``).
        settings: the ``environment_*`` settings.
        draws: every draw of the stage.
        on_round: called with (initialization, round, fraction moved, sizes).
        own: None in a single process. With several: which of all interactions are given here.
    """
    content = tables.features
    if settings.environment_features == "variant":
        content = variant(content, mask)
    model = _environment_model(users, items, tables, content, weights, settings, own)
    n = len(users) if own is None else len(own)
    return identify(model, n, _loop(settings), draws, on_round, own)


def _environment_model(
    users: Tensor,
    items: Tensor,
    tables: FrozenTables,
    content: Tensor,
    weights: UltraGCNWeights,
    settings: InvRLSettings | PaInvRLSettings,
    own: OwnRows | None,
) -> EnvironmentModel:
    """Gamma_e as ``environment_model`` says."""
    fit = FitSettings(
        settings.environment_epochs,
        settings.environment_learning_rate,
        settings.environment_batch_size,
        settings.environment_negatives,
        settings.environment_learner,
    )
    size = settings.n_environments
    if settings.environment_model == "content":
        return ContentEnvironmentModel(users, items, tables.user_content, content, size, fit, own)
    widths = settings.embedding_size, settings.content_embedding_size
    make = partial(PlainUltraGCN, content, tables.graph, weights, *widths, settings.init_std)
    decay = settings.embedding_reg_weight, settings.environment_projection_reg_weight
    return FullEnvironmentModel(users, items, len(content), make, size, fit, *decay)


def environment_figures(found: Identification, items: Tensor) -> dict[str, Any]:
    """Figures of environments that were found for interactions with ``items``, ``[n]``."""
    degree = torch.bincount(items).float()
    n_environments = len(found.sizes[-1])
    return {
        "rounds": len(found.moves),
        "sizes": found.sizes[-1],
        "moved": found.moves[-1],
        "start_agreement": found.start_agreement,
        "mean_item_degree": [
            float(degree[items[found.labels == e]].mean()) for e in range(n_environments)
        ],
        "stability": found.stability,
        "likelihoods": found.likelihoods,
        "reseeded": sum(len(empty) for empty in found.reseeded),
        "history": [
            {"round": number, "moved": moved, "sizes": sizes}
            for number, (moved, sizes) in enumerate(zip(found.moves, found.sizes, strict=True), 1)
        ],
    }
