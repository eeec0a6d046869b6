"""``recommend``: the best items of a complete run for known and new users."""

from __future__ import annotations

import functools
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

The run may be of any model. Nothing is trained; the folder and the dataset it was trained on are
all that is needed. Files: .csv and .tsv have a header; any other file has one id per line.

new users and items
  --new-users   Models with vectors: the user's vector minimises the training loss with all items
                frozen. ItemKNN (by items), EASE, SLIMElastic, Pop: the scores of a known user
                with these items. Others refuse.
  --new-items   The folder holds features/<modality>.npy and <modality>.items.tsv as a dataset
                does. UltraGCN, InvRL, PaInvRL and VBPR with modalities; others refuse.

what is left out
  --exclude     all: every interaction of the dataset; train: training and validation, as in the
                run's own evaluation; none: nothing. With `all` no list holds an item of a test:
                to evaluate lists against the tests, take `train`. The items of a new user count
                as all.
  --unseen-items   items of the dataset without a training interaction. content: scored through
                their content (the default where the model can); leave-out (the default
                elsewhere); as-trained: by whatever their untrained vectors give, as the run's
                own evaluation did.

Through their content: the id vector (and VBPR's item bias), which only training could give, is 0
and the score is what the features give. Such items stand lower than known ones as a rule; name
them in --items to rank them among themselves.

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
@base.option("--items", type=_FILE, help="recommend these items only: a file (column item_id)")
@base.option("--new-users", type=_FILE, help="a file with new users (columns user_id, item_id)")
@base.option("--new-items", type=_FILE, help="a folder with items that the dataset does not have")
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
    help="what becomes of items without a training interaction",
)
@base.option(
    "--block",
    type=_POSITIVE,
    metavar="N",
    help="users scored at a time; default as many as take 16 MB",
)
@base.option(
    "--data-path",
    "--data_path",
    type=_FILE,
    help="folder that holds the dataset's folder, if it has moved since the run",
)
def command(**options: Any) -> None:
    """Write the best items for your users, with your own ids, from a complete run."""
    if options["users"] is None and options["new_users"] is None:
        raise UserError(
            "`--users`: nobody to recommend to; type `--users all`, `--users FILE` or "
            "`--new-users FILE`"
        )
    from recbole_painvrl.inference.request import Request, recommend

    print(recommend(Request(**options)))


main = functools.partial(base.execute, command)
