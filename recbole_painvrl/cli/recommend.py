"""``recommend``: the best items of a complete run for known and new users."""

from __future__ import annotations

from typing import Any

import click

from recbole_painvrl.cli import base
from recbole_painvrl.errors import UserError

PAGE = """
  python -m recbole_painvrl recommend runs/RUN --users all --k 10 --out recs.parquet
  python -m recbole_painvrl recommend runs/RUN --users users.txt --out recs.csv
  python -m recbole_painvrl recommend runs/RUN --users all --items in_stock.txt --out recs.jsonl
  python -m recbole_painvrl recommend runs/RUN --new-users visits.csv --out recs.csv
  python -m recbole_painvrl recommend runs/RUN --users all --new-items arrivals/ --out recs.csv

Works for runs of any model, without training; needs the run folder and its dataset. Input files:
.csv and .tsv with a header; any other file has one id per line.

known users
  --users       The list of a user without a training interaction (as in a test file alone) is
                arbitrary; the summary counts such users.

new users and items
  --new-users   Models with embeddings: the user's embedding minimises the training loss with all
                items frozen. ItemKNN (by items), EASE, SLIMElastic, Pop, RP3beta, ContentEASE:
                the scores of a known user with these items. Other models are refused, also BM3
                and SLMRec, whose losses do not give the embedding of one user.
  --new-items   The folder contains features/<modality>.npy and <modality>.items.tsv like a
                dataset. UltraGCN, InvRL, PaInvRL and VBPR with modalities, DualGNN, GRCN,
                SLMRec, ContentEASE (not its form joint), BM3 with score_content, DRAGON with
                item_layers 0; other models need --map-features.
  --map-features   New and unseen items get vectors by a ridge regression from the features to the
                trained vectors of the run's items, each weighted by its interactions (Gantner et
                al., ICDM '10); WEIGHT is that of the map's squared norm. For runs with modalities
                of any model with vectors of users and items (such as BM3 and LightGCN).

excluded items
  --exclude     all: every interaction of the dataset; train: training and validation, as in the
                run's own evaluation; none: nothing. With `all` no list contains a test item:
                to evaluate lists on the test sets, use `train`. The items of a new user count
                as all.
  --unseen-items   items of the dataset without a training interaction. content: scored by
                their features (the default if the model can); leave-out: excluded (the default
                otherwise); as-trained: scored with their untrained embeddings, as in the run's
                own evaluation.

Scored by their features without --map-features: the id embedding (and VBPR's item bias), which
needs training, is 0, and the score is what the features give. In both ways such items stand lower
than known ones as a rule; name them in --items to rank them among themselves.

writes: --out FILE.parquet, .csv or .jsonl with the columns user_id, item_id, rank (from 1) and
  score, whose scale is the model's. Users come in the order of the dataset or of your files,
  new ones last. Among equal scores the item that comes first in the dataset wins. Memory does
  not grow with the number of users.
"""
_FILE = click.Path()
_POSITIVE = click.IntRange(min=1)


@base.command("recommend", page=PAGE, stopped="stopped; nothing was written")
@click.argument("run", type=_FILE)
@base.option("--users", type=_FILE, help="`all`, or a file with known users (column user_id)")
@base.option("--items", type=_FILE, help="recommend only these items: a file (column item_id)")
@base.option("--new-users", type=_FILE, help="a file with new users (columns user_id, item_id)")
@base.option("--new-items", type=_FILE, help="a folder with items that are not in the dataset")
@base.option("--out", required=True, type=_FILE, help="the file to write")
@base.option("--k", type=_POSITIVE, metavar="N", default=10, help="items per user")
@base.option(
    "--exclude",
    type=click.Choice(["all", "train", "none"]),
    default="all",
    help="interactions whose items are not recommended again",
)
@base.option(
    "--unseen-items",
    type=click.Choice(["content", "leave-out", "as-trained"]),
    help="how to treat items without a training interaction",
)
@base.option(
    "--map-features",
    type=click.FloatRange(min=0, min_open=True),
    metavar="WEIGHT",
    help="score new and unseen items by a map from features to trained vectors, see above",
)
@base.option(
    "--block",
    type=_POSITIVE,
    metavar="N",
    help="users scored at a time; default: as many as fit into 16 MB",
)
@base.DATA_PATH
def command(**options: Any) -> None:
    """Write the best items of a complete run for users, with the ids of your data."""
    if options["users"] is None and options["new_users"] is None:
        raise UserError(
            "`--users`: no users are given; use `--users all`, `--users FILE` or `--new-users FILE`"
        )
    from recbole_painvrl.inference.request import Request, recommend

    print(recommend(Request(**options)))
