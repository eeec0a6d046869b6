"""Random data of given sizes, and single steps of the three learning stages to be timed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from itertools import pairwise
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import scipy.sparse as sp
import torch
from recbole.data.interaction import Interaction
from recbole.utils import get_model
from torch import Tensor

from benchmarks.reference import Recommender, joint_gradients
from recbole_painvrl.config import config_from_arguments
from recbole_painvrl.data.folder import DatasetContent
from recbole_painvrl.data.negatives import NegativeSampler, NegativeSampling
from recbole_painvrl.environments.content import ContentEnvironmentModel, FitSettings
from recbole_painvrl.environments.full import PlainUltraGCN
from recbole_painvrl.functional.graph import degree_factors, item_neighbours
from recbole_painvrl.functional.invariance import EnvironmentBatch, FrozenTables
from recbole_painvrl.functional.ultragcn import GraphWeights, UltraGCNWeights
from recbole_painvrl.models.painvrl.mask_learner import MaskLearner
from recbole_painvrl.models.painvrl.settings import PaInvRLSettings
from recbole_painvrl.training.row_gradients import use_row_gradients

Step = Callable[[], object]
# Name -> step, and the number of interactions that it takes.
Steps = dict[str, tuple[Step, int]]
_SIZE = 64


@dataclass(frozen=True)
class Shape:
    """Sizes of a dataset, without padding, and of the steps on it.

    ``columns`` has the width of every modality; ``batch`` (positives per step and environment) and
    ``n_negatives`` (per positive) are those of the published code.
    """

    n_users: int
    n_items: int
    columns: tuple[int, ...]
    n_interactions: int
    n_environments: int = 10
    batch: int = 512
    n_negatives: int = 50

    def quick(self) -> Shape:
        """A hundredth of these sizes, to try the script."""
        columns = tuple(max(2, width // 50) for width in self.columns)
        n_users, n_items = (max(60, n // 100) for n in (self.n_users, self.n_items))
        return Shape(n_users, n_items, columns, max(600, self.n_interactions // 500), 3, 32, 10)


SHAPES = {
    "movielens": Shape(55_485, 5_986, (2_048, 128, 100), 990_000),
    "tiktok": Shape(36_656, 76_085, (128, 128, 128), 564_000),
}


class RandomData:
    """The interface of a training dataset with random interactions and features.

    Item popularity falls as one over the square root of the rank, so that some items are popular.
    """

    def __init__(self, shape: Shape, seed: int = 0, device: str = "cpu") -> None:
        self.shape, self.device = shape, torch.device(device)
        rng = np.random.default_rng(seed)
        n = shape.n_interactions
        others = rng.integers(0, shape.n_users, max(0, n - shape.n_users))
        users = np.concatenate([np.arange(shape.n_users), others])[:n]
        items = (rng.random(n) ** 2 * shape.n_items).astype(np.int64)
        keys = np.unique(users * shape.n_items + items)
        self.users = torch.from_numpy(keys // shape.n_items + 1).to(device)
        self.items = torch.from_numpy(keys % shape.n_items + 1).to(device)
        source = torch.Generator().manual_seed(seed)
        values = torch.randn(shape.n_items + 1, sum(shape.columns), generator=source)
        table = torch.nn.functional.normalize(values)
        table[0] = 0
        bounds = pairwise(np.cumsum([0, *shape.columns]).tolist())
        slices = {f"modality {n}": slice(*bound) for n, bound in enumerate(bounds)}
        has_row = torch.ones(len(table), len(slices), dtype=torch.bool)
        self.features = SimpleNamespace(matrix=table.to(device), slices=slices, has_row=has_row)

    def dataset(self, name: str) -> DatasetContent:
        """The interactions and features as a dataset, without items that have no interaction."""
        seen, items = np.unique(self.items.numpy(), return_inverse=True)
        tokens = [f"i{index}" for index in seen]
        users = self.users.numpy().astype(np.int32) - 1
        names = pd.Index([f"u{n}" for n in range(self.shape.n_users)])
        # Categories of strings need little memory.
        columns = {
            "user_id": pd.Categorical.from_codes(users, names),
            "item_id": pd.Categorical.from_codes(items.astype(np.int32), pd.Index(tokens)),
        }
        return DatasetContent(
            name,
            "random",
            "synthetic data of the benchmarks",
            "made by this program; no third-party data",
            pd.DataFrame(columns),
            features={"content": (self.features.matrix[seen].numpy(), tokens)},
        )

    def __len__(self) -> int:
        return len(self.users)

    def num(self, field: str) -> int:
        """Users or items, with padding."""
        return 1 + (self.shape.n_users if field == "user_id" else self.shape.n_items)

    def inter_matrix(self, form: str = "csr", value_field: str | None = None) -> Any:
        """Training interactions, SciPy sparse."""
        data = np.ones(len(self.users), dtype=np.float32)
        where = (self.users.cpu().numpy(), self.items.cpu().numpy())
        shape = (self.num("user_id"), self.num("item_id"))
        return sp.coo_matrix((data, where), shape=shape).asformat(form)

    def graph(self, n_neighbours: int) -> GraphWeights:
        """Tables of Eq. 6 and 8."""
        matrix = self.inter_matrix()
        degrees = (torch.from_numpy(matrix.getnnz(axis=a).astype(np.int64)) for a in (1, 0))
        tables = *degree_factors(*degrees), *item_neighbours(matrix, n_neighbours, "paper")
        return GraphWeights(*tables).to(self.device)

    def tables(self, n_neighbours: int) -> FrozenTables:
        """Random tables of a backbone."""
        fields = ("user_id", "user_id", "item_id")
        users, content, items = (
            0.1 * torch.randn(self.num(field), _SIZE, device=self.device) for field in fields
        )
        return FrozenTables(users, content, items, self.features.matrix, self.graph(n_neighbours))

    def batch(self, size: int) -> tuple[Tensor, Tensor]:
        """Users and items of random interactions."""
        rows = torch.randint(0, len(self.users), (size,), device=self.device)
        return self.users[rows], self.items[rows]

    def published_batch(self) -> EnvironmentBatch:
        """A batch as in the published code: negatives drawn for every positive."""
        size = (self.shape.batch, self.shape.n_negatives)
        return EnvironmentBatch(
            *self.batch(self.shape.batch),
            torch.randint(1, self.num("item_id"), size, device=self.device),
        )


def settings(model: str, device: torch.device, *arguments: str) -> Any:
    """The configuration of a model with its defaults."""
    on_gpu = f"--use_gpu={device.type != 'cpu'}"
    return config_from_arguments([f"--model={model}", "--dataset=planted", on_gpu, *arguments])


def mask_steps(data: RandomData, with_attention: bool) -> Steps:
    """One joint step: the published structure, ours with the same draws and with shared negatives.

    With attention (PaInvRL) the losses include L_I, without it (InvRL) they do not. W and the
    attention are trained on the weighted losses, which needs both gradients.
    """
    shape = data.shape
    weights = UltraGCNWeights.from_paper(1e-4, 1e-2 if with_attention else 0.0)
    tables = data.tables(10 if with_attention else 0)
    users, items = data.batch(shape.n_environments * shape.batch)
    labels = torch.arange(len(users), device=data.device) % shape.n_environments
    chosen = PaInvRLSettings.from_config(settings("PaInvRL", data.device)).model_copy(
        update={
            "attention": with_attention,
            "projection_objective": "weighted",
            "mask_batch_size": shape.batch,
        }
    )

    def learner(mode: NegativeSampling, n_negatives: int) -> MaskLearner:
        draws = torch.Generator(data.device).manual_seed(1)
        source = torch.Generator().manual_seed(0)
        negatives = NegativeSampler(data.num("item_id"), n_negatives, mode, draws)
        mask = torch.full((sum(shape.columns),), 0.5, device=data.device)
        return MaskLearner(users, items, labels, tables, weights, mask, chosen, negatives, source)

    exact, shared = learner("per_positive", shape.n_negatives), learner("shared", 64)
    mask = torch.full((sum(shape.columns),), 0.5, device=data.device).requires_grad_()
    projection = (0.01 * torch.randn(_SIZE, len(mask), device=data.device)).requires_grad_()

    def reference() -> None:
        batches = [data.published_batch() for _ in range(shape.n_environments)]
        noise = 0.01 * torch.randn(len(mask), device=data.device)
        joint_gradients(mask, noise, projection, exact.attention, batches, tables, weights)

    steps = {
        "reference": reference,
        "same draws": exact.run_epoch,
        "shared negatives": shared.run_epoch,
    }
    return {name: (step, len(users)) for name, step in steps.items()}


def recommender_steps(data: RandomData, sizes: dict[str, int]) -> Steps:
    """Steps of the final model, ours also in batches of ``sizes``."""
    batch = data.shape.batch
    exact = ("--negative_sampling=per_positive", f"--n_negatives={data.shape.n_negatives}")
    return {
        "reference": (_reference_step(data, False), batch),
        "same draws": (_final_step(data, batch, *exact), batch),
        **{name: (_final_step(data, size), size) for name, size in sizes.items()},
    }


def _reference_step(data: RandomData, adagrad_tables: bool) -> Step:
    matrix = data.features.matrix
    modalities = [matrix[:, columns].contiguous() for columns in data.features.slices.values()]
    recommender = Recommender(
        data.num("user_id"),
        data.num("item_id"),
        modalities,
        torch.full((matrix.shape[1],), 0.5, device=data.device),
        data.graph(10),
        UltraGCNWeights.from_paper(1e-4, 1e-2),
        adagrad_tables=adagrad_tables,
        device=data.device,
    )

    def step() -> None:
        batch = data.published_batch()
        recommender.step(batch.users, batch.positives, batch.negatives)

    return step


def _final_step(data: RandomData, size: int, *arguments: str) -> Step:
    config = settings("PaInvRL", data.device, *arguments)
    model: Any = get_model("PaInvRL")(config, data).to(data.device)
    model.set_mask(torch.full((sum(data.shape.columns),), 0.5, device=data.device))
    optimizer = torch.optim.Adam(model.parameter_groups(), lr=1e-3, fused=True)
    use_row_gradients(config, model, optimizer)

    def step() -> None:
        users, items = data.batch(size)
        optimizer.zero_grad()
        model.calculate_loss(Interaction({"user_id": users, "item_id": items})).backward()
        optimizer.step()

    return step


def environment_steps(data: RandomData, n_batches: int = 2) -> Steps:
    """Training of all environment models on a few batches."""
    defaults = settings("PaInvRL", data.device)
    size = min(int(defaults["environment_batch_size"]), len(data.users))
    fit = FitSettings(1, 1e-3, size, int(defaults["environment_negatives"]), "mixed")
    tables, n_environments = data.tables(10), data.shape.n_environments
    source = torch.Generator().manual_seed(0)
    weights = UltraGCNWeights.from_paper(1e-4, 1e-2)
    full = PlainUltraGCN(tables.features, tables.graph, weights, _SIZE, _SIZE, 0.01, source)
    users, items = data.batch(n_batches * size)
    adam = replace(fit, learner="adam")
    content = ContentEnvironmentModel(
        users, items, tables.user_content, tables.features, n_environments, adam
    )
    labels = torch.arange(len(users), device=data.device) % n_environments
    return {
        "reference": (_reference_step(data, True), data.shape.batch),
        "full, shared negatives": (
            lambda: full.fit(users, items, fit, 1e-4, source, 1e-2),
            len(users),
        ),
        "content": (lambda: content.fit_and_score(labels, source), len(users)),
    }
