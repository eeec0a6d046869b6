"""MMGCN (Wei et al., MM '19) with any number of modalities."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from pydantic import Field
from recbole.data.dataset import Dataset
from torch import Tensor, nn

from recbole_painvrl.config.base import ConfigLike, Settings
from recbole_painvrl.errors import UserError, did_you_mean
from recbole_painvrl.functional.propagation import Propagation, interaction_matrices
from recbole_painvrl.models.base import PairwiseRecommender, binary_interactions, require_modalities
from recbole_painvrl.models.memory import ENTRY, FLOAT, LEARNT, Sizes
from recbole_painvrl.seeds import generator
from recbole_painvrl.specs import ModelSpec


class MMGCNSettings(Settings):
    """MMGCN, the paper's and the released behaviour."""

    embedding_size: int = Field(
        ge=1, description="Width of the id embeddings and of every layer's output."
    )
    num_layers: int = Field(ge=1, description="Layers of propagation.")
    latent_size: int = Field(
        ge=1, description="Width to which the modalities of latent_modalities are projected."
    )
    latent_modalities: list[str] | None = Field(
        description="Modalities to project before the first layer; none for those wider than "
        "latent_size."
    )
    concat: bool = Field(
        description="Merge h and x^ by concatenation (as released), or add x^ to the projected h."
    )
    train_ids: bool = Field(
        description="Train id embeddings and preferences (the paper) or keep them random (code)."
    )
    reg_weight: float = Field(
        ge=0,
        description="Weight of the mean squares of ids (batch) and preferences (all).",
    )


# A table of the users' nodes and one of the items'.
Sides = tuple[Tensor, Tensor]
Aggregate = Callable[[Sides, Tensor], Sides]
# Numbers of some users and of some items; None for all of a side.
Nodes = tuple[Tensor | None, Tensor | None]


class MMGCN(PairwiseRecommender):
    """One graph network per modality over the users' and the items' nodes, and their mean.

    For a modality the users' nodes x start from a table of preferences, the items' from the
    features (or their projection), all with rows of length 1. A layer is, with v's neighbours
    N(v) in the training interactions and LeakyReLU of slope 0.01::

        h_v   = LeakyReLU( mean_{n in N(v)} W x_n )      Eq. 1, aggregation
        x^_v  = LeakyReLU( L x_v + c ) + id_v            Eq. 5, with ids all modalities share
        x_v  <- LeakyReLU( G [h_v, x^_v] + e )           combination, ``concat: True``
        x_v  <- LeakyReLU( G h_v + e + x^_v )            ``concat: False``

    The score is the product of the means over modalities. Loss: ``mean -log sigma(s_ui - s_uj)``
    plus ``reg_weight`` times the mean squares of the batch's ids and of the preferences.

    Args:
        config: RecBole configuration; the settings are ``MMGCNSettings``.
        dataset: the training dataset, with at least one modality.

    Raises:
        UserError: the dataset has no modality, or ``latent_modalities`` names one it lacks.

    Deviations:
        *Ids and preferences*: in the release (and in MMRec) these are no parameters and stay
        random, and the regulariser does nothing: ``train_ids: False``. The default trains them,
        as the paper says.
        *Concatenation*: the release's ``concat='False'`` is a text and therefore true;
        ``concat: True`` is what its figures were made with, False is what it prints.
        *Layers*: the release ignores its argument (2) and has 3.
        *Projection*: the release projects the visual modality to 256, and only it; here those
        wider than ``latent_size``, or those of ``latent_modalities``.
        *Regulariser*: the release takes the visual preferences alone (without effect, as they are
        frozen); here the preferences of all modalities, padding left out.
        *Scores* come from the current parameters; the release ranks with the tables of the last
        training step, which are one step older.
        *Features* have rows of length 1 when they arrive, which changes only what is projected:
        the others are normalised by the model itself. There is no dropout, as in the release.
    """

    settings_class = MMGCNSettings
    settings: MMGCNSettings

    def __init__(self, config: ConfigLike, dataset: Dataset) -> None:
        super().__init__(config, dataset)
        require_modalities(self, config, "every network starts from one")
        s = self.settings
        matrix = binary_interactions(dataset)
        users_from_items, items_from_users = interaction_matrices(matrix, "mean")
        self.users_from_items = Propagation(users_from_items).to(self.device)
        self.items_from_users = Propagation(items_from_users).to(self.device)
        self.user_id_embedding = self._table(self.n_users)
        self.item_id_embedding = self._table(self.n_items)
        latent = self._latent_modalities()
        self.networks: Any = nn.ModuleList(
            _Network(self.n_users, part.stop - part.start, s, name in latent)
            for name, part in self.modality_slices.items()
        )
        self.reset()

    def _table(self, rows: int) -> nn.Parameter:
        s = self.settings
        return nn.Parameter(torch.empty(rows, s.embedding_size), requires_grad=s.train_ids)

    def _latent_modalities(self) -> set[str]:
        s = self.settings
        if s.latent_modalities is None:
            widths = {name: part.stop - part.start for name, part in self.modality_slices.items()}
            return {name for name, width in widths.items() if width > s.latent_size}
        for name in s.latent_modalities:
            if name not in self.modality_slices:
                raise UserError(
                    f"`latent_modalities`: no modality `{name}` in use, found "
                    f"{', '.join(self.modality_slices)}{did_you_mean(name, self.modality_slices)}"
                )
        return set(s.latent_modalities)

    def reset(self) -> None:
        """Fresh parameters, distributed as in the release, from the run's seed."""
        source = generator(self.seed, "initial values")
        # Xavier normal of the table that the release has for users and items together.
        std = (2 / (self.n_users + self.n_items + self.settings.embedding_size)) ** 0.5
        with torch.no_grad():
            for table in (self.user_id_embedding, self.item_id_embedding):
                nn.init.normal_(table, std=std, generator=source)
            for network in self.networks:
                network.reset(source)
        self.forget_tables()

    def aggregate(self, x: Sides, weight: Tensor) -> Sides:
        """``mean_{n in N(v)} W x_n`` for users ``[n_users, k]`` and items ``[n_items, k]``.

        ``A (x W^T) = (A x) W^T``: in both directions W multiplies the table of the side that has
        fewer nodes.
        """
        users, items = x
        if self.n_items <= self.n_users:
            to_users = self.users_from_items(items @ weight.T)
            return to_users, self.items_from_users(users) @ weight.T
        to_items = self.items_from_users(users @ weight.T)
        return self.users_from_items(items) @ weight.T, to_items

    def representations(self, nodes: Nodes = (None, None)) -> Sides:
        """Mean over modalities of the last layer, at some users and items or at all of them."""
        ids = (self.user_id_embedding, self.item_id_embedding)
        outputs = [
            network(self.features[:, part], ids, self.aggregate, nodes)
            for network, part in zip(self.networks, self.modality_slices.values(), strict=True)
        ]
        users, items = (torch.stack(side).mean(dim=0) for side in zip(*outputs, strict=True))
        return users, items

    def tables(self) -> tuple[Tensor, Tensor]:
        """Representations of all users ``[n_users, k]`` and of all items ``[n_items, k]``."""
        return self.representations()

    def calculate_loss(self, interaction: Any) -> Tensor:
        """BPR on the batch's triples and the regulariser, where it can train; a scalar."""
        users, positives, negatives = self.triples(interaction)
        items = torch.cat([positives, negatives])
        user, item = self._looked_up(users, items)
        loss = self.bpr(user, *item.split(len(users)))
        if self.settings.train_ids and self.settings.reg_weight:
            penalty = self.note("reg", self._mean_squares(users, items))
            loss = loss + self.settings.reg_weight * penalty
        return loss

    def _looked_up(self, users: Tensor, items: Tensor) -> Sides:
        """Representations at the batch's users and items, repetitions included."""
        # If a batch has more rows than the side has nodes, computing the whole side is less work.
        all_users, all_items = len(users) >= self.n_users, len(items) >= self.n_items
        user, item = self.representations(
            (None if all_users else users, None if all_items else items)
        )
        return (
            user.index_select(0, users) if all_users else user,
            item.index_select(0, items) if all_items else item,
        )

    def _mean_squares(self, users: Tensor, items: Tensor) -> Tensor:
        total = self.user_id_embedding[users].square().mean()
        total = total + self.item_id_embedding[items].square().mean()
        for network in self.networks:
            total = total + network.preference[1:].square().mean()
        return total


class _Network(nn.Module):
    """Layers of one modality; ``latent`` says whether the features are projected first."""

    def __init__(self, n_users: int, width: int, settings: MMGCNSettings, latent: bool) -> None:
        super().__init__()
        self.concat = settings.concat
        start = settings.latent_size if latent else width
        size = settings.embedding_size
        self.preference = nn.Parameter(
            torch.empty(n_users, start), requires_grad=settings.train_ids
        )
        self.projection = nn.Linear(width, start) if latent else None
        widths = [start] + [size] * (settings.num_layers - 1)
        self.neighbour: Any = nn.ModuleList(nn.Linear(w, w, bias=False) for w in widths)
        self.own: Any = nn.ModuleList(nn.Linear(w, size) for w in widths)
        extra = size if self.concat else 0
        self.merge: Any = nn.ModuleList(nn.Linear(w + extra, size) for w in widths)

    def reset(self, source: torch.Generator) -> None:
        """Xavier normal, but PyTorch's default for biases, projection and the later merges."""
        nn.init.xavier_normal_(self.preference, generator=source)
        for layer in [*self.neighbour, *self.own, self.merge[0]]:
            nn.init.xavier_normal_(layer.weight, generator=source)
        projection = [] if self.projection is None else [self.projection]
        for layer in [*self.merge[1:], *projection]:
            nn.init.kaiming_uniform_(layer.weight, a=5**0.5, generator=source)
        for layer in [*self.own, *self.merge, *projection]:
            bound = layer.in_features**-0.5
            nn.init.uniform_(layer.bias, -bound, bound, generator=source)

    def forward(self, features: Tensor, ids: Sides, aggregate: Aggregate, nodes: Nodes) -> Sides:
        """Output of the last layer at some users and items, or at all."""
        items = features if self.projection is None else self.projection(features)
        x = (F.normalize(self.preference), F.normalize(items))
        for layer, neighbour in enumerate(self.neighbour):
            h = aggregate(x, neighbour.weight)
            if layer + 1 == len(self.neighbour):
                # Nothing reads the other nodes after the last aggregation.
                h, x, ids = (_rows(sides, nodes) for sides in (h, x, ids))
            users, items = (self._combine(layer, *side) for side in zip(h, x, ids, strict=True))
            x = (users, items)
        return x

    def _combine(self, layer: int, h: Tensor, x: Tensor, ids: Tensor) -> Tensor:
        """The new x of nodes from their aggregate, their old x and their ids."""
        h = F.leaky_relu(h)
        kept = F.leaky_relu(self.own[layer](x)) + ids
        merge = self.merge[layer]
        if not self.concat:
            return F.leaky_relu(merge(h) + kept)
        # G [h, x^] as two products, which saves copying both into one table.
        by_neighbours, by_itself = merge.weight.split([h.shape[1], kept.shape[1]], dim=1)
        merged = F.linear(h, by_neighbours, merge.bias) + F.linear(kept, by_itself)
        return F.leaky_relu(merged)


def _rows(sides: Sides, nodes: Nodes) -> Sides:
    users, items = (
        side if rows is None else side[rows] for side, rows in zip(sides, nodes, strict=True)
    )
    return users, items


def memory(sizes: Sizes, settings: ConfigLike) -> dict[str, int]:
    """A graph of users and items, and a table per modality and layer."""
    size, n_nodes = settings["embedding_size"], sizes.users + sizes.items
    latent = settings["latent_size"]
    ids, layers, tables = n_nodes * size, 0, 0
    for name, width in sizes.columns.items():
        named = settings["latent_modalities"]
        projected = width > latent if named is None else name in named
        start = latent if projected else width
        ids += sizes.users * start
        layers += start * start + 2 * start * size + (width * start if projected else 0)
        # The first layer at its own width, the others at the embedding's.
        tables += n_nodes * (7 * start + 6 * size * (settings["num_layers"] - 1))
    batch = 6 * len(sizes.columns) * 3 * settings["train_batch_size"] * size
    return {
        "parameters": ids * (LEARNT if settings["train_ids"] else FLOAT) + layers * LEARNT,
        "graphs": 2 * sizes.interactions * ENTRY,
        "forward pass": FLOAT * tables,
        "batch": FLOAT * batch,
    }


SPEC = ModelSpec(
    "MMGCN",
    MMGCN,
    MMGCNSettings,
    needs_modalities=True,
    own_generators=frozenset({"initial values"}),
    memory=memory,
    colour=5,
    groups=frozenset({"paper", "graph"}),
    paper="Wei et al., MM '19: MMGCN, multi-modal graph convolution network",
    url="https://doi.org/10.1145/3343031.3351034",
    idea="A graph network per modality over the interactions, whose outputs are averaged.",
    ranks_cold_items=True,
)
