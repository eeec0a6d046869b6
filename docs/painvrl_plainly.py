"""PaInvRL (Huang et al., MM '23), plainly: the whole method in one file, with nothing but PyTorch.

It finds which columns of the item features to trust: what is liked in every environment stays,
what is liked in one and disliked in another goes. Read it downwards; see docs/plainly.md.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.utils.data import DataLoader

# Sizes and rates for a small world; in brackets those of the paper, ? where it gives none.
SEED, K, INIT = 0, 8, 0.01  # width of p^t, t, p^f and W f; deviation of initial values [-, 64, ?]
ETA, KAPPA, N_NEIGHBOURS = 1e-4, 1e-2, 10  # weights of L_U and L_I, items in S(i) [1e-4, 1e-2, ?]
BATCH, N_NEGATIVES, RATE = 256, 20, 1e-2  # positives, negatives for each, of Adam [512, ?, ?]
TABLE_DECAY, W_DECAY = 3e-2, 1e-3  # weights of the squared norms of the embeddings and of W [?, ?]
BACKBONE_EPOCHS, FINAL_EPOCHS, OUTER_ROUNDS = 30, 30, 1  # the last is T of Algorithm 1 [?, 500, ?]
N_ENVIRONMENTS, ENVIRONMENT_EPOCHS, ENVIRONMENT_ROUNDS, TOLERANCE = 2, 5, 10, 0.01  # [10, 20, ?, ?]
MASK_EPOCHS, NOISE, HIDDEN = 15, 0.01, 16  # sigma of Eq. 10, hidden units of Eq. 14 [40, ?, ?]
STEP_SIZE, DECAY = 0.03, 0.03  # s and lambda of Eq. 19 [?, 1]; with 1, m goes to 0 everywhere

Score = Callable[[Tensor, Tensor], Tensor]  # of users [B] with items [B, C] of their own, [B, C]


def generator(purpose: str) -> torch.Generator:
    """One random sequence per purpose: drawing more of one leaves the others as they are."""
    digest = hashlib.sha256(f"{SEED}/{purpose}".encode()).digest()
    return torch.Generator().manual_seed(int.from_bytes(digest[:7], "little"))


class Data:
    """Training interactions ``[n]``, features ``[n_items, d]`` and graphs; index 0 is padding."""

    def __init__(self, users: Tensor, items: Tensor, features: Tensor, n_users: int) -> None:
        self.users, self.items, self.features, self.n_users = users, items, features, n_users
        matrix = torch.zeros(n_users, len(features), dtype=torch.float64)
        matrix[users, items] = 1
        d_u, d_i = matrix.sum(dim=1).clamp(min=1), matrix.sum(dim=0)
        self.v = (((d_u + 1).sqrt() / d_u)[:, None] / (d_i + 1).sqrt()).float()  # Eq. 6
        shared = matrix.T @ matrix  # G of Eq. 8: how many users have both items
        g = shared.sum(dim=1)
        s = shared * (g.sqrt() / (g - shared.diagonal()))[:, None] * (1 / g.sqrt())  # Eq. 8
        s = s.fill_diagonal_(0).nan_to_num(0, 0, 0)  # no item is its own neighbour
        similarity, neighbours = s.sort(dim=1, descending=True, stable=True)
        self.similarity = similarity[:, :N_NEIGHBOURS].float()
        self.neighbours = neighbours[:, :N_NEIGHBOURS]  # S(i) of Eq. 7

    def negatives(self, draw: torch.Generator, *shape: int) -> Tensor:
        """Items drawn at random; they stand for all of R^- in Eq. 1."""
        return torch.randint(1, len(self.features), shape, generator=draw)


def ultragcn_loss(score: Score, u: Tensor, i: Tensor, j: Tensor, data: Data) -> Tensor:
    """Eq. 3 of a batch: users ``[B]``, their positives ``[B]`` and sampled negatives ``[B, N]``."""
    scores = score(u, torch.cat([i[:, None], j, data.neighbours[i]], dim=1))
    # softplus(-x) is -log sigmoid(x); the negatives of a positive count as their mean.
    positive, negative = F.softplus(-scores[:, 0]), F.softplus(scores[:, 1 : 1 + j.shape[1]])
    neighbour = F.softplus(-scores[:, 1 + j.shape[1] :])
    l_o = positive.sum() + negative.mean(dim=1).sum()  # Eq. 4, and Eq. 5 is
    l_u = (data.v[u, i] * positive).sum() + (data.v[u[:, None], j] * negative).mean(dim=1).sum()
    l_i = (data.similarity[i] * neighbour).sum()  # Eq. 7
    return l_o + ETA * l_u + KAPPA * l_i


class UltraGCN:
    """``<p^t, t> + <p^f, W x + b>`` (Eq. 15) with content x: f, Phi or Psi; p is [p^t, p^f]."""

    def __init__(self, p: Tensor, t: Tensor, w: Tensor, b: Tensor, content: Tensor) -> None:
        self.p, self.t, self.w = ((INIT * value).requires_grad_() for value in (p, t, w))
        self.b, self.content, self.losses = b, content, list[float]()

    def score(self, users: Tensor, items: Tensor) -> Tensor:
        """Scores of every user with items of its own, ``[B], [B, C] -> [B, C]``."""
        vectors = torch.cat([self.t, self.content @ self.w.T + self.b], dim=1)
        return (self.p[users] @ vectors.T).gather(1, items)

    def fit(self, data: Data, epochs: Iterable[Any], draw: torch.Generator, shared: bool) -> None:
        """Minimise Eq. 3 by Adam over epochs of batches; ``shared``: one set of negatives each."""
        tables = {"params": [self.p, self.t], "weight_decay": 2 * TABLE_DECAY}  # (c x^2)' = 2 c x
        projection = {"params": [self.w, self.b], "weight_decay": 2 * W_DECAY}
        adam = torch.optim.Adam([tables, projection], lr=RATE)
        for epoch in epochs:
            self.losses.append(0.0)
            for rows in epoch:
                u, i = data.users[rows], data.items[rows]
                j = data.negatives(draw, 1 if shared else len(u), N_NEGATIVES).expand(len(u), -1)
                loss = ultragcn_loss(self.score, u, i, j, data)
                adam.zero_grad()
                loss.backward()
                adam.step()
                self.losses[-1] += loss.item()


def identify(data: Data, mask: Tensor, draw: torch.Generator) -> Tensor:
    """The environment of every training interaction (section 3.3; Algorithm 1, lines 2 to 9)."""
    psi, n = (1 - mask) * data.features, len(data.users)  # Eq. 25
    normal, permute = partial(torch.randn, generator=draw), partial(torch.randperm, generator=draw)
    labels = (torch.arange(n) % N_ENVIRONMENTS)[permute(n)]
    for _ in range(ENVIRONMENT_ROUNDS):
        data.negatives(draw, n)  # not used here: the library compares initializations with them
        scores = []
        for e in range(N_ENVIRONMENTS):  # Eq. 2, every model on its own environment
            p, t, w = normal(data.n_users, 2 * K), normal(len(psi), K), normal(K, psi.shape[1])
            model, mine = UltraGCN(p, t, w, torch.zeros(K), psi), (labels == e).nonzero()[:, 0]
            epochs = (mine[permute(len(mine))].split(BATCH) for _ in range(ENVIRONMENT_EPOCHS))
            model.fit(data, epochs, draw, shared=True)
            scores.append(model.score(data.users, data.items[:, None]).detach())
        before, labels = labels, torch.cat(scores, dim=1).argmax(dim=1)  # Eq. 9
        if (labels != before).float().mean() <= TOLERANCE:
            break
    return labels


def pareto_weight(a: Tensor, b: Tensor) -> float:
    """The w_ERM in [0, 1] that makes ``w a + (1 - w) b`` shortest (Eq. 16 to 18)."""
    a, b = a.double(), b.double()
    return float(((b - a) @ b / (a - b).square().sum()).clamp(0, 1))


def learn_mask(data: Data, labels: Tensor, backbone: UltraGCN, m: Tensor, name: str) -> Any:
    """Mask, and (L_ERM, L_IRM, w_ERM) of every step (section 3.4; Algorithm 1, lines 10 to 15)."""
    purposes = "initial values", "order", "gate noise", "negatives"
    values, order, noise, draw = (generator(f"{name} {purpose}") for purpose in purposes)
    p, t, f, d = backbone.p.detach(), backbone.t.detach(), data.features, len(m)
    w = INIT * torch.randn(K, d, generator=values)
    # Two MLPs side by side, of [p^t, p^f] and of [t, f]; alpha^Phi begins above alpha^Psi.
    parts = [torch.randn(n, 2 * HIDDEN, generator=values) for n in (2 * K, K + d)]
    first, bias = torch.cat(parts) / (3 * K + d) ** 0.5, torch.zeros(2 * HIDDEN)
    last = torch.randn(2, HIDDEN, generator=values) / HIDDEN**0.5
    last_bias, m = torch.tensor([1.0, -1.0]), m.clone()
    learnt = [value.requires_grad_() for value in (m, w, first, bias, last, last_bias)]
    groups: list[Any] = [{"params": [w], "weight_decay": 2 * W_DECAY}, {"params": learnt[2:]}]
    adam = torch.optim.Adam(groups, lr=RATE)

    def score(users: Tensor, items: Tensor) -> Tensor:
        user = p[users][:, None].expand(-1, items.shape[1], -1)
        hidden = torch.relu(torch.cat([user, t[items], f[items]], dim=2) @ first + bias)
        alpha = (hidden.unflatten(2, (2, HIDDEN)) * last).sum(dim=3) + last_bias
        alpha_phi, alpha_psi = alpha.sigmoid().split(1, dim=2)  # Eq. 14
        h = alpha_phi * (m * f[items]) + alpha_psi * ((1 - m) * f[items])  # Eq. 13, 24, 25
        return (user * torch.cat([t[items], (mu * h) @ w.T], dim=2)).sum(dim=2)  # Eq. 12, 15

    def batches(rows: Tensor) -> Iterator[Tensor]:
        while True:  # a small environment starts over
            yield from rows[torch.randperm(len(rows), generator=order)].split(BATCH)

    environments, steps = [(labels == e).nonzero()[:, 0] for e in labels.unique()], []
    for _ in range(MASK_EPOCHS):
        streams = [batches(rows) for rows in environments]
        for _ in range(0, max(map(len, environments)), BATCH):
            mu = (m + NOISE * torch.randn(d, generator=noise)).clamp(0, 1)  # Eq. 10
            losses, by_w = list[Tensor](), list[Tensor]()
            for rows in map(next, streams):
                j = data.negatives(draw, len(rows), N_NEGATIVES)
                losses.append(ultragcn_loss(score, data.users[rows], data.items[rows], j, data))
                by_w += torch.autograd.grad(losses[-1], w, create_graph=True)
            l_erm = torch.stack(losses).mean()  # Eq. 12
            variance = torch.stack(by_w).var(dim=0, correction=0)
            l_irm = (variance * mu).square().sum()  # Eq. 11
            a = torch.autograd.grad(l_erm, learnt, retain_graph=True)
            b = torch.autograd.grad(l_irm, learnt)
            weight = pareto_weight(a[0], b[0])
            for value, by_erm, by_irm in zip(learnt, a, b, strict=True):
                value.grad = weight * by_erm + (1 - weight) * by_irm
            adam.step()  # W and the MLPs, of which Algorithm 1 says nothing
            with torch.no_grad():  # Eq. 19, and m stays in [0, 1]
                m.sub_(STEP_SIZE * (m.grad + DECAY * m)).clamp_(0, 1)  # type: ignore[operator]
            steps.append((l_erm.item(), l_irm.item(), weight))
    return m.detach(), steps


def painvrl(data: Data) -> Iterator[tuple[str, Any]]:
    """Backbone, T times environments and mask, final model: the name and result of every stage."""
    order, draw, f = torch.Generator().manual_seed(SEED), generator("negatives"), data.features
    loader: Any = DataLoader(range(len(data.users)), BATCH, shuffle=True, generator=order)  # type: ignore

    def train(content: Tensor, n_epochs: int, values: torch.Generator) -> UltraGCN:
        shapes = (data.n_users, K), (len(f), K), (data.n_users, K), (K, f.shape[1])
        p_t, t, p_f, w = (torch.randn(shape, generator=values) for shape in shapes)
        b = torch.zeros(K, requires_grad=True)
        model = UltraGCN(torch.cat([p_t, p_f], dim=1), t, w, b, content)
        model.fit(data, [loader] * n_epochs, draw, shared=False)
        return model

    backbone = train(f, BACKBONE_EPOCHS, generator("initial values"))  # Eq. 1
    yield "backbone", backbone
    mask = torch.full_like(f[0], 0.5)
    for outer in range(1, OUTER_ROUNDS + 1):
        labels = identify(data, mask, generator(f"environments {outer}"))
        yield "environments", labels
        mask, steps = learn_mask(data, labels, backbone, mask, f"mask {outer}")
        yield "mask", (mask, steps)
    yield "final", train(mask * f, FINAL_EPOCHS, generator("final initial values"))  # Eq. 24, 26


def planted_world(n_users: int = 200, n_items: int = 150, d: int = 32) -> tuple[Any, ...]:
    """Data, true environments, IID and OOD test items ``[n_users, n]``; style is spurious."""
    normal, factors, n_major, n_minor = partial(torch.randn, generator=generator("world")), 8, 24, 6
    content, style = normal(n_items, factors), normal(n_items, factors)
    liked = 2 * normal(n_users, factors) @ content.T / factors**0.5 + normal(n_users, n_items)
    sought = 2 * (normal(factors) + 0.3 * normal(n_users, factors)) @ style.T / factors**0.5
    # Four in five interactions seek the style that the users like, one in five shuns it.
    major = (liked + sought).topk(n_major).indices
    minor = (liked - sought).scatter(1, major, -torch.inf).topk(2 * n_minor).indices + 1
    items = torch.cat([major + 1, minor[:, ::2]], dim=1)
    test = torch.arange(n_major + n_minor) % 6 == 5
    columns = [content @ normal(factors, d // 2), style @ normal(factors, d // 2)]
    f = F.normalize(torch.cat(columns, dim=1) + normal(n_items, d), dim=1)
    users = torch.arange(1, n_users + 1).repeat_interleave(int((~test).sum()))
    data = Data(users, items[:, ~test].flatten(), F.pad(f, (0, 0, 1, 0)), n_users + 1)
    environments = (torch.arange(n_major + n_minor) >= n_major)[~test].long().repeat(n_users)
    return data, environments, items[:, test], minor[:, 1::2]


def ndcg(model: UltraGCN, data: Data, wanted: Tensor, k: int = 10) -> float:
    """Mean NDCG@k for the test items ``wanted [n_users, n]``; items of the training do not rank."""
    users, items = torch.arange(data.n_users), torch.arange(len(data.features))
    scores = model.score(users, items.expand(len(users), -1)).detach()
    scores[data.users, data.items] = scores[:, 0] = -torch.inf
    hits = (scores[1:].topk(k).indices[:, :, None] == wanted[:, None]).any(dim=2)
    discount = 1 / torch.arange(2, k + 2).log2()
    return float((hits * discount).sum(dim=1).mean() / discount[: wanted.shape[1]].sum())


def main() -> None:
    """Run all stages and hold every result against the truth."""
    start, (data, environments, iid, ood) = time.process_time(), planted_world()
    for name, result in painvrl(data):
        if name == "environments":
            same = (result == environments).float().mean()
            text = f"{max(same, 1 - same):.3f} of the interactions as planted"
        elif name == "mask":
            good, bad = result[0].chunk(2)
            auc = (good[:, None] > bad).float().mean()
            text = f"AUC {auc:.3f}, mean {good.mean():.3f} of content and {bad.mean():.3f} of style"
        else:
            text = f"NDCG@10 {ndcg(result, data, iid):.4f} IID, {ndcg(result, data, ood):.4f} OOD"
        print(f"{time.process_time() - start:5.1f} s  {name:14}{text}")


if __name__ == "__main__":
    main()
