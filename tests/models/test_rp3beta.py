"""RP3beta: walk and neighbours on dense matrices, what each form needs."""

from __future__ import annotations

import tracemalloc
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from recbole.data.interaction import Interaction
from support import MakeConfig, planted_data
from torch import Tensor
from zoo_support import build, data_with_gaps

from recbole_painvrl.data.dataset import ModalityDataset
from recbole_painvrl.data.planted import PlantedDesign
from recbole_painvrl.data.splits.base import TRAIN
from recbole_painvrl.errors import UserError
from recbole_painvrl.models import closed_form, rp3beta
from recbole_painvrl.models.base import binary_interactions
from recbole_painvrl.run.build import build_model
from recbole_painvrl.testing.laws import scores

UNEQUAL = "--modality_weights={visual: 3.0, acoustic: 1.0}"
WALK = ("--alpha=0.7", "--beta=0.3", "--popularity_prior=0.02", "--content_weight=0.4", "--knn_k=5")
KNN = ("--form=knn", "--knn_k=5")


def all_scores(model: Any) -> Tensor:
    return scores(model).double()


def cosines(model: Any, shrink: float = 0.0) -> Tensor:
    """C of the docstring with 5 neighbours and the weights UNEQUAL, item by item."""
    parts, weights = model.modality_slices, {"visual": 0.75, "acoustic": 0.25}
    table = [weights[m] ** 0.5 * model.features[:, c].double() for m, c in parts.items()]
    table = torch.cat(table, dim=1)
    unit = F.normalize(table)
    found = torch.zeros(model.n_items, model.n_items, dtype=torch.float64)
    for i in range(1, model.n_items):
        others = [j for j in range(1, model.n_items) if j != i]
        for j in sorted(others, key=lambda j: -float(unit[i] @ unit[j]))[:5]:
            lengths = table[i].norm() * table[j].norm()
            found[i, j] = (table[i] @ table[j] / (lengths + shrink).clamp(min=1e-12)).clamp(min=0)
    return found


def test_walk_by_hand(tiny_config: MakeConfig, monkeypatch: pytest.MonkeyPatch) -> None:
    def thinned(dataset: Any) -> Any:
        # Item 5 is cold, and one user has item 6.
        matrix = binary_interactions(dataset).tolil()
        matrix[:, 5:7] = 0
        matrix[3, 6] = 1
        return matrix.tocsr()

    monkeypatch.setattr(closed_form, "binary_interactions", thinned)
    model = build(tiny_config("RP3beta", *WALK, UNEQUAL))
    r = torch.from_numpy(model.interaction_matrix.toarray()).double()
    degrees = r.sum(dim=0)
    to_users = (r.T / degrees.clamp(min=1).unsqueeze(1)) ** 0.7
    to_items = (r / r.sum(dim=1, keepdim=True).clamp(min=1)) ** 0.7
    content = cosines(model)
    content = 0.4 * content / content.sum(dim=1, keepdim=True).clamp(min=1e-12)
    scores = (r @ to_users @ to_items + r @ content) / degrees.clamp(min=1) ** 0.3
    expected = scores + 0.02 * degrees / degrees.max()
    torch.testing.assert_close(all_scores(model), expected[1:], rtol=1e-4, atol=1e-6)
    assert all_scores(model)[:, 5].any()


@pytest.mark.parametrize("shrink", [0.0, 0.8])
def test_neighbours_by_hand(shrink: float, tiny_config: MakeConfig) -> None:
    config = tiny_config("RP3beta", *KNN, UNEQUAL, f"--shrink={shrink}")
    train = ModalityDataset(config).build_parts()[TRAIN]
    # Items that lack a modality are shorter, and item 9 has none.
    for item, name in ((3, "visual"), (4, "acoustic"), (9, "visual"), (9, "acoustic")):
        train.features.matrix[item, train.features.slices[name]] = 0
        train.features.has_row[item, list(train.features.slices).index(name)] = False
    model: Any = build_model(config, train, fast=False)
    r = torch.from_numpy(model.interaction_matrix.toarray()).double()
    expected = (r @ cosines(model, shrink))[1:]
    torch.testing.assert_close(all_scores(model), expected, rtol=1e-4, atol=1e-6)
    assert not all_scores(model)[:, 9].any()


def test_pairs_in_blocks(tiny_config: MakeConfig, monkeypatch: pytest.MonkeyPatch) -> None:
    model = build(tiny_config("RP3beta", *WALK))
    whole = all_scores(model)
    monkeypatch.setattr(rp3beta, "_BLOCK", 300)
    monkeypatch.setattr(closed_form, "_BLOCK", 300)
    torch.testing.assert_close(all_scores(model), whole, rtol=0, atol=0)
    users, items = torch.randint(1, 100, (500,)), torch.randint(1, 80, (500,))
    found = model.predict(Interaction({model.USER_ID: users, model.ITEM_ID: items})).double()
    torch.testing.assert_close(found, whole[users - 1, items], rtol=0, atol=0)


def test_a_block_holds_no_more_scores_of_users_or_items_than_allowed(
    tiny_config: MakeConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    """120 users and 90 items, so that the walk over other users is the wider one."""
    model, sizes = build(tiny_config("RP3beta", *WALK)), list[int]()
    score = model._block_scores
    monkeypatch.setattr(rp3beta, "_BLOCK", 1000)
    monkeypatch.setattr(model, "_block_scores", lambda h: sizes.append(h.shape[0]) or score(h))
    all_scores(model)
    assert sum(sizes) == model.n_users - 1
    assert max(sizes) == 1000 // max(model.n_users, model.n_items)


def test_equal_items_have_equal_scores(
    tiny_config: MakeConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    def with_twins(dataset: Any) -> Any:
        matrix = binary_interactions(dataset).tolil()
        matrix[:, 7] = matrix[:, 3]
        return matrix.tocsr()

    monkeypatch.setattr(closed_form, "binary_interactions", with_twins)
    scores = all_scores(build(tiny_config("RP3beta", "--beta=0.3", "--popularity_prior=0.02")))
    assert torch.equal(scores[:, 3], scores[:, 7])
    assert scores[:, 3].std() > 0


def test_features_are_needed_for_neighbours_alone(tiny_config: MakeConfig) -> None:
    without = "--modalities=[]"
    build(tiny_config("RP3beta", without))
    for argv in (("--form=knn",), ("--content_weight=0.1",)):
        with pytest.raises(UserError, match="needs at least one modality"):
            build(tiny_config("RP3beta", without, *argv))


@pytest.mark.parametrize("form", [WALK, KNN])
def test_modality_order(form: tuple[str, ...], tiny_config: MakeConfig) -> None:
    orders = ("[visual,acoustic]", "[acoustic,visual]")
    one, other = (
        all_scores(build(tiny_config("RP3beta", *form, f"--modalities={o}"))) for o in orders
    )
    torch.testing.assert_close(one, other, rtol=1e-5, atol=1e-6)


def test_nothing_is_square(
    tiny_config: MakeConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What NumPy and SciPy hold grows as the catalogue does."""
    monkeypatch.setattr(rp3beta, "_BLOCK", 2**12)
    peaks = []
    for n in (300, 1200):
        design = PlantedDesign(
            n_users=n, n_items=n, min_interactions=8, max_interactions=8, modalities={"visual": 6}
        )
        config = tiny_config("RP3beta", *WALK, data=planted_data(design, tmp_path / str(n)))
        train = ModalityDataset(config).build_parts()[TRAIN]
        tracemalloc.start()
        model: Any = build_model(config, train, fast=False)
        model.full_sort_predict(Interaction({model.USER_ID: torch.arange(1, 9)}))
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] < 5 * peaks[0], peaks


@pytest.mark.parametrize("words", [KNN, ("--content_weight=1", "--shrink=2", "--knn_k=5")])
def test_what_fills_a_missing_row_is_no_content(
    words: tuple[str, ...], tiny_config: MakeConfig, tmp_path: Path
) -> None:
    data = data_with_gaps(tmp_path)
    filled, empty = (
        build(tiny_config("RP3beta", *words, f"--missing_modality={rule}", data=data))
        for rule in ("mean", "zero")
    )
    assert not torch.equal(filled.features, empty.features)
    torch.testing.assert_close(all_scores(filled), all_scores(empty))
