"""PaInvRL in one file gives the library's numbers from the same seeds, stage by stage."""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from support import MakeConfig
from torch import Tensor

from docs import painvrl_plainly as plainly
from recbole_painvrl.config import SafeConfig
from recbole_painvrl.data.dataset import ModalityDataset
from recbole_painvrl.data.loaders import training_loader
from recbole_painvrl.data.negatives import NegativeSampler
from recbole_painvrl.data.splits.base import TRAIN
from recbole_painvrl.functional.invariance import FrozenTables
from recbole_painvrl.functional.ranking import mean_ndcg
from recbole_painvrl.models.painvrl import PaInvRL
from recbole_painvrl.models.painvrl.environment_stage import identify_environments
from recbole_painvrl.models.painvrl.mask_learner import MaskLearner
from recbole_painvrl.seeds import MASK_PURPOSES, generator

SOURCE = Path(plainly.__file__)
# A value of its own for every constant, and the settings of the library that mean it. The values
# are such that every term weighs: noise that is clipped, w_ERM inside (0, 1).
CONSTANTS: dict[str, tuple[float, tuple[str, ...]]] = {
    "SEED": (7, ("seed",)),
    "K": (6, ("embedding_size", "content_embedding_size")),
    "INIT": (0.3, ("init_std",)),
    "ETA": (0.3, ("eta",)),
    "KAPPA": (0.2, ("kappa",)),
    "N_NEIGHBOURS": (4, ("n_neighbours",)),
    "BATCH": (200, ("train_batch_size", "environment_batch_size", "mask_batch_size")),
    "N_NEGATIVES": (9, ("n_negatives", "environment_negatives", "mask_negatives")),
    "RATE": (0.02, ("learning_rate", "environment_learning_rate", "projection_learning_rate")),
    "TABLE_DECAY": (0.03, ("embedding_reg_weight", "backbone_embedding_reg_weight")),
    "W_DECAY": (
        0.07,
        (
            "projection_reg_weight",
            "backbone_projection_reg_weight",
            "environment_projection_reg_weight",
            "mask_projection_reg_weight",
        ),
    ),
    "BACKBONE_EPOCHS": (3, ("backbone_epochs",)),
    "FINAL_EPOCHS": (2, ("epochs",)),
    "OUTER_ROUNDS": (2, ("outer_rounds",)),
    "N_ENVIRONMENTS": (3, ("n_environments",)),
    "ENVIRONMENT_EPOCHS": (2, ("environment_epochs",)),
    "ENVIRONMENT_ROUNDS": (3, ("environment_rounds",)),
    "TOLERANCE": (0.02, ("environment_tolerance",)),
    "MASK_EPOCHS": (3, ("mask_epochs",)),
    "NOISE": (0.4, ("mask_noise",)),
    "HIDDEN": (5, ("attention_hidden_size",)),
    "STEP_SIZE": (3e-4, ("mask_step_size",)),
    "DECAY": (2.0, ("mask_decay",)),
}
SETTINGS = [f"--{name}={value}" for value, names in CONSTANTS.values() for name in names]


@pytest.fixture(autouse=True)
def _same_constants(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, (value, _) in CONSTANTS.items():
        monkeypatch.setattr(plainly, name, value)


@pytest.fixture
def config(tiny_config: MakeConfig) -> SafeConfig:
    return tiny_config("PaInvRL", "--preset=paper_literal", *SETTINGS)


@pytest.fixture
def library(config: SafeConfig) -> Any:
    return PaInvRL(config, ModalityDataset(config).build_parts()[TRAIN])


@pytest.fixture
def train(config: SafeConfig) -> Any:
    return ModalityDataset(config).build_parts()[TRAIN]


def data_of(library: Any, train: Any) -> plainly.Data:
    users, items = (train.inter_feat[name].long() for name in ("user_id", "item_id"))
    return plainly.Data(users, items, library.features, library.n_users)


def fit(library: Any, loader: Any, n_epochs: int) -> list[float]:
    """What RecBole's trainer does with the library's model: the loss of every epoch."""
    optimizer = torch.optim.Adam(library.parameter_groups(), lr=plainly.RATE)
    losses = []
    for _ in range(n_epochs):
        losses.append(0.0)
        for batch in loader:
            optimizer.zero_grad()
            loss = library.calculate_loss(batch)
            loss.backward()
            optimizer.step()
            losses[-1] += loss.item()
    return losses


def frozen(library: Any) -> FrozenTables:
    return FrozenTables(
        library.user_id_embedding.weight.detach().clone(),
        library.user_content_embedding.weight.detach().clone(),
        library.item_id_embedding.weight.detach().clone(),
        library.features,
        library.graph,
    )


def learner(
    library: Any, data: plainly.Data, tables: FrozenTables, labels: Tensor, mask: Tensor, name: str
) -> MaskLearner:
    s = library.settings
    negatives = NegativeSampler(
        library.n_items,
        s.mask_negatives,
        s.negative_sampling,
        generator(plainly.SEED, f"{name} negatives"),
    )
    draws = [generator(plainly.SEED, f"{name} {purpose}") for purpose in MASK_PURPOSES]
    return MaskLearner(
        data.users, data.items, labels, tables, library.weights, mask, s, negatives, *draws
    )


def library_stages(library: Any, train: Any, loader: Any) -> Iterator[tuple[str, Any]]:
    """Algorithm 1 from the library's parts, as ``StagedTrainer`` puts them together."""
    data = data_of(library, train)
    yield "backbone", fit(library, loader, plainly.BACKBONE_EPOCHS)
    tables, mask = frozen(library), torch.full_like(library.features[0], 0.5)
    for outer in range(1, plainly.OUTER_ROUNDS + 1):
        labels = identify_environments(
            data.users,
            data.items,
            tables,
            mask,
            library.weights,
            library.settings,
            generator(plainly.SEED, f"environments {outer}"),
        ).labels
        yield "environments", labels
        mask_learner = learner(library, data, tables, labels, mask, f"mask {outer}")
        for _ in range(plainly.MASK_EPOCHS):
            mask_learner.run_epoch()
        mask = mask_learner.result()
        yield "mask", (mask, mask_learner.trajectory.steps)
    library.reset("final initial values")
    library.set_mask(mask)
    yield "final", fit(library, loader, plainly.FINAL_EPOCHS)


def close(ours: Any, theirs: Any, rtol: float = 1e-5) -> None:
    torch.testing.assert_close(torch.as_tensor(ours), torch.as_tensor(theirs), rtol=rtol, atol=1e-6)


def test_all_of_algorithm_1(library: Any, train: Any, config: SafeConfig) -> None:
    """Losses of every epoch and joint step, environments, masks and the final model's tables."""
    theirs = library_stages(library, train, training_loader(config, train))
    seen = []
    for (name, ours), (their_name, expected) in zip(
        plainly.painvrl(data_of(library, train)), theirs, strict=True
    ):
        assert name == their_name
        seen.append(name)
        if name == "environments":
            assert torch.equal(ours, expected)
            assert len(ours.unique()) == 3
        elif name == "mask":
            mask, steps = ours
            for column, figure in enumerate(("l_erm", "l_irm", "w_erm")):
                close([step[column] for step in steps], expected[1][figure], rtol=1e-4)
            close(mask, expected[0])
            assert any(0 < step[2] < 1 for step in steps)
        else:
            close(ours.losses, expected)
    assert seen == ["backbone", *["environments", "mask"] * 2, "final"]
    users, items = library.tables()
    everything = torch.arange(len(items)).expand(len(users), -1)
    close(ours.score(torch.arange(len(users)), everything), users @ items.T, rtol=1e-4)


def test_ndcg() -> None:
    data, _, iid, ood = plainly.planted_world(40, 60, 8)
    model = plainly.UltraGCN(
        torch.randn(41, 12), torch.randn(61, 6), torch.randn(6, 8), torch.zeros(6), data.features
    )
    items = torch.cat([model.t, data.features @ model.w.T], dim=1).detach()
    for wanted in (iid, ood):
        users = torch.arange(1, 41).repeat_interleave(wanted.shape[1])
        expected = mean_ndcg(
            model.p.detach(), items, (data.users, data.items), (users, wanted.flatten())
        )
        assert plainly.ndcg(model, data, wanted) == pytest.approx(expected, rel=1e-5)


def test_short_and_alone() -> None:
    text = SOURCE.read_text(encoding="utf-8")
    assert len(text.splitlines()) <= 250
    imported = set()
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Import):
            imported |= {name.name.partition(".")[0] for name in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0
            imported.add(str(node.module).partition(".")[0])
    assert imported - set(sys.stdlib_module_names) == {"torch"}


def test_the_program_prints_a_line_per_stage(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """With the planted environments in the place of Eq. 2 and 9, as ``docs/plainly.md`` has it."""
    monkeypatch.setattr(plainly, "OUTER_ROUNDS", 1)
    monkeypatch.setattr(plainly, "MASK_EPOCHS", 1)
    monkeypatch.setattr(plainly, "identify", lambda *_: plainly.planted_world()[1])
    plainly.main()
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[2] for line in lines] == ["backbone", "environments", "mask", "final"]
    assert "1.000" in lines[1]
