"""Sizes of MMSSL's training: the memory that it takes, and the layers of its discriminator."""

from __future__ import annotations

from recbole_painvrl.config.base import ConfigLike
from recbole_painvrl.models.memory import ENTRY, FLOAT, Sizes

# A parameter, its gradient and two moments of Adam.
_LEARNT = 4 * FLOAT


def memory(sizes: Sizes, settings: ConfigLike) -> dict[str, int]:
    """Bytes of the largest parts at the height of a step; the dataset comes on top."""
    size, n_modalities = settings["embedding_size"], len(sizes.columns)
    batch_size, n_columns = settings["train_batch_size"], 0
    if settings["adversarial_weight"]:
        n_columns = min(settings["discriminator_columns"] or sizes.items, sizes.items)
    n_learnt = (sizes.users + sizes.items) * size + (sizes.width + n_modalities) * size
    n_learnt += (settings["n_heads"] + 2) * size * size
    table = (sizes.users + sizes.items) * size * FLOAT
    # Tables alive between forward and backward: per modality the projection, content, ids and
    # normalised forms; per head what it blends; per layer users, items and sums. The
    # estimate of a whole run is 16 % above the peaks of 5,948 x 680 and 55,485 x 5,974, and 4 %
    # above that of 19 minutes of an epoch at 36,656 x 76,085, 4,096 users a step.
    tables = 7 * n_modalities + settings["n_heads"] + 2 * settings["n_layers"] + 6
    # To users and to items, of R itself and of every modality's graph.
    graphs = 2 * (1 + n_modalities) * sizes.interactions * ENTRY
    # Scores for the nearest items, a block at a time.
    nearest = 2 * min(batch_size * sizes.items, 2**24) * FLOAT
    return {
        "parameters": n_learnt * _LEARNT,
        "features": sizes.items * sizes.width * FLOAT,
        "graphs": graphs,
        "forward pass": tables * table + nearest,
        "discriminator": _discriminator(n_columns, batch_size, n_modalities),
    }


def hidden_widths(n_columns: int) -> tuple[int, int]:
    """Widths of the two hidden layers of the discriminator."""
    return max(1, n_columns // 4), max(1, n_columns // 8)


def _discriminator(n_columns: int, batch_size: int, n_modalities: int) -> int:
    if n_columns == 0:
        return 0
    first, second = hidden_widths(n_columns)
    weights = n_columns * first + first * second
    rows = batch_size * n_modalities
    # Real, fake and mixed rows with their gradients, and a few hidden layers of each.
    return weights * _LEARNT + FLOAT * rows * (8 * n_columns + 30 * (first + second))
