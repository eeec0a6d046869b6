"""How much memory training MMSSL will take, said before it starts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from recbole_painvrl.config.base import ConfigLike
from recbole_painvrl.models.memory import ENTRY, FLOAT, Sizes, short_size
from recbole_painvrl.models.mmssl.adversary import hidden_widths

if TYPE_CHECKING:
    from recbole_painvrl.models.mmssl.model import MMSSL

# A parameter, its gradient and two moments of Adam.
_LEARNT = 4 * FLOAT


def estimated_memory(model: MMSSL, batch_size: int, n_columns: int) -> dict[str, int]:
    """Bytes of the largest parts at the height of a step; the dataset comes on top.

    Args:
        model: the model (sizes, settings, interactions).
        batch_size: users in a batch, B.
        n_columns: C, items the discriminator sees; 0 without one.
    """
    widths = [part.stop - part.start for part in model.modality_slices.values()]
    sizes = model.n_users, model.n_items, model.interactions.nnz
    return mmssl_parts(*sizes, widths, model.settings.model_dump(), batch_size, n_columns)


def memory(sizes: Sizes, settings: ConfigLike) -> dict[str, int]:
    """The same before the model exists."""
    columns = 0
    if settings["adversarial_weight"]:
        columns = min(settings["discriminator_columns"] or sizes.items, sizes.items)
    return mmssl_parts(
        *(sizes.users, sizes.items, sizes.interactions, list(sizes.columns.values())),
        *(settings, settings["train_batch_size"], columns),
    )


def mmssl_parts(
    n_users: int,
    n_items: int,
    n_entries: int,
    widths: Sequence[int],
    settings: ConfigLike,
    batch_size: int,
    n_columns: int,
) -> dict[str, int]:
    """The same from plain sizes: ``n_entries`` training pairs, one width per modality."""
    size, n_modalities = settings["embedding_size"], len(widths)
    n_learnt = (n_users + n_items) * size + sum(width * size + size for width in widths)
    n_learnt += (settings["n_heads"] + 2) * size * size
    table = (n_users + n_items) * size * FLOAT
    # Tables alive between forward and backward: per modality the projection, content, ids and
    # normalised forms; per head what it blends; per layer users, items and sums. The
    # estimate of a whole run is 16 % above the peaks of 5,948 x 680 and 55,485 x 5,974, and 4 %
    # above that of 19 minutes of an epoch at 36,656 x 76,085, 4,096 users a step.
    tables = 7 * n_modalities + settings["n_heads"] + 2 * settings["n_layers"] + 6
    # To users and to items, of R itself and of every modality's graph.
    graphs = 2 * (1 + n_modalities) * n_entries * ENTRY
    return {
        "parameters": n_learnt * _LEARNT,
        "features": n_items * sum(widths) * FLOAT,
        "graphs": graphs,
        "forward pass": tables * table + _nearest(n_items, batch_size),
        "discriminator": _discriminator(n_columns, batch_size, n_modalities),
    }


def in_words(parts: dict[str, int]) -> str:
    """One line: the sum and its parts."""
    each = ", ".join(f"{name} {short_size(size)}" for name, size in parts.items())
    return f"memory needed beside the dataset: about {short_size(sum(parts.values()))} ({each})"


def _nearest(n_items: int, batch_size: int) -> int:
    """Scores for the nearest items, a block at a time."""
    return FLOAT * 2 * min(batch_size * n_items, 2**24)


def _discriminator(n_columns: int, batch_size: int, n_modalities: int) -> int:
    if n_columns == 0:
        return 0
    first, second = hidden_widths(n_columns)
    weights = n_columns * first + first * second
    rows = batch_size * n_modalities
    # Real, fake and mixed rows with their gradients, and a few hidden layers of each.
    return weights * _LEARNT + FLOAT * rows * (8 * n_columns + 30 * (first + second))
