"""``python -m recbole_painvrl ablate``: Table 3, Fig. 2, Fig. 4 and implementation choices."""

from __future__ import annotations

from typing import Any

from recbole_painvrl.cli import base, grid, names
from recbole_painvrl.experiments import PARTS

PAGE = f"""
  python -m recbole_painvrl ablate --dataset ml-trailers --seeds 3
  python -m recbole_painvrl ablate --dataset planted --what losses,environments --seeds 5
  python -m recbole_painvrl ablate --dataset mine --what controls --seeds 5
  python -m recbole_painvrl ablate --dataset mine --what choices --workers 4 \\
      --set PaInvRL.mask_decay=0.1

experiments (--what)
  losses         Table 3: ERM alone, IRM alone, fixed weights, InvRL, Pareto weights, all with the
                 `mask_form` of PaInvRL unless InvRL's is given by --set (the paper's is
                 --set PaInvRL.mask_form=soft)
  recall_curve   Fig. 2: Recall@10, 20, ..., 100 of UltraGCN, InvRL and PaInvRL
  environments   Fig. 4: 2 to 10 environments
  choices        one implementation choice at a time: gradient_normalization, projection_objective,
                 outer_gate, attention, environment_model, environment_restarts, negative_sampling
  controls       what of the mask helps: UltraGCN with the learnt mask (and its values before they
                 were cut in two), one of the same mean, its values permuted in each modality, all
                 features, none, and the oracle mask where columns are planted; the mask is learnt
                 once per seed

An experiment overrides the settings that it varies. Rows with the same configuration share one run,
for instance |E| = 2 and the choices as configured.
{grid.PAGE}
files: WHAT/table.csv .md .tex .html, WHAT/significance.csv; figures (.png .pdf .svg, with mean,
  deviation and every seed) of recall_curve and environments; masks/ (of the controls, .npz);
  cells.json, cells/ (run folders)
"""


@base.command("ablate", page=PAGE, shown_settings=grid.SETTINGS, exit_codes=grid.EXIT_CODES)
@base.option(
    "--what",
    default=",".join(PARTS),
    metavar="A,B,...",
    shell_complete=names.listed(lambda: PARTS),
    help="experiments, see below",
)
@grid.grid_options
def command(what: str, **options: Any) -> int:
    """Run ablations of PaInvRL on your data, as one grid of runs."""
    from recbole_painvrl.experiments.ablate import ablate
    from recbole_painvrl.experiments.options import GridOptions

    return base.FAILED if ablate(GridOptions(**options), what) else base.DONE
