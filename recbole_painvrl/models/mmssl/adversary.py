"""The adversary of MMSSL: the discriminator, its optimiser and its input rows."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from recbole_painvrl.errors import BadNumberError
from recbole_painvrl.functional.adversarial import gradient_penalty, real_rows, similarity_rows
from recbole_painvrl.functional.dropout import dropout
from recbole_painvrl.models.mmssl.memory import hidden_widths
from recbole_painvrl.seeds import generator

if TYPE_CHECKING:
    from recbole_painvrl.models.mmssl.model import Views
    from recbole_painvrl.models.mmssl.settings import MMSSLSettings

# The output of D lies between 0 and this.
_SCALE = 100.0


class Discriminator(nn.Module):
    """``C -> C/4 -> C/8 -> 1`` with LeakyReLU, batch normalisation and dropout; ``100 sigma(.)``.

    Batch normalisation always uses the batch's own statistics: D is only ever used in training.

    Args:
        n_columns: C, width of a row.
        slope: LeakyReLU's slope below 0; with 1 there is no nonlinearity, as released.
        dropout_rates: of the two hidden layers.
        initial: generator of the initial values, on the CPU.
        noise: generator of the dropout masks, on the device of the run.
    """

    def __init__(
        self,
        n_columns: int,
        slope: float,
        dropout_rates: tuple[float, float],
        initial: torch.Generator,
        noise: torch.Generator,
    ) -> None:
        super().__init__()
        widths = hidden_widths(n_columns)
        self.hidden = nn.ModuleList(
            nn.Linear(before, after)
            for before, after in zip((n_columns, widths[0]), widths, strict=True)
        )
        self.norms = nn.ModuleList(
            nn.BatchNorm1d(width, track_running_stats=False) for width in widths
        )
        self.last = nn.Linear(widths[1], 1)
        self.slope, self.dropout_rates, self.noise = slope, dropout_rates, noise
        linear: list[Any] = [*self.hidden, self.last]
        for layer in linear:
            nn.init.kaiming_normal_(layer.weight, generator=initial)
            nn.init.zeros_(layer.bias)

    def forward(self, rows: Tensor) -> Tensor:
        """D of rows ``[n, C]``, ``[n]``."""
        x = rows
        for layer, norm, rate in zip(self.hidden, self.norms, self.dropout_rates, strict=True):
            x = dropout(norm(F.leaky_relu(layer(x), self.slope)), rate, self.noise)
        result: Tensor = _SCALE * torch.sigmoid(self.last(x)).squeeze(1)
        return result


class Adversary:
    """Learns to tell interaction rows from the modalities' similarities, and judges the latter.

    The discriminator sees the items in ``columns`` only: all of the catalogue if it is small
    enough, else a uniform sample that stays the same, because its weights belong to columns.

    Args:
        settings: ``MMSSLSettings``.
        seed: the run's seed.
        n_items: number of items, padding included.
        n_modalities: number of modalities.
        device: the run's device.
    """

    def __init__(
        self,
        settings: MMSSLSettings,
        seed: int,
        n_items: int,
        n_modalities: int,
        device: torch.device,
    ) -> None:
        self.settings, self.n_modalities = settings, n_modalities
        self.columns = drawn_columns(settings.discriminator_columns, seed, n_items).to(device)
        # Items that the discriminator does not see share one extra index after the last column.
        self._places = torch.full((n_items,), len(self.columns), device=device)
        self._places[self.columns] = torch.arange(len(self.columns), device=device)
        self._noise = generator(seed, "discriminator noise", device)
        self.discriminator = Discriminator(
            len(self.columns),
            settings.discriminator_slope,
            (settings.discriminator_dropout1, settings.discriminator_dropout2),
            generator(seed, "discriminator initial values"),
            self._noise,
        ).to(device)
        self.optimizer = torch.optim.Adam(
            self.discriminator.parameters(),
            lr=settings.discriminator_learning_rate,
            betas=(settings.discriminator_beta1, settings.discriminator_beta2),
            fused=True,
        )

    def losses(self, views: Views, users: Tensor, seen: tuple[Tensor, Tensor]) -> tuple[Any, Any]:
        """One step of the discriminator, then the generator's loss ``-mean D(fake)``.

        Args:
            views: the model's forward pass.
            users: users of the batch, ``[B]``.
            seen: rows and items of their training interactions.

        Returns:
            ``(generator's loss, discriminator's loss without a graph)``.
        """
        mask = self._seen_columns(len(users), seen)
        fake = self._fakes(views, users, mask)
        with torch.no_grad():
            final = similarity_rows(views.users[users], views.items[self.columns], mask)
            real = real_rows(
                mask,
                final,
                self.settings.gumbel_noise,
                self.settings.real_similarity_weight,
                self._noise,
            )
        own = self._step(real, fake.detach())
        # The generator's loss needs gradients by the rows only, not by the discriminator.
        self.discriminator.requires_grad_(False)
        judged = -self.discriminator(fake).mean()
        self.discriminator.requires_grad_(True)
        return judged, own

    def _step(self, real: Tensor, fake: Tensor) -> Tensor:
        """``mean D(fake) - mean D(real) + penalty``, and one step of Adam on it."""
        critic = self.discriminator
        loss: Tensor = critic(fake).mean() - critic(real).mean()
        if self.settings.gradient_penalty_weight:
            penalty = gradient_penalty(critic, real.repeat(self.n_modalities, 1), fake, self._noise)
            loss = loss + self.settings.gradient_penalty_weight * penalty
        self.optimizer.zero_grad()
        loss.backward()
        self._check(loss)
        self.optimizer.step()
        return loss.detach()

    def _check(self, loss: Tensor) -> None:
        """Stop before a step on a non-finite number; does not synchronize a GPU."""
        if loss.device.type != "cpu":
            return
        if not math.isfinite(loss.item()):
            raise BadNumberError(f"the discriminator's loss is {loss.item():g}", {})
        for name, parameter in self.discriminator.named_parameters():
            if parameter.grad is not None and not math.isfinite(parameter.grad.sum().item()):
                raise BadNumberError(f"the gradient of the discriminator's `{name}`", {})

    def _fakes(self, views: Views, users: Tensor, mask: Tensor) -> Tensor:
        """Similarity rows of every modality, one below the other, ``[M B, C]``."""
        return torch.cat(
            [
                similarity_rows(user_part[users], item_part[self.columns], mask)
                for user_part, item_part in zip(views.user_content, views.item_content, strict=True)
            ]
        )

    def _seen_columns(self, n_users: int, seen: tuple[Tensor, Tensor]) -> Tensor:
        rows, items = seen
        shape = (n_users, len(self.columns) + 1)
        mask = torch.zeros(shape, dtype=torch.bool, device=rows.device)
        mask[rows, self._places[items]] = True
        return mask[:, :-1]

    def state_dict(self) -> dict[str, Any]:
        """Everything that changes in training, by reference."""
        return {
            "discriminator": self.discriminator.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "noise": self._noise.get_state(),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Inverse of :meth:`state_dict`."""
        self.discriminator.load_state_dict(state["discriminator"])
        self.optimizer.load_state_dict(state["optimizer"])
        self._noise.set_state(state["noise"].cpu())


def drawn_columns(most: int | None, seed: int, n_items: int) -> Tensor:
    """Items the discriminator sees, ascending, never the padding, ``[C]``."""
    items = torch.arange(1, n_items)
    if most is None or most >= len(items):
        return items
    source = generator(seed, "discriminator columns")
    return items[torch.randperm(len(items), generator=source)[:most]].sort().values
