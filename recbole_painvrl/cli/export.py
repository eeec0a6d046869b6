"""``export``: vectors, masks and representations of a complete run, with your own ids."""

from __future__ import annotations

from collections.abc import Sequence

from recbole_painvrl.cli.outcome import DONE, guarded, wants_help

HELP = """\
usage: python -m recbole_painvrl export RUN --what WHAT --out FILE

Takes what a complete run has learnt out of its folder, with your own ids.

  python -m recbole_painvrl export runs/RUN --what embeddings --out vectors.safetensors
  python -m recbole_painvrl export runs/RUN --what mask --out mask.npy
  python -m recbole_painvrl export runs/RUN --what representations --out phi.safetensors

  --what embeddings       vectors of all users and items; the score of a pair is their product, so
                          that an index of nearest neighbours by inner product can serve them.
                          Every model with such scores: the plugin's, BPR, LightGCN, NGCF...
  --what mask             the mask of every modality as the final model uses it, from 0 to 1
                          (PaInvRL, InvRL)
  --what representations  invariant (Phi = m (.) f) and variant (Psi = (1 - m) (.) f) of every item
                          (PaInvRL, InvRL); f has rows of length 1 per modality
  --out FILE              .safetensors (all arrays in one file) or .npy (one file per array)
  --data-path FOLDER      folder that holds the dataset's folder, if it has moved since the run

writes: vectors.safetensors with users and items, or vectors.users.npy and vectors.items.npy (mask:
  one array per modality; representations: invariant and variant), and beside them
  vectors.users.tsv, vectors.items.tsv...: the number of every row and its id, or of every
  mask entry its modality and column. There is no row for padding.
exit codes: 0 done, 2 wrong input (one line says what), 1 anything else
"""


def main(argv: Sequence[str]) -> int:
    """Export from a command line; returns the exit code."""
    if wants_help(argv):
        print(HELP)
        return DONE
    return guarded(lambda: _export(argv), stopped="stopped; the same command starts again")


def _export(argv: Sequence[str]) -> None:
    from pathlib import Path

    from recbole_painvrl.arguments import Arguments

    parser = Arguments("export")
    parser.add_argument("run")
    parser.add_argument("--what", required=True, choices=["embeddings", "mask", "representations"])
    parser.add_argument("--out", required=True)
    parser.add_argument("--data-path", "--data_path")
    options = parser.parse_args(argv)

    from recbole_painvrl.inference.exporting import KINDS, SUFFIXES, write_export
    from recbole_painvrl.inference.files import check_out
    from recbole_painvrl.inference.loading import load_run

    path = Path(options.out)
    check_out(path, SUFFIXES)
    run = load_run(options.run, options.data_path)
    export = KINDS[options.what](run)
    files = write_export(path, export, run)
    shapes = ", ".join(f"{n} {'x'.join(map(str, t.shape))}" for n, t in export.tensors.items())
    print(f"{run.result['model']} on {run.result['dataset']}: {shapes}")
    print(f"edition: {run.result.get('edition')}")
    print(f"written: {', '.join(str(file) for file in files)}")
