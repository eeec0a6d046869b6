"""Invariant mask generation (section 3.4; Algorithm 1, lines 10 to 15)."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from recbole_painvrl.data.negatives import NegativeSampler
from recbole_painvrl.functional.attention import PairAttention
from recbole_painvrl.functional.gate import clipped_gate
from recbole_painvrl.functional.invariance import (
    EnvironmentBatch,
    FrozenTables,
    Representation,
    joint_losses,
)
from recbole_painvrl.functional.pareto import (
    ParetoWeights,
    mask_direction,
    mask_step,
    pareto_weights,
)
from recbole_painvrl.functional.ultragcn import UltraGCNWeights
from recbole_painvrl.models.painvrl.joint_step import joint_gradients, sharded_gradients
from recbole_painvrl.parallel.shards import OwnRows
from recbole_painvrl.training.guard import check_step, in_batch

if TYPE_CHECKING:
    from recbole_painvrl.models.invrl import InvRLSettings
    from recbole_painvrl.models.painvrl.settings import PaInvRLSettings

STEP_FIGURES = (
    *("l_erm", "l_irm", "norm_erm", "norm_irm", "cosine"),
    *("w_erm", "effective_w_erm", "stationarity"),
)


@dataclass
class Trajectory:
    """Figures of every joint step, and of the mask after every epoch.

    Attributes:
        steps: one list per name in ``STEP_FIGURES``.
        epochs: one dict per epoch: means of the step figures, seconds, mask statistics.
    """

    steps: dict[str, list[float]] = field(
        default_factory=lambda: {name: [] for name in STEP_FIGURES}
    )
    epochs: list[dict[str, Any]] = field(default_factory=list)


class MaskLearner:
    """Learns m with W and the attention, everything else frozen (Eq. 10 to 19).

    Args:
        users: user of every training interaction, ``[n]``.
        items: item of every training interaction, ``[n]``.
        environments: label of every training interaction, ``[n]``.
        tables: the frozen backbone and its graph.
        weights: scalars of the UltraGCN loss.
        mask: m to start from, ``[d]``.
        settings: of the model, of which those of the mask stage are read.
        negatives: draws negatives.
        generator: initial values.
        order: order of the interactions; None for ``generator``.
        noise: gate noise; None for ``generator``.
        own: where several processes learn, which of all interactions are those of ``users`` and
            ``items``; ``environments`` has the labels of all, on the CPU. See ``joint_step.py``.

    Deviations:
        Algorithm 1 never updates Theta^mask, with which m could learn nothing: W and the MLPs
        take one Adam step on the same weighted losses. ``projection_objective: erm`` gives them
        L_ERM alone, so that W stays the best projection for the current gate in place of one
        that shrinks to make L_IRM small. A joint step without a batch of every environment does
        not happen: shorter environments start over.
    """

    def __init__(
        self,
        users: Tensor,
        items: Tensor,
        environments: Tensor,
        tables: FrozenTables,
        weights: UltraGCNWeights,
        mask: Tensor,
        settings: InvRLSettings | PaInvRLSettings,
        negatives: NegativeSampler,
        generator: torch.Generator,
        order: torch.Generator | None = None,
        noise: torch.Generator | None = None,
        own: OwnRows | None = None,
    ) -> None:
        self.users, self.items, self.tables, self.weights = users, items, tables, weights
        self.settings, self.negatives, self.generator = settings, negatives, generator
        self.order, self.noise = order or generator, noise or generator
        self.rows = [
            torch.nonzero(environments == label).squeeze(-1)
            for label in torch.unique(environments).tolist()
        ]
        self.own = [None if own is None else own.among(rows) for rows in self.rows]
        device, k = mask.device, tables.user_content.shape[1]
        n_ids, d = tables.item_id.shape[1], tables.features.shape[1]
        self.mask = mask.clone().requires_grad_()
        start = settings.init_std * torch.randn(k, d, generator=generator)
        self.projection = start.to(device).requires_grad_()
        self.attention: PairAttention | None = None
        if settings.attention:
            self.attention = PairAttention(
                n_ids + k,
                n_ids + d,
                settings.attention_hidden_size,
                settings.attention_output,
                generator,
            ).to(device)
        extra = [] if self.attention is None else list(self.attention.parameters())
        self.learnt: list[Tensor] = [self.projection, *extra]
        # Coupled weight decay is the gradient of the L2 term; it is the same in every environment
        # and cancels in Var_e.
        decay = 2 * settings.mask_projection_reg_weight
        groups: list[dict[str, Any]] = [{"params": [self.projection], "weight_decay": decay}]
        if extra:
            groups.append({"params": extra})
        self.optimizer = torch.optim.Adam(groups, lr=settings.projection_learning_rate)
        self.mask_optimizer: torch.optim.Optimizer | None = None
        if settings.mask_optimizer == "adam":
            self.mask_optimizer = torch.optim.Adam([self.mask], lr=settings.mask_step_size)
        self.trajectory = Trajectory()

    def run_epoch(self) -> dict[str, float]:
        """One pass over the largest environment; returns the means of the step figures."""
        n_steps = math.ceil(max(len(rows) for rows in self.rows) / self.settings.mask_batch_size)
        streams = [self._stream(*pair) for pair in zip(self.rows, self.own, strict=True)]
        first = len(self.trajectory.steps["l_erm"])
        for step, noise in enumerate(self._noise(n_steps)):
            with in_batch(step + 1):
                figures = self._joint_step([next(stream) for stream in streams], noise)
            for name, value in figures.items():
                self.trajectory.steps[name].append(value)
        return {
            name: sum(values[first:]) / max(1, len(values) - first)
            for name, values in self.trajectory.steps.items()
        }

    def result(self) -> Tensor:
        """The mask in [0, 1], as it enters Phi and Psi (Eq. 24, 25), ``[d]``."""
        return self.mask.detach().clamp(0.0, 1.0)

    def state_dict(self) -> dict[str, Any]:
        """Everything that changes between epochs, by reference."""
        steps, adam = self.trajectory.steps.items(), self.mask_optimizer
        return {
            "mask": self.mask.detach(),
            "learnt": [variable.detach() for variable in self.learnt],
            "optimizer": self.optimizer.state_dict(),
            "mask_optimizer": None if adam is None else adam.state_dict(),
            "generators": {name: g.get_state() for name, g in self._generators().items()},
            "steps": {name: torch.tensor(values, dtype=torch.float64) for name, values in steps},
            "epochs": self.trajectory.epochs,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Inverse of :meth:`state_dict`."""
        with torch.no_grad():
            self.mask.copy_(state["mask"])
            for variable, values in zip(self.learnt, state["learnt"], strict=True):
                variable.copy_(values)
        self.optimizer.load_state_dict(state["optimizer"])
        if self.mask_optimizer is not None:
            self.mask_optimizer.load_state_dict(state["mask_optimizer"])
        for name, source in self._generators().items():
            source.set_state(state["generators"][name].cpu())
        self.trajectory.steps = {name: values.tolist() for name, values in state["steps"].items()}
        self.trajectory.epochs = list(state["epochs"])

    def _generators(self) -> dict[str, torch.Generator]:
        return {"order": self.order, "noise": self.noise, "negatives": self.negatives.generator}

    def _stream(self, rows: Tensor, own: OwnRows | None = None) -> Iterator[EnvironmentBatch]:
        """Batches of one environment without end; a new random order at every pass."""
        size, device = self.settings.mask_batch_size, self.mask.device
        while True:
            # To the device at once, not batch by batch.
            order = torch.randperm(len(rows), generator=self.order)
            if own is None:
                batches = rows[order.to(device)].split(size)
            else:
                chosen, _, counts = own.pick(order, size)
                batches = chosen.to(device).split(counts)
            for chosen in batches:
                users = self.users[chosen]
                yield EnvironmentBatch(users, self.items[chosen], self.negatives.draw(users))

    def _noise(self, n_steps: int) -> Tensor:
        """Gate noise of the steps of an epoch, ``[n_steps, d]``, moved to the device at once."""
        draws = [torch.randn(len(self.mask), generator=self.noise) for _ in range(n_steps)]
        return self.settings.mask_noise * torch.stack(draws).to(self.mask.device)

    def _joint_step(self, batches: list[EnvironmentBatch], noise: Tensor) -> dict[str, float]:
        settings = self.settings
        gate = clipped_gate(self.mask, noise)
        representation = Representation.build(self.mask, gate, self.attention, settings.outer_gate)
        losses, gradients = joint_losses(
            representation, self.projection, batches, self.tables, self.weights
        )
        penalty_gate = gate if settings.penalty_gate == "noisy" else self.mask
        variables = [self.mask, *self.learnt]
        # Only the weighted objective needs L_IRM's gradient by W and the attention; without it
        # the backward never enters the attention's hidden layer, since alpha is free of m.
        wanted = variables if settings.projection_objective == "weighted" else variables[:1]
        step = joint_gradients if self.own[0] is None else sharded_gradients
        (erm, irm), by_erm, by_irm = step(
            losses, gradients, penalty_gate, settings.variance, variables, wanted
        )
        chosen = self._weights(by_erm[0], by_irm[0], erm, irm)
        # The host has waited for all of these numbers.
        check_step(
            {"L_ERM": erm, "L_IRM": irm},
            {"L_ERM": chosen.norm_erm, "L_IRM": chosen.norm_irm},
            lambda: self._by_column(by_erm, by_irm),
        )
        self._update(by_erm, by_irm, chosen)
        return {
            "l_erm": erm,
            "l_irm": irm,
            "norm_erm": chosen.norm_erm,
            "norm_irm": chosen.norm_irm,
            "cosine": chosen.cosine,
            "w_erm": chosen.w_erm,
            "effective_w_erm": chosen.effective_w_erm,
            "stationarity": chosen.stationarity,
        }

    def _weights(self, by_erm: Tensor, by_irm: Tensor, l_erm: float, l_irm: float) -> ParetoWeights:
        settings = self.settings
        if settings.loss_weighting == "fixed":
            # L_ERM + alpha L_IRM, written with weights that sum to 1 and its scale restored.
            total = 1.0 + settings.irm_weight
            plain = pareto_weights(by_erm, by_irm, l_erm, l_irm, "none", 1.0 / total)
            scaled = {"scale_erm": total, "scale_irm": total}
            return replace(plain, **scaled, stationarity=plain.stationarity * total)
        fixed = {"pareto": None, "erm": 1.0, "irm": 0.0}[settings.loss_weighting]
        return pareto_weights(by_erm, by_irm, l_erm, l_irm, settings.gradient_normalization, fixed)

    def _by_column(
        self, by_erm: tuple[Tensor, ...], by_irm: tuple[Tensor, ...]
    ) -> dict[str, Tensor]:
        """All tensors of a step that have one entry per feature column, by name."""
        return {
            "the features": self.tables.features,
            "the mask": self.mask,
            "W": self.projection,
            "the mask's gradient of L_ERM": by_erm[0],
            "the mask's gradient of L_IRM": by_irm[0],
            "W's gradient of L_ERM": by_erm[1],
        }

    @torch.no_grad()
    def _update(
        self, by_erm: tuple[Tensor, ...], by_irm: tuple[Tensor, ...], chosen: ParetoWeights
    ) -> None:
        settings = self.settings
        direction = mask_direction(by_erm[0], by_irm[0], chosen)
        project = settings.mask_clipping == "every_step"
        weighted = settings.projection_objective == "weighted"
        for number, (variable, erm) in enumerate(zip(self.learnt, by_erm[1:], strict=True), 1):
            variable.grad = mask_direction(erm, by_irm[number], chosen) if weighted else erm
        if self.mask_optimizer is None:
            self.mask.copy_(
                mask_step(
                    self.mask,
                    direction,
                    settings.mask_step_size,
                    settings.mask_decay,
                    settings.mask_center,
                    project,
                )
            )
        else:
            self.mask.grad = direction + settings.mask_decay * (self.mask - settings.mask_center)
            self.mask_optimizer.step()
            if project:
                self.mask.clamp_(0.0, 1.0)
        self.optimizer.step()
