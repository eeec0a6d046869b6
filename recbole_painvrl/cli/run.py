"""``run_recbole.py`` and ``python -m recbole_painvrl run``: train and evaluate one model."""

from __future__ import annotations

from collections.abc import Sequence

from recbole_painvrl.cli.outcome import DONE, guarded, wants_help

HELP = """\
usage: python run_recbole.py --model=MODEL --dataset=DATASET [--SETTING=VALUE ...]

Trains and evaluates one model and writes a run folder.

  python run_recbole.py --model=PaInvRL --dataset=ml-trailers
  python run_recbole.py --model=LightGCN --dataset=ml-trailers --seed=1
  python run_recbole.py --model=UltraGCN --dataset=ml-trailers --modalities=[]
  python run_recbole.py --model=PaInvRL --dataset=planted --preset=paper_literal

datasets that need no download: ml-trailers (embedded edition), planted, ml-100k
settings: every RecBole setting, those of the plugin (docs/settings.md), and
  --config_files="a.yaml b.yaml"   YAML files, laid over the defaults in this order (also a list)
  --protocol=random|files|iid_ood|popularity|time
  --output_dir=runs --run_name=NAME
  --resume=RUN                     go on with an interrupted run, exactly where it was
exit codes: 0 done, 2 wrong input or configuration (one line says what), 1 anything else
"""


def main(argv: Sequence[str]) -> int:
    """Run from a command line; returns the exit code."""
    if wants_help(argv):
        print(HELP)
        return DONE
    return guarded(
        lambda: _run(argv),
        stopped="stopped before the run began",
        more=" (train.log in the run folder has more)",
    )


def _run(argv: Sequence[str]) -> None:
    # Imported late, so that help needs neither torch nor RecBole.
    from recbole_painvrl.config import config_from_arguments, parse_overrides
    from recbole_painvrl.run.resume import interrupted_run
    from recbole_painvrl.run.runner import run
    from recbole_painvrl.run.summary import run_summary

    if "resume" in parse_overrides(argv):
        folder, config = interrupted_run(argv)
        print(run_summary(run(config, folder)))
    else:
        print(run_summary(run(config_from_arguments(argv))))
