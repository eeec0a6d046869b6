"""Estimates of memory grow by what data and settings add, for every model."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from recbole_painvrl.config import SafeConfig
from recbole_painvrl.models import rp3beta
from recbole_painvrl.models.memory import ENTRY, FLOAT, LEARNT, Sizes
from recbole_painvrl.run.memory import estimate

DATA = Sizes(36_656, 76_085, 1_026_000, {"visual": 160, "acoustic": 128, "textual": 96})
EMBEDDED = ("BPR", "LightGCN", "NGCF", "UltraGCN", "InvRL", "PaInvRL", "VBPR", "MMGCN", "MMSSL",
            "FREEDOM", "BM3", "LATTICE", "MICRO", "MGCN", "GRCN", "DualGNN", "DRAGON", "LGMRec",
            "SLMRec", "EliMRec", "MGAT")  # fmt: skip
GRAPHS = ("LightGCN", "NGCF", "MMGCN", "MMSSL", "FREEDOM", "BM3", "LATTICE", "MICRO", "MGCN",
          "GRCN", "DualGNN", "DRAGON", "LGMRec", "SLMRec", "EliMRec", "MGAT", "RP3beta",
          "ContentEASE")  # fmt: skip


def needed(model: str, sizes: Sizes, **settings: Any) -> dict[str, int]:
    return estimate(model, sizes, SafeConfig(model, "planted", overrides=settings))


@pytest.mark.parametrize(
    ("model", "side"),
    [
        (model, side)
        for model in EMBEDDED
        for side in ("users", "items")
        # The items of these have their features alone.
        if side == "users" or model not in ("DualGNN", "DRAGON")
    ],
)
def test_every_user_and_item_has_a_learnt_row(model: str, side: str) -> None:
    """With its gradient and the two moments of Adam."""
    more = replace(DATA, **{side: getattr(DATA, side) + 10_000})
    size = SafeConfig(model, "planted")["embedding_size"]
    first, second = needed(model, DATA)["parameters"], needed(model, more)["parameters"]
    assert second - first >= 4 * FLOAT * size * 10_000


@pytest.mark.parametrize("model", GRAPHS)
def test_every_interaction_is_an_edge(model: str) -> None:
    more = replace(DATA, interactions=DATA.interactions + 10**6)
    first, second = needed(model, DATA), needed(model, more)
    assert second["graphs"] - first["graphs"] >= ENTRY * 10**6
    assert second["dataset"] > first["dataset"]


@pytest.mark.parametrize("model", ["GRCN", "MGAT"])
def test_attention_has_numbers_for_every_edge_and_modality(model: str) -> None:
    more = replace(DATA, interactions=DATA.interactions + 10**6)
    first, second = needed(model, DATA), needed(model, more)
    assert second["edges"] - first["edges"] >= FLOAT * 3 * 10**6


@pytest.mark.parametrize("model", [*EMBEDDED, "RP3beta", "ContentEASE", "Pop"])
def test_every_modality_counts(model: str) -> None:
    """The features of the narrowest, twice while they are aligned."""
    more = replace(DATA, columns={**DATA.columns, "textual": 128})
    first, second = (sum(needed(model, sizes).values()) for sizes in (DATA, more))
    assert second - first >= 2 * FLOAT * DATA.items * 32


def test_a_walk_holds_two_blocks_of_scores() -> None:
    """Over the users and over the items; a block has at least one row."""
    few, many = (needed("RP3beta", replace(DATA, users=n)) for n in (10, 10**8))
    assert few["forward pass"] >= 2 * FLOAT * rp3beta._BLOCK
    assert many["forward pass"] >= FLOAT * 10**8


def edges(n_graphs: int) -> Callable[[Sizes], int]:
    """10 more neighbours of every item in each of some graphs."""
    return lambda sizes: ENTRY * n_graphs * sizes.items * 10


def nodes(numbers: int) -> Callable[[Sizes], int]:
    """Some numbers more of every user and item."""
    return lambda sizes: FLOAT * numbers * (sizes.users + sizes.items)


@pytest.mark.parametrize(
    ("model", "changes", "least"),
    [
        *((model, {"knn_k": (10, 20)}, edges(3))
          for model in ("FREEDOM", "DRAGON", "MGCN", "LATTICE", "MICRO")),
        ("RP3beta", {"form": ("walk", "knn")}, edges(1)),
        ("RP3beta", {"content_weight": (0.0, 0.1)}, edges(1)),
        ("DualGNN", {"user_neighbours": (10, 20)}, lambda sizes: ENTRY * sizes.users * 10),
        ("LGMRec", {"n_hyperedges": (4, 8)}, nodes(3 * 4)),
        ("LGMRec", {"train_features": (False, True)}, nodes(3 * 96)),
        ("SLMRec", {"ssl_task": ("FAC", "FD")}, nodes(64)),
        ("BM3", {"n_layers": (1, 2)}, nodes(2 * 64)),
        ("LATTICE", {"backbone": ("lightgcn", "ngcf")}, nodes(64)),
        # Preferences and the first layer are as wide as what is not projected.
        ("MMGCN", {"latent_size": (64, 64), "latent_modalities": (None, [])},
         lambda sizes: LEARNT * sizes.users * (160 + 128 + 96 - 3 * 64)),
        ("MMGCN", {"latent_modalities": ([], ["textual"])},
         lambda sizes: LEARNT * sizes.users * (256 - 96)),
        ("MGAT", {"latent_size": (16, 64)}, lambda sizes: LEARNT * 3 * 48 * sizes.users),
        ("GRCN", {"content_size": (16, 32)}, lambda sizes: LEARNT * 3 * 16 * sizes.users),
        ("GRCN", {"routing": (True, True), "n_routings": (2, 3)},
         lambda sizes: FLOAT * 3 * sizes.interactions),
        ("MICRO", {"contrast_items": ("batch", "all")}, lambda sizes: FLOAT * 64 * sizes.items),
        ("ContentEASE", {"form": ("whitened", "joint")}, lambda sizes: FLOAT * sizes.items**2),
        ("UltraGCN", {"negative_sampling": ("shared", "per_positive"), "n_negatives": (300, 300),
                      "train_batch_size": (1024, 1024)}, lambda _: FLOAT * 1024 * 300 * 64),
    ],
)  # fmt: skip
def test_what_a_setting_adds(
    model: str, changes: dict[str, tuple[Any, Any]], least: Callable[[Sizes], int]
) -> None:
    """At least the tables that it makes larger."""
    first, second = (
        sum(needed(model, DATA, **{name: pair[n] for name, pair in changes.items()}).values())
        for n in (0, 1)
    )
    assert second - first >= least(DATA)


def test_a_mask_step_has_both_features_of_every_item_that_is_drawn() -> None:
    """Negatives per positive are drawn for every pair of every environment."""
    settings = {"mask_negatives": 9, "mask_batch_size": 512, "n_environments": 2}
    shared, own = (
        needed("PaInvRL", DATA, negative_sampling=mode, **settings)["mask"]
        for mode in ("shared", "per_positive")
    )
    assert own - shared >= FLOAT * 2 * 512 * 9 * 2 * DATA.width
