"""The paper's Table 2 on real data: every model after the same search on validation.

    python -m benchmarks.table2 --data dataset --dataset tiktok --protocol iid_ood
    python -m benchmarks.table2 --data dataset --dataset ml1m-trailers --protocol popularity

Each model is searched by ``tune`` with the same number of trials (the first has the defaults) and
seed 0, judged on IID validation alone, as in the paper, which has no OOD validation; RecBole's
models are searched like all others. Then ``benchmark`` runs the selected settings with every seed
and writes the table with paired tests to ``--output``. Re-running the command resumes.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from benchmarks.common import command_line, run_process, slug
from benchmarks.model_quality import modalities, search, selected
from recbole_painvrl.experiments.options import models_of

# Those of the paper, popularity, and models added by this project.
MODELS = "paper,FREEDOM,MGCN,RP3beta"


def main() -> None:
    """Search what is not searched yet, then run the benchmark."""
    parser = command_line(__doc__)
    parser.add_argument("--data", type=Path, default=Path("dataset"))
    parser.add_argument("--dataset", default="tiktok")
    parser.add_argument("--protocol", default="iid_ood")
    parser.add_argument("--output", type=Path, default=Path("runs/table2"))
    parser.add_argument("--models", default=MODELS, help="as for benchmark")
    parser.add_argument("--trials", type=int, default=6)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("settings", nargs="*", metavar="--SETTING=VALUE", help="of every run")
    given, settings = parser.parse_known_args()
    given.settings = [*given.settings, *settings]
    sys.exit(compare(given))


def compare(given: argparse.Namespace) -> int:
    """Search and benchmark all models; the exit code of ``benchmark``, 1 if a search failed."""
    words = [
        f"--data_path={given.data}",
        f"--dataset={given.dataset}",
        f"--protocol={given.protocol}",
        f"--modalities=[{','.join(modalities(given.data, given.dataset))}]",
        *given.settings,
    ]
    output = given.output / slug(f"{given.dataset} {given.protocol}")
    options, searched = [], []
    for model in models_of(given.models):
        folder = output / "search" / slug(model)
        if not search(model, [f"--model={model}", "--select_on=iid", *words], given.trials, folder):
            print(f"error: {model}: the search failed, see above", file=sys.stderr)
            continue
        searched.append(model)
        best = selected(folder) or {}
        options += [f"--set={model}.{name}={json.dumps(value)}" for name, value in best.items()]
    command = [sys.executable, "-m", "recbole_painvrl", "benchmark", *words, *options]
    command += [f"--models={','.join(searched)}", f"--seeds={given.seeds}"]
    code = run_process([*command, f"--output={output / 'benchmark'}"]).code
    return code or int(len(searched) < len(models_of(given.models)))


if __name__ == "__main__":
    main()
