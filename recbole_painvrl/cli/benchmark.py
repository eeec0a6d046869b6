"""``python -m recbole_painvrl benchmark``: models x seeds, with significance."""

from __future__ import annotations

from collections.abc import Sequence

from recbole_painvrl.cli.outcome import DONE, FAILED, guarded, wants_help

HELP = """\
usage: python -m recbole_painvrl benchmark --dataset DATASET [options] [--SETTING=VALUE ...]

Runs several models with several seeds on one split and makes the paper's Table 2 of them: mean
and spread, best and second, paired tests on values per user against the best baseline.

  python -m recbole_painvrl benchmark --dataset ml-trailers --seeds 5 --protocol iid_ood
  python -m recbole_painvrl benchmark --dataset planted --models PaInvRL,UltraGCN,BPR --seeds 3
  python -m recbole_painvrl benchmark --dataset mine --workers 4 --epochs=50 \\
      --set PaInvRL.mask_decay=0.1 --model-config MMGCN=mmgcn.yaml
  python -m recbole_painvrl benchmark --dataset mine --storage /shared/grid.journal \\
      --output /shared/benchmark           (the same line on every machine)

options
  --models A,B,...        default: PaInvRL,InvRL,UltraGCN,VBPR,MMGCN,MMSSL,NGCF,LightGCN,BPR,Pop
  --seeds N | A,B,...     how many (0 to N-1) or which; default 5
  --method MODEL          the row that is compared with all others; default PaInvRL
  --SETTING=VALUE         a setting of all cells (docs/settings.md), such as --protocol=iid_ood
  --config_files "a b"    YAML files for all cells
  --model-config M=FILE   a YAML file for one model; stronger than --SETTING=VALUE; repeatable
  --set M.SETTING=VALUE   a setting of one model; stronger than its file; repeatable
  --output FOLDER         tables and cells; default runs/benchmark
  --workers N             cells at a time, each in a process with its share of the cores
  --storage WHERE         Optuna journal file or database URL: processes on several machines that
                          share the folder --output take cells from one grid
  --retry-failed          run failed cells again
  --report-only           run nothing; tables of what is done

Every cell is a run of its own in FOLDER/cells, known by the SHA-256 of data, configuration and
code. What is done is not run again: after Ctrl-C, a crash or a power cut the same command goes on,
and an interrupted cell is resumed where its model can be. A failed cell is noted with its reason
and stops nothing. The best baseline is chosen on validation, never on a test set.

files: table.csv table.md table.tex table.html, significance.csv, cells.json (the method,
  state and key of every cell), cells/ (run folders; NAME.log is what a cell printed)
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
    from recbole_painvrl.experiments.benchmark import benchmark

    return FAILED if benchmark(argv) else DONE
