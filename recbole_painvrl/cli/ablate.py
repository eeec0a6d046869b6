"""``python -m recbole_painvrl ablate``: Table 3, Fig. 2, Fig. 4 and our own choices."""

from __future__ import annotations

from collections.abc import Sequence

from recbole_painvrl.cli.outcome import DONE, FAILED, guarded, wants_help

HELP = """\
usage: python -m recbole_painvrl ablate --dataset DATASET [options] [--SETTING=VALUE ...]

Takes PaInvRL apart on your data. All parts are one grid of runs, which goes on when the same
command is typed again.

  python -m recbole_painvrl ablate --dataset ml-trailers --seeds 3
  python -m recbole_painvrl ablate --dataset planted --what losses,environments --seeds 5
  python -m recbole_painvrl ablate --dataset mine --what choices --workers 4 \\
      --set PaInvRL.mask_decay=0.1

parts (--what A,B,...; default: all)
  losses         Table 3: ERM alone, IRM alone, fixed weights, InvRL, Pareto weights
  recall_curve   Fig. 2: Recall@10, 20, ..., 100 of UltraGCN, InvRL and PaInvRL
  environments   Fig. 4: 2 to 10 environments
  choices        one choice of ours at a time: gradient_normalization, projection_objective,
                 outer_gate, attention, environment_model, environment_restarts, negative_sampling

options
  --seeds N | A,B,...     how many (0 to N-1) or which; default 5
  --SETTING=VALUE         a setting of all cells (docs/settings.md), such as --protocol=iid_ood
  --config_files "a b"    YAML files for all cells
  --model-config M=FILE   a YAML file for one model; stronger than --SETTING=VALUE; repeatable
  --set M.SETTING=VALUE   a setting of one model (PaInvRL, InvRL, UltraGCN); repeatable
  --output FOLDER         tables, figures and cells; default runs/ablate
  --workers N, --storage WHERE, --retry-failed, --report-only   as of `benchmark`

What a part varies is stronger than what you set. Rows that are the same run share it: |E| = 2 and
the choices as configured are one.

files: PART/table.csv .md .tex .html, PART/significance.csv, recall_curve and environments also
  as figures (.png .pdf .svg, mean, deviation and every seed), cells.json, cells/ (run folders)
exit codes: 0 done, 1 some cell failed (the tables say which and why) or it was stopped, 2 wrong
  input or configuration (one line says what)
"""


def main(argv: Sequence[str]) -> int:
    """Run from a command line; returns the exit code."""
    if wants_help(argv):
        print(HELP)
        return DONE
    return guarded(lambda: _run(argv))


def _run(argv: Sequence[str]) -> int:
    # Imported late, so that help needs neither torch nor RecBole.
    from recbole_painvrl.experiments.ablate import ablate

    return FAILED if ablate(argv) else DONE
