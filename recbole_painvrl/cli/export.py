"""``export``: embeddings, masks and representations of a complete run, with their ids."""

from __future__ import annotations

from pathlib import Path

import click

from recbole_painvrl.cli import base

PAGE = """
  python -m recbole_painvrl export runs/RUN --what embeddings --out vectors.safetensors
  python -m recbole_painvrl export runs/RUN --what mask --out mask.npy
  python -m recbole_painvrl export runs/RUN --what representations --out phi.safetensors

what
  embeddings        vectors of all users and items; the score of a pair is their inner product, so
                    that a nearest-neighbour index can serve them. For all models with such
                    scores: the plugin's, BPR, LightGCN, NGCF...
  mask              the mask of every modality as the final model uses it, from 0 to 1
                    (PaInvRL, InvRL)
  representations   invariant (Phi = m (.) f) and variant (Psi = (1 - m) (.) f) features of every
                    item (PaInvRL, InvRL); the rows of f have length 1 per modality

writes: vectors.safetensors with users and items, or vectors.users.npy and vectors.items.npy (mask:
  one array per modality; representations: invariant and variant), and tables
  vectors.users.tsv, vectors.items.tsv... with the index and the id of every row, or the modality
  and column of every mask entry. There is no row for padding.
"""


@base.command("export", page=PAGE, stopped="stopped; run the command again")
@click.argument("run")
@base.option(
    "--what",
    required=True,
    type=click.Choice(["embeddings", "mask", "representations"]),
    help="what to export, see below",
)
@base.option(
    "--out",
    required=True,
    type=click.Path(path_type=Path),
    help=".safetensors (all arrays in one file) or .npy (one file per array)",
)
@base.DATA_PATH
def command(run: str, what: str, out: Path, data_path: str | None) -> None:
    """Export what a complete run has learned, with the ids of your data."""
    from recbole_painvrl.inference.exporting import KINDS, SUFFIXES, write_export
    from recbole_painvrl.inference.files import check_out
    from recbole_painvrl.inference.loading import load_run

    check_out(out, SUFFIXES)
    loaded = load_run(run, data_path)
    export = KINDS[what](loaded)
    files = write_export(out, export, loaded)
    shapes = ", ".join(f"{n} {'x'.join(map(str, t.shape))}" for n, t in export.tensors.items())
    print(f"{loaded.result['model']} on {loaded.result['dataset']}: {shapes}")
    print(f"variant: {loaded.result.get('edition')}")
    print(f"written: {', '.join(str(file) for file in files)}")
