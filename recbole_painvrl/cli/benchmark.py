"""``python -m recbole_painvrl benchmark``: models x seeds, with significance tests."""

from __future__ import annotations

from typing import Any

import click

from recbole_painvrl.cli import base, grid, names

PAGE = f"""
  python -m recbole_painvrl benchmark --dataset ml-trailers --seeds 5 --protocol iid_ood
  python -m recbole_painvrl benchmark --dataset planted --models PaInvRL,UltraGCN,BPR --seeds 3
  python -m recbole_painvrl benchmark --dataset mine --workers 4 --epochs=50 \\
      --set PaInvRL.mask_decay=0.1 --model-config MMGCN=mmgcn.yaml
  python -m recbole_painvrl benchmark --dataset planted --models FREEDOM --feature-mask runs/M
  python -m recbole_painvrl benchmark --dataset planted --models UltraGCN,ids=UltraGCN \\
      --set ids.modalities=[]
{grid.PAGE}
The best baseline is selected on validation, never on a test set.

files: table.csv table.md table.tex table.html, significance.csv, cells.json (the method,
  state and key of every run), cells/ (run folders; NAME.log is the output of a run)
"""


@base.command("benchmark", page=PAGE, shown_settings=grid.SETTINGS, exit_codes=grid.EXIT_CODES)
@base.option(
    "--models",
    metavar="A,B,...",
    shell_complete=names.listed(names.models_and_groups),
    help="models and groups of them: paper (the default: those of Table 2, BPR and Pop), "
    "multimodal, graph, training-free, all; LABEL=MODEL for a second row of a model, whose "
    "settings are given by --set LABEL.SETTING=VALUE",
)
@base.option("--method", help="the method that is compared with all others; default PaInvRL")
@base.option(
    "--feature_mask",
    "--feature-mask",
    type=click.Path(),
    metavar="RUN",
    help="run of PaInvRL or InvRL: every other model with features gets a second row, with its "
    "features multiplied by the mask of that run",
)
@grid.grid_options
def command(
    models: str | None, method: str | None, feature_mask: str | None, **options: Any
) -> int:
    """Compare several models over several seeds, as in the paper's Table 2.

    Mean and standard deviation, best and second best, and paired tests over the users against the
    best baseline.
    """
    from recbole_painvrl.experiments.benchmark import benchmark
    from recbole_painvrl.experiments.options import GridOptions

    failed = benchmark(GridOptions(**options), models, method, feature_mask)
    return base.FAILED if failed else base.DONE
