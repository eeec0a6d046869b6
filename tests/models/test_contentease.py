"""ContentEASE: the three forms on dense matrices, missing modalities, sizes."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from oracles import ease
from recbole.data.interaction import Interaction
from support import TINY, MakeConfig, planted_data
from torch import Tensor
from zoo_support import build

from recbole_painvrl.data.folder import write_dataset
from recbole_painvrl.data.planted import generate_planted
from recbole_painvrl.errors import UserError
from recbole_painvrl.functional.closed_form import whitened_map
from recbole_painvrl.models import contentease
from recbole_painvrl.testing.laws import scores

FORMS = {
    "whitened": ("--form=whitened", "--reg_weight=2.0"),
    "bilinear": ("--form=bilinear", "--reg_weight=5.0", "--feature_reg_weight=0.5"),
    "joint": ("--form=joint", "--reg_weight=5.0", "--feature_weight=3.0"),
}
UNEQUAL = "--modality_weights={visual: 3.0, acoustic: 1.0}"


def all_scores(model: Any) -> Tensor:
    return scores(model).double()


def dense(model: Any) -> tuple[Tensor, Tensor]:
    """R and F, ``[n_users, n_items]`` and ``[n_items, d]``, with the weights UNEQUAL."""
    weights = {"visual": 0.75, "acoustic": 0.25}
    f = [
        weights[m] ** 0.5 * model.features[:, c].double() for m, c in model.modality_slices.items()
    ]
    return torch.from_numpy(model.interaction_matrix.toarray()).double(), torch.cat(f, dim=1)


def test_whitened(tiny_config: MakeConfig) -> None:
    model = build(tiny_config("ContentEASE", *FORMS["whitened"], UNEQUAL))
    r, f = dense(model)
    # A pair seen in training keeps the term of the item with itself.
    unseen = r[1:, 1:] == 0
    found, expected = all_scores(model)[:, 1:], (r @ ease(f @ f.T, 2.0))[1:, 1:]
    torch.testing.assert_close(found[unseen], expected[unseen], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("reg_weight", [1e-1, 1e-2, 1e-3, 1e-4, 1e-5, 1e-7])
def test_whitened_with_a_small_ridge(
    reg_weight: float, tiny_config: MakeConfig, tmp_path: Path
) -> None:
    """With more columns than items q is almost 1: scores are right, or refused."""
    design = replace(TINY, modalities={"visual": 80, "acoustic": 40})
    data = planted_data(design, tmp_path / "wide")
    words = ("--form=whitened", f"--reg_weight={reg_weight}", UNEQUAL)
    config = tiny_config("ContentEASE", *words, data=data)
    if reg_weight < 1e-3:
        with pytest.raises(UserError, match=r"`reg_weight`: found .*, too small for the form"):
            build(config)
        return
    model = build(config)
    r, f = dense(model)
    unseen = r[1:, 1:] == 0
    found, expected = all_scores(model)[:, 1:], (r @ ease(f @ f.T, reg_weight))[1:, 1:]
    largest = float(expected[unseen].abs().max())
    torch.testing.assert_close(found[unseen], expected[unseen], rtol=0, atol=1e-2 * largest)


@pytest.mark.parametrize(
    ("words", "names"),
    [
        (("--form=whitened", "--reg_weight=1e-8"), "`reg_weight`: found 1e-08"),
        (
            ("--form=bilinear", "--reg_weight=1e-300", "--feature_reg_weight=2e-300"),
            "`reg_weight`, `feature_reg_weight`: found 1e-300, 2e-300",
        ),
        (
            ("--form=joint", "--reg_weight=1e-9", "--feature_weight=0.0"),
            "`reg_weight`: found 1e-09",
        ),
    ],
)
def test_a_ridge_that_is_too_small(
    words: tuple[str, ...], names: str, tiny_config: MakeConfig, tmp_path: Path
) -> None:
    """Columns that are repeated, and fewer users than items."""
    content = generate_planted(replace(TINY, n_users=20), "tiny")
    features = {
        name: (np.repeat(np.asarray(matrix), 12, axis=1), items)
        for name, (matrix, items) in content.features.items()
    }
    write_dataset(replace(content, features=features), tmp_path / "wide" / "tiny")
    config = tiny_config("ContentEASE", *words, data=tmp_path / "wide")
    with pytest.raises(UserError, match=f"{names}, too small for the form"):
        build(config)


def test_bilinear(tiny_config: MakeConfig) -> None:
    model = build(tiny_config("ContentEASE", *FORMS["bilinear"], UNEQUAL))
    r, f = dense(model)
    pairs = r.T @ r - r.sum(dim=0).diag()
    eye, x = torch.eye(24).double(), r @ f
    w = torch.linalg.inv(x.T @ x + 5 * eye) @ f.T @ pairs @ f @ torch.linalg.inv(f.T @ f + eye / 2)
    torch.testing.assert_close(all_scores(model), (x @ w @ f.T)[1:], rtol=1e-4, atol=1e-5)


def test_joint(tiny_config: MakeConfig) -> None:
    model = build(tiny_config("ContentEASE", *FORMS["joint"], UNEQUAL))
    r, f = dense(model)
    expected = (r @ ease(r.T @ r + 3 * f @ f.T, 5.0))[1:]
    torch.testing.assert_close(all_scores(model), expected, rtol=1e-4, atol=1e-5)


def test_joint_without_features_is_ease(tiny_config: MakeConfig) -> None:
    argv = ("--form=joint", "--reg_weight=5.0", "--feature_weight=0.0")
    one = all_scores(build(tiny_config("ContentEASE", *argv)))
    other = all_scores(build(tiny_config("EASE", "--reg_weight=5.0")))
    torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-5)


def test_products_of_tables(tiny_config: MakeConfig) -> None:
    for form in ("whitened", "bilinear"):
        model = build(tiny_config("ContentEASE", *FORMS[form]))
        users, items = model.tables()
        everybody = Interaction({model.USER_ID: torch.arange(1, model.n_users)})
        in_training = model.train().full_sort_predict(everybody).view(-1, model.n_items)
        products = (users @ items.T)[1:]
        torch.testing.assert_close(products, in_training, rtol=1e-4, atol=1e-5)
        torch.testing.assert_close(products.double(), all_scores(model), rtol=1e-4, atol=1e-5)
    with pytest.raises(NotImplementedError):
        build(tiny_config("ContentEASE", *FORMS["joint"])).tables()


def test_a_new_item_has_the_score_of_a_fit_with_it(tiny_config: MakeConfig) -> None:
    """Also where its direction hardly occurs in training, so that its own row would weigh most."""
    words = ("--form=whitened", "--reg_weight=0.5")
    model = build(tiny_config("ContentEASE", *words))
    new = torch.nn.functional.normalize(model.features[5:8].flip(1) - 0.2)
    found = model.tables()[0] @ model.content_vectors(new).T
    for number, row in enumerate(new):
        items = torch.cat([model.features, row[None]]) * model.column_weights
        fitted = whitened_map(items, 0.5).double()
        row = items[-1].double()
        vector = fitted @ row / (1 - row @ fitted @ row)
        histories = torch.from_numpy(model.interaction_matrix.toarray()).double()
        expected = histories @ items[:-1].double() @ vector
        torch.testing.assert_close(found[:, number].double(), expected, rtol=1e-3, atol=1e-4)


def test_too_many_items(tiny_config: MakeConfig, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(contentease, "_MAX_JOINT_ITEMS", 80)
    with pytest.raises(UserError, match=r"joint holds all pairs of 90 items, .* at most 80 items"):
        build(tiny_config("ContentEASE", *FORMS["joint"]))
    build(tiny_config("ContentEASE", *FORMS["bilinear"]))


@pytest.mark.parametrize("form", FORMS)
def test_modality_order(form: str, tiny_config: MakeConfig) -> None:
    one, other = (
        all_scores(build(tiny_config("ContentEASE", *FORMS[form], f"--modalities={order}")))
        for order in ("[visual,acoustic]", "[acoustic,visual]")
    )
    torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-5)
