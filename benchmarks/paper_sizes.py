"""Runs at the paper's sizes: a complete PaInvRL run, or one epoch of every model for its memory.

    python -m benchmarks.paper_sizes whole --pairs movielens_mmgcn_pairs.npz
    python -m benchmarks.paper_sizes memory --sizes tiktok

``movielens``: the interactions of ``--pairs`` with planted features, 55,485 x 5,986 and 2,048 +
128 + 100 columns. ``tiktok``: planted interactions and features, 36,656 x 76,085 and 3 x 128
columns. ``whole`` trains every stage until it stops, with ``--preset=large``. ``memory`` runs one
epoch per stage with large batches, which need more memory than small ones. Complete runs are not
run again, interrupted ones are resumed.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from benchmarks.common import Result, command_line, finished_run, print_table
from benchmarks.models import write_planted
from recbole_painvrl.data.folder import DatasetContent, write_dataset
from recbole_painvrl.data.planted.embedded import item_factors
from recbole_painvrl.data.planted.synthetic import mixture_columns, numpy_generator

_PAIRS = (
    ".npz with arrays [n, 2] of user and item ids, such as the MovieLens interactions of "
    "MMGCN's or CLCRec's repository; for the size movielens only"
)
_WIDTHS = {"visual": 2048, "acoustic": 128, "textual": 100}
_NOISE = 0.3
_WHOLE = (
    *("--model=PaInvRL", "--preset=large", "--mask_form=soft"),
    *("--oracle=False", "--profile=True"),
)
_STAGES = (
    "--train_batch_size=8192",
    "--backbone_epochs=1",
    "--environment_rounds=2",
    "--environment_restarts=1",
    "--mask_epochs=1",
    "--mask_batch_size=4096",
    "--mask_form=soft",
)
# Model -> settings of its epoch.
MODELS: dict[str, tuple[str, ...]] = {
    "PaInvRL": _STAGES,
    "InvRL": _STAGES,
    "UltraGCN": ("--train_batch_size=8192",),
    "VBPR": ("--train_batch_size=8192",),
    # 200,000 triples at once need 6.2 GB; more steps would only take longer.
    "MMGCN": ("--train_batch_size=20000",),
    # A quarter of the steps that an epoch has with batches of 1,024 users.
    "MMSSL": ("--train_batch_size=4096",),
    "NGCF": ("--train_batch_size=200000",),
    "LightGCN": ("--train_batch_size=200000",),
    "BPR": ("--train_batch_size=8192",),
    "Pop": (),
}
# Size -> target hours and GB of a whole run, and models whose memory must stay below the latter.
SIZES = {
    "movielens": (3.0, 6.0, tuple(MODELS)),
    "tiktok": (4.0, 8.0, ("UltraGCN", "InvRL", "PaInvRL", "MMSSL")),
}


def main() -> None:
    """Make the data, run what is missing, print the tables as Markdown."""
    parser = command_line(__doc__)
    parser.add_argument("what", choices=["whole", "memory"])
    parser.add_argument("--pairs", type=Path, default=None, help=_PAIRS)
    parser.add_argument("--output", type=Path, default=Path("runs/paper-sizes"))
    parser.add_argument("--sizes", nargs="+", choices=list(SIZES), default=list(SIZES))
    parser.add_argument("--models", nargs="+", choices=list(MODELS), default=list(MODELS))
    parser.add_argument("--threads", type=int, default=1)
    given = parser.parse_args()
    for size in given.sizes:
        write_data(size, given.pairs, given.output / "data")
    data = (f"--data_path={given.output / 'data'}", f"--n_threads={given.threads}")
    if given.what == "memory":
        columns = ("size", "model", "peak memory, GB", "limit, GB", "seconds")
        print_table(columns, memory_rows(given, data))
        return
    for size in given.sizes:
        run = finished_run(given.output / f"{size}-whole", (*_WHOLE, f"--dataset={size}", *data))
        columns = (size, "epochs or rounds", "best epoch", "minutes", "peak memory, GB")
        print_table(columns, whole_rows(size, run))


def memory_rows(given: Any, data: tuple[str, ...]) -> Iterator[tuple[str, ...]]:
    """Peak memory and seconds of every size and model."""
    for size in given.sizes:
        _, limit, models = SIZES[size]
        for model in (model for model in models if model in given.models):
            settings = (f"--model={model}", f"--dataset={size}", *data, "--epochs=1")
            folder = given.output / f"{size}-{model.lower()}"
            result = finished_run(folder, (*settings, *MODELS[model]))
            peak = f"{result['peak_memory_mb'] / 1024:.2f}"
            yield size, model, peak, f"{limit:g}", f"{result['seconds']:.0f}"


def whole_rows(size: str, result: Result) -> Iterator[tuple[object, ...]]:
    """Epochs, minutes and peak memory of every stage, and of the run beside its target."""
    hours, memory, _ = SIZES[size]
    whole = {"name": f"whole run (target: {hours * 60:g} minutes, {memory:g} GB)", "epochs": ""}
    for stage in (*result["stages"], {**result, **whole}):
        yield (
            stage["name"],
            stage.get("epochs", stage.get("rounds")),
            stage.get("best_epoch", ""),
            f"{stage['seconds'] / 60:.1f}",
            f"{stage['peak_memory_mb'] / 1024:.2f}",
        )


def write_data(size: str, pairs: Path | None, data: Path) -> None:
    """Write ``data/movielens`` or ``data/tiktok`` if it is missing.

    Raises:
        SystemExit: ``movielens`` without ``pairs``.
    """
    if size == "tiktok":
        write_planted(data / size)
    elif not (data / size).is_dir():
        if pairs is None:
            raise SystemExit(
                "error: the size movielens needs its interactions; give --pairs (see --help), or "
                "--sizes tiktok, which needs no file"
            )
        write_dataset(movielens(pairs), data / size)


def movielens(pairs: Path) -> DatasetContent:
    """Real interactions of the paper's size with planted features of its widths.

    Half of the columns are mixtures of the leading item factors of all interactions, the others of
    random styles. The factors contain the test set: the data are for time and memory only.
    """
    with np.load(pairs, allow_pickle=False) as arrays:
        table = np.unique(np.concatenate([arrays[name] for name in arrays.files]), axis=0)
    users, (items, indices) = table[:, 0], np.unique(table[:, 1], return_inverse=True)
    factors = item_factors(users, indices)
    styles = numpy_generator(0, "movielens styles").standard_normal(factors.shape)
    features = {}
    for name, width in _WIDTHS.items():
        rng = numpy_generator(0, f"movielens features {name}")
        matrix = mixture_columns(factors, styles, width, _NOISE, rng)[0]
        features[name] = (matrix, items.astype(str).tolist())
    return DatasetContent(
        name="movielens",
        edition="real interactions, planted features",
        source=pairs.name,
        licence="none",
        interactions=pd.DataFrame(table.astype(str), columns=["user_id", "item_id"]),
        features=features,
    )


if __name__ == "__main__":
    main()
