"""The form in which the learnt mask enters the final model, and what was found to decide it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from recbole_painvrl.data.negatives import NegativeSampler
from recbole_painvrl.functional.invariance import EnvironmentBatch, Representation, joint_losses
from recbole_painvrl.functional.mask_form import (
    agreement,
    best_form,
    cut_by_modality,
    reversed_columns,
)
from recbole_painvrl.parallel import group
from recbole_painvrl.seeds import FORM_PURPOSES, generator
from recbole_painvrl.training.pipeline import Context, Stage

if TYPE_CHECKING:
    from recbole_painvrl.models.painvrl.mask_stage import MaskStage
    from recbole_painvrl.models.painvrl.trainer import StagedTrainer

# Gradients of an environment: rows per batch, least and most batches, shared negatives.
_BATCH, _FEWEST, _MOST, _NEGATIVES = 512, 8, 64, 256
# Fraction of the columns below the cut that must be reversed for these columns to be spurious: one
# among many is weak evidence.
_REVERSED = 0.05


class FormStage(Stage["StagedTrainer"]):
    """Decides the form of the mask: soft, cut in two, all features, or none.

    Args:
        learnt: the stage that learns the mask.

    Attributes:
        candidates: masks ``[d]`` by name; with more than one, validation decides later.
        mask: m of the final model, ``[d]``, once decided.
        scores: agreement of every column between environments, ``[d]``; None without a test.
        figures: what was decided, and why, for ``result.json``.
    """

    def __init__(self, learnt: MaskStage) -> None:
        super().__init__("form")
        self._learnt = learnt
        self.candidates: dict[str, Tensor] = {}
        self.scores: Tensor | None = None
        self.figures: dict[str, Any] = {}

    @property
    def mask(self) -> Tensor:
        """The mask m of the final model, ``[d]``."""
        return self.candidates[self.figures["used"]]

    def run(self, context: Context[StagedTrainer]) -> dict[str, Any]:
        """Decide, or say what validation has to decide."""
        trainer, learnt = context.trainer, self._learnt.mask
        form = trainer.settings.mask_form
        kept, cuts = cut_by_modality(learnt, trainer.model.modality_slices)
        masks = {
            "ones": torch.ones_like(learnt),
            "soft": learnt,
            "binary": kept,
            "zeros": torch.zeros_like(learnt),
        }
        groups = {
            name: {
                "found": cut.two_groups,
                "explained": cut.explained,
                "gap": cut.gap,
                "power": cut.power,
            }
            for name, cut in cuts.items()
        }
        self.figures = {"form": form, "two_groups": groups}
        # Where nothing is cut, the cut mask is that of all features.
        is_cut = not bool(kept.all())
        names: list[str] = [form if is_cut or form != "binary" else "ones"]
        if form == "auto":
            self.scores = agreement(environment_gradients(self._learnt, trainer.model.seed))
            found = reversed_columns(self.scores.to(learnt.device))
            low = kept == 0
            below, above = int(found[low].sum()), int(found[~low].sum())
            self.figures |= {"reversed_below_cut": below, "reversed_above_cut": above}
            spurious = bool(below) and below >= _REVERSED * int(low.sum())
            names = ["binary", "ones", "zeros"] if spurious else ["ones", "soft", "zeros"]
        elif form == "validation":
            names = [name for name in masks if is_cut or name != "binary"]
        validates = context.valid_data is not None and trainer.config["eval_step"] > 0
        if not validates or trainer.settings.final_model != "UltraGCN":
            names = names[:1]
        self.candidates = {name: masks[name] for name in names}
        if len(names) == 1:
            self.choose(names[0])
        else:
            self.figures |= {"candidates": names}
        return self.figures

    def best(self, scores: Mapping[str, float], select_on: str) -> str:
        """The candidate to take.

        Args:
            scores: validation score of every candidate, higher is better.
            select_on: splits of the scores; with `iid` they cannot show what spurious columns cost.
        """
        blind = self.figures["form"] == "auto" and select_on == "iid"
        return best_form(scores, "binary" if blind else None)

    def choose(self, name: str) -> None:
        """Take a candidate."""
        self.figures |= {"used": name}
        columns, dropped = len(self.mask), int((self.mask == 0).sum())
        self.figures |= {"columns": columns, "dropped": dropped}

    def state_dict(self) -> dict[str, Any]:
        """The decision, once made."""
        if not self.candidates:
            return {}
        return {"candidates": self.candidates, "scores": self.scores, "figures": self.figures}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take over a decision that was made."""
        if state:
            self.candidates, self.figures = state["candidates"], state["figures"]
            self.scores = state["scores"]


@torch.no_grad()
def environment_gradients(learnt: MaskStage, seed: int) -> list[Tensor]:
    """Gradients of the mean loss by W, at W = 0 and all features, ``[n_e, k, d]`` by environment.

    At W = 0 the ids alone give the score, and the gradient says what each column would add to it.

    Args:
        learnt: a finished mask stage.
        seed: of the run.
    """
    learner = learnt.learner
    users, items, tables = learner.users, learner.items, learner.tables
    source = generator(seed, FORM_PURPOSES[0])
    device = learner.mask.device
    negatives = generator(seed, FORM_PURPOSES[1], device)
    draws = NegativeSampler(len(tables.features), _NEGATIVES, "shared", negatives)
    projection = torch.zeros_like(learner.projection)
    whole = Representation(torch.ones_like(learner.mask).unsqueeze(0), None)
    found = []
    for rows, own in zip(learner.rows, learner.own, strict=True):
        order = torch.randperm(len(rows), generator=source)
        batches = []
        for part in order.tensor_split(min(_MOST, max(_FEWEST, len(rows) // _BATCH), len(rows))):
            # Of several processes each has the rows of its users.
            chosen = rows[part.to(device)] if own is None else own.pick(part, len(part))[0]
            chosen = chosen.to(device)
            batch = EnvironmentBatch(users[chosen], items[chosen], draws.draw(users[chosen]))
            _, gradients = joint_losses(whole, projection, [batch], tables, learner.weights)
            batches.append(gradients[0] / len(part))
        found.append(torch.stack(batches))
    group.sum_(found)
    return found
