"""One call of ``recommend``: files in, lists out, and what to say about it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path
from typing import Any

import torch

from recbole_painvrl.errors import UserError, did_you_mean
from recbole_painvrl.inference.cold import NewItems, read_new_items, require_content
from recbole_painvrl.inference.files import (
    FORMATS,
    check_out,
    read_histories,
    read_ids,
    write_recommendations,
)
from recbole_painvrl.inference.loading import LoadedRun, load_run
from recbole_painvrl.inference.recommending import Exclude, Recommended, Recommender
from recbole_painvrl.inference.scoring import Scorer, Unseen
from recbole_painvrl.inference.vectors import scores_by_content
from recbole_painvrl.run.threads import cpu_threads

_EXCLUDED = {
    "all": "all known interactions are left out, those of the tests, too",
    "train": "training and validation interactions are left out",
    "none": "known interactions are not left out",
}
_UNSEEN = {
    "content": "are scored through their content",
    "leave-out": "are left out",
    "as-trained": "are scored by vectors that were never trained",
}


@dataclass(frozen=True)
class Request:
    """What ``recommend`` is asked for; the help page of the command explains every field."""

    run: str
    out: str
    users: str | None = None
    items: str | None = None
    new_users: str | None = None
    new_items: str | None = None
    k: int = 10
    exclude: Exclude = "all"
    unseen_items: Unseen | None = None
    map_features: float | None = None
    block: int | None = None
    data_path: str | None = None


@dataclass
class _Summary:
    """What to tell the user: sums over the blocks that pass by, and notes."""

    users: int = 0
    rows: int = 0
    short: int = 0
    notes: list[str] = field(default_factory=list)

    def watch(self, blocks: Iterable[Recommended]) -> Iterator[Recommended]:
        for block in blocks:
            self.users += block.n_users
            self.rows += len(block.rank)
            self.short += block.n_short
            yield block

    def text(self, request: Request, result: Mapping[str, Any]) -> str:
        if self.short:
            self.notes.append(f"{self.short} users have fewer than {request.k} candidates")
        lines = [
            f"{result['model']} on {result['dataset']}: {self.rows} rows for {self.users} users; "
            f"{_EXCLUDED[request.exclude]}",
            f"variant: {result.get('edition')}",
            *self.notes,
            f"written: {request.out}",
        ]
        return "\n".join(lines)


def recommend(request: Request) -> str:
    """Answer a request; returns a summary for the user.

    Raises:
        UserError: whatever is wrong with the run or the files.
    """
    read = (request.users, request.items, request.new_users)
    check_out(Path(request.out), FORMATS, [Path(name) for name in read if name])
    run = load_run(request.run, request.data_path)
    summary = _Summary()
    scorer = _scorer(request, run, summary.notes)
    recommender = Recommender(scorer, request.k, request.exclude, request.block)
    users = dict.fromkeys(map(str, run.dataset.field2id_token[run.dataset.uid_field][1:]))
    known = [] if request.users is None else _known_users(request.users, users)
    summary.notes += _untrained_users(known, scorer)
    new = {} if request.new_users is None else _new_users(Path(request.new_users), users, scorer)
    if request.items is not None:
        _restrict(Path(request.items), scorer)
    width = run.dataset.features.matrix.shape[1]
    with cpu_threads(run.config["n_threads"], run.dataset.item_num, width):
        # Some models of RecBole draw while they score.
        torch.manual_seed(int(run.config["seed"]))
        blocks = chain(recommender.known(known), recommender.new(new))
        write_recommendations(Path(request.out), summary.watch(blocks))
    return summary.text(request, run.result)


def _scorer(request: Request, run: LoadedRun, notes: list[str]) -> Scorer:
    new_items: NewItems | None = None
    by_content = request.map_features is not None or scores_by_content(run.model)
    if request.new_items is not None:
        if not by_content:
            require_content(run, "--new-items")
        new_items = read_new_items(Path(request.new_items), run)
        notes.append(f"{len(new_items.tokens)} new items {_how('content', request)}")
        if new_items.n_known:
            notes.append(
                f"{new_items.n_known} items of {request.new_items} are in the dataset already "
                "and keep their trained vectors"
            )
    unseen = request.unseen_items or ("content" if by_content else "leave-out")
    scorer = Scorer(run, unseen, new_items, request.map_features)
    if scorer.n_unseen:
        notes.append(
            f"{scorer.n_unseen} items of the dataset without a training interaction "
            f"{_how(unseen, request)} (`--unseen-items {unseen}`)"
        )
    maps = new_items is not None or (scorer.n_unseen and unseen == "content")
    if request.map_features is not None and not maps:
        raise UserError(
            "`--map-features`: there is nothing to map; add `--new-items`, use `--unseen-items "
            "content` with data in which some items have no training interaction, or leave it out"
        )
    return scorer


def _how(unseen: Unseen, request: Request) -> str:
    if unseen == "content" and request.map_features is not None:
        return f"are scored by a map from their features (weight {request.map_features:g})"
    return _UNSEEN[unseen]


def _known_users(asked: str, users: Mapping[str, None]) -> list[str]:
    if asked == "all":
        return list(users)
    tokens = read_ids(Path(asked), "user_id")
    _require(tokens, users, asked, "users", "give new ones with their items by `--new-users`")
    return tokens


def _untrained_users(known: Sequence[str], scorer: Scorer) -> Iterator[str]:
    """A note about users whom training has not seen, such as those of a test file alone."""
    dataset = scorer.run.dataset
    indices = dataset.field2token_id[dataset.uid_field]
    unseen = [user for user in known if not scorer.user_is_trained[indices[user]]]
    # Popularity ranks alike for everybody.
    if unseen and scorer.run.config["model"] != "Pop":
        yield (
            f"{len(unseen)} of {len(known)} users have no training interaction, first "
            f"{unseen[0]!r}: nothing was learnt about them, and their lists are arbitrary; give "
            "them another id and their items by `--new-users`"
        )


def _new_users(path: Path, users: Mapping[str, None], scorer: Scorer) -> dict[str, list[str]]:
    scorer.prepare_new_users()
    histories = read_histories(path)
    known = [user for user in histories if user in users]
    if known:
        raise UserError(
            f"{path}: {len(known)} of {len(histories)} users are in the run already, first "
            f"{known[0]!r}; name them in `--users`, or give them another id to fold them in anew"
        )
    items = list(dict.fromkeys(chain.from_iterable(histories.values())))
    _require(items, scorer.column, path, "items", "leave their rows out")
    return histories


def _restrict(path: Path, scorer: Scorer) -> None:
    """Leave only the candidates that are in a file."""
    tokens = read_ids(path, "item_id")
    _require(tokens, scorer.column, path, "items", "leave them out, or add `--new-items`")
    wanted = torch.zeros_like(scorer.candidates)
    wanted[[scorer.column[token] for token in tokens]] = True
    scorer.candidates &= wanted
    if not bool(scorer.candidates.any()):
        raise UserError(f"{path}: none of its {len(tokens)} items can be recommended by this run")


def _require(
    ids: Sequence[str], known: Mapping[str, Any], path: Path | str, what: str, do: str
) -> None:
    """Refuse ids that the run does not know."""
    unknown = [name for name in ids if name not in known]
    if unknown:
        raise UserError(
            f"{path}: {len(unknown)} of {len(ids)} {what} are not in the run, first "
            f"{unknown[0]!r}{did_you_mean(unknown[0], known)}; {do}"
        )
