"""``run_recbole.py`` and ``python -m recbole_painvrl run``: train and evaluate one model."""

from __future__ import annotations

import signal
import sys
from collections.abc import Sequence

from recbole_painvrl.errors import UserError

HELP = """\
usage: python run_recbole.py --model=MODEL --dataset=DATASET [--SETTING=VALUE ...]

Trains and evaluates one model and writes a run folder.

  python run_recbole.py --model=PaInvRL --dataset=ml-trailers
  python run_recbole.py --model=LightGCN --dataset=ml-trailers --seed=1
  python run_recbole.py --model=UltraGCN --dataset=ml-trailers --modalities=[]
  python run_recbole.py --model=PaInvRL --dataset=planted --preset=paper_literal

datasets that need no download: ml-trailers (embedded edition), planted, ml-100k
settings: every RecBole setting, those of the plugin (docs/settings.md), and
  --config_files="a.yaml b.yaml"   YAML files, laid over the defaults in this order
  --protocol=random|files|iid_ood|popularity|time
  --output_dir=runs --run_name=NAME
  --resume=RUN                     go on with an interrupted run, exactly where it was
exit codes: 0 done, 2 wrong input or configuration (one line says what), 1 anything else
"""


def main(argv: Sequence[str]) -> int:
    """Run from a command line; returns the exit code."""
    if not argv or argv[0] in ("-h", "--help"):
        print(HELP)
        return 0
    # A scheduler's SIGTERM ends a run as Ctrl-C does: one line, and --resume goes on.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        # Imported late, so that help needs neither torch nor RecBole.
        from recbole_painvrl.config import config_from_arguments, parse_overrides
        from recbole_painvrl.report.table import run_summary
        from recbole_painvrl.run.resume import interrupted_run
        from recbole_painvrl.run.runner import run

        if "resume" in parse_overrides(argv):
            folder, config = interrupted_run(argv)
            print(run_summary(run(config, folder)))
        else:
            print(run_summary(run(config_from_arguments(argv))))
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except ModuleNotFoundError as error:
        package = {"faiss": "faiss-cpu"}.get(str(error.name), error.name)
        print(
            f"error: the model needs the package `{error.name}`, which is not installed; "
            f"type `pip install {package}`",
            file=sys.stderr,
        )
        return 2
    except KeyboardInterrupt as error:
        print(str(error) or "stopped before the run began", file=sys.stderr)
        return 1
    except Exception as error:
        message = " ".join(str(error).split())
        print(
            f"error: {type(error).__name__}: {message} (train.log in the run folder has more)",
            file=sys.stderr,
        )
        return 1
    return 0
