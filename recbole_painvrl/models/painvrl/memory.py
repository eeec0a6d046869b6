"""Memory and random generators of the stages, of PaInvRL and InvRL."""

from __future__ import annotations

from recbole_painvrl.config.base import ConfigLike
from recbole_painvrl.models import ultragcn
from recbole_painvrl.models.memory import FLOAT, Sizes
from recbole_painvrl.seeds import FORM_PURPOSES, MASK_PURPOSES


def staged_memory(sizes: Sizes, settings: ConfigLike) -> dict[str, int]:
    """UltraGCN's, and what searching environments and learning the mask take."""
    parts = ultragcn.memory(sizes, settings)
    content, width = settings["content_embedding_size"], sizes.width
    n_environments = settings["n_environments"]
    # Reach of every pair in every environment, with the gathered rows and gradients.
    reach = n_environments * width * (4 * settings["environment_batch_size"] + 2 * 8192)
    kept = settings["environment_restarts"] * 4 * n_environments * content * width
    batch, negatives = settings["mask_batch_size"], settings["mask_negatives"]
    pairs = n_environments * batch
    drawn = pairs * (1 + settings["n_neighbours"])
    shared = settings["negative_sampling"] == "shared"
    drawn += negatives if shared else pairs * negatives
    local = min(sizes.items, drawn)
    # Features of the step's items twice, and A_e per environment, branch and kind of pair.
    tables = local * (2 * width + 12 * n_environments * content)
    attention = pairs * (negatives + settings["n_neighbours"] + 1)
    attention *= 8 * (settings["attention_hidden_size"] or 0)
    own_vectors = pairs * settings["n_neighbours"] * content * 6
    own_vectors += 0 if shared else pairs * negatives * content * 6
    return {
        **parts,
        "environments": FLOAT * (reach + kept + sizes.items * width + sizes.interactions * 6),
        "mask": FLOAT * (tables + attention + own_vectors),
    }


def staged_purposes(outer_rounds: int) -> list[str]:
    """Generators of the stages, by number of the outer round."""
    names = ["final initial values", *FORM_PURPOSES]
    for number in range(1, outer_rounds + 1):
        names.append(f"environments {number}")
        names += [f"mask {number} {purpose}" for purpose in (*MASK_PURPOSES, "negatives")]
    return names
