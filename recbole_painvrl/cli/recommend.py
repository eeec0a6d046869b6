"""``recommend``: the best items of a complete run for known and new users."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from recbole_painvrl.cli.outcome import DONE, guarded, wants_help

HELP = """\
usage: python -m recbole_painvrl recommend RUN --users FILE|all --out FILE [options]

The best items for your users, with your own ids, from the folder of a complete run of any model.
Nothing is trained; the folder and the dataset it was trained on are all that is needed.

  python -m recbole_painvrl recommend runs/RUN --users all --k 10 --out recs.parquet
  python -m recbole_painvrl recommend runs/RUN --users users.txt --out recs.csv
  python -m recbole_painvrl recommend runs/RUN --users all --items in_stock.txt --out recs.jsonl
  python -m recbole_painvrl recommend runs/RUN --new-users visits.csv --out recs.csv
  python -m recbole_painvrl recommend runs/RUN --users all --new-items arrivals/ --out recs.csv

users and items (.csv and .tsv have a header; any other file has one id per line)
  --users FILE|all        users of the run: all of them, or those of a file (column user_id)
  --items FILE            recommend these items only (column item_id)
  --new-users FILE        users that the run does not know, from their items (columns user_id,
                          item_id). Models with vectors: the user's vector minimises the training
                          loss with all items frozen. ItemKNN (by items), EASE, SLIMElastic, Pop:
                          the scores of a known user with these items. Others refuse.
  --new-items FOLDER      items that the dataset does not have, through their content: the folder
                          holds features/<modality>.npy and <modality>.items.tsv as a dataset
                          does. UltraGCN, InvRL, PaInvRL and VBPR with modalities; others refuse.
lists
  --k K                   items per user (10)
  --exclude all|train|none    what is not recommended again: every interaction of the dataset
                          (all, the default), training and validation, as in the run's own
                          evaluation (train), or nothing. With `all` no list holds an item of
                          a test: to evaluate lists against the tests, take `train`. The
                          items of a new user count as all.
  --unseen-items content|leave-out|as-trained    items of the dataset without a training
                          interaction: scored through their content (the default where the model
                          can), left out (the default elsewhere), or by whatever their untrained
                          vectors give, as the run's own evaluation did
  --block N               users scored at a time; by default as many as take 16 MB
  --data-path FOLDER      folder that holds the dataset's folder, if it has moved since the run

Through their content: the id vector (and VBPR's item bias), which only training could give, is 0
and the score is what the features give. Such items stand lower than known ones as a rule; name
them in --items to rank them among themselves.

writes: --out FILE.parquet, .csv or .jsonl with the columns user_id, item_id, rank (from 1) and
  score, whose scale is the model's. Users come in the order of the dataset or of your files,
  new ones last. Among equal scores the item that comes first in the dataset wins. Memory does
  not grow with the number of users.
exit codes: 0 done, 2 wrong input (one line says what), 1 anything else
"""


def main(argv: Sequence[str]) -> int:
    """Recommend from a command line; returns the exit code."""
    if wants_help(argv):
        print(HELP)
        return DONE
    return guarded(lambda: _recommend(argv), stopped="stopped; nothing was written")


def _options(argv: Sequence[str]) -> Any:
    from recbole_painvrl.arguments import Arguments
    from recbole_painvrl.errors import UserError

    parser = Arguments("recommend")
    parser.add_argument("run")
    parser.add_argument("--users")
    parser.add_argument("--items")
    parser.add_argument("--new-users")
    parser.add_argument("--new-items")
    parser.add_argument("--out", required=True)
    parser.add_argument("--k", type=int, default=10)
    parser.add_argument("--exclude", choices=["all", "train", "none"], default="all")
    parser.add_argument("--unseen-items", choices=["content", "leave-out", "as-trained"])
    parser.add_argument("--block", type=int)
    parser.add_argument("--data-path", "--data_path")
    options = parser.parse_args(argv)
    if options.users is None and options.new_users is None:
        raise UserError(
            "`--users`: nobody to recommend to; type `--users all`, `--users FILE` or "
            "`--new-users FILE`"
        )
    for name in ("k", "block"):
        value = getattr(options, name)
        if value is not None and value < 1:
            raise UserError(f"`--{name}`: found {value}, expected an integer >= 1")
    return options


def _recommend(argv: Sequence[str]) -> None:
    options = _options(argv)
    from recbole_painvrl.inference.request import Request, recommend

    summary = recommend(Request(**vars(options)))
    print(summary)
