"""The paper's Table 2 on real data: every model after the same search on validation.

    python -m benchmarks.table2 --data dataset --dataset tiktok --protocol iid_ood
    python -m benchmarks.table2 --data dataset --dataset ml1m-trailers --protocol popularity

Each model is searched by ``tune`` with the same number of trials (the first has the defaults) and
seed 0, judged on IID validation alone, as in the paper, which has no OOD validation; RecBole's
models are searched like all others. Then ``benchmark`` runs the selected settings with every seed
and writes the table with paired tests to ``--output``. Re-running the command resumes. ``--report``
runs nothing and prints the results as a Markdown table: means and standard deviations over the
seeds, and by how much PaInvRL's NDCG@10 is higher (95 % interval over the users; ``*`` where both
tests, corrected, are significant at 5 %).
"""

from __future__ import annotations

import argparse
import csv
import json
import sys
from collections.abc import Collection, Iterator
from pathlib import Path

import yaml

from benchmarks.common import command_line, print_table, run_process, slug
from benchmarks.model_quality import (
    OWN,
    modalities,
    other_search,
    parsed,
    search,
    selected,
    shown,
    with_own,
)
from recbole_painvrl.experiments.options import models_of

METHOD = "PaInvRL"
# The group `paper`, UltraGCN without features (as in the paper), three more models, and EASE.
MODELS = "paper,UltraGCN-ids=UltraGCN,FREEDOM,MGCN,RP3beta,EASE"
TESTS = ("iid", "ood")
METRICS = ("precision@10", "recall@10", "ndcg@10")


def main() -> None:
    """Search what is not searched yet, then run the benchmark."""
    parser = command_line(__doc__)
    parser.add_argument("--protocol", default="iid_ood")
    given = parsed(parser, Path("runs/table2"), MODELS, trials=6, seeds=5)
    output = given.output / slug(f"{given.dataset} {given.protocol}")
    if not given.report:
        sys.exit(compare(given, output))
    columns = ["model", "seeds", "valid N@10"]
    columns += [f"{part.upper()} {name[0].upper()}@10" for part in TESTS for name in METRICS]
    columns += [f"{METHOD} higher, {part.upper()} N@10" for part in TESTS]
    print_table([*columns, "selected settings"], rows(output, given.trials))


def rows(output: Path, trials: int) -> Iterator[list[str]]:
    """A line per model of the table that ``benchmark`` wrote, if it has complete runs.

    Its label says if its search had another number of trials than ``trials``.
    """
    folder = output / "benchmark"
    if not (folder / "table.csv").is_file():
        sys.exit(f"{folder}: no table yet; run the same command without --report first")
    table, tests = _read(folder / "table.csv"), _read(folder / "significance.csv")
    means = {(line["row"], line["part"], line["metric"]): line for line in table}
    for model in dict.fromkeys(line["row"] for line in table if line["mean"]):
        cells = [_spread(means[model, "valid", "ndcg@10"])]
        cells += [_spread(means[model, part, metric]) for part in TESTS for metric in METRICS]
        tested = {
            line["part"]: line
            for line in tests
            if (line["method"], line["other"], line["metric"]) == (METHOD, model, "ndcg@10")
            and line["difference"]
        }
        cells += [_higher(tested[part]) if part in tested else "" for part in TESTS]
        search_folder = output / "search" / slug(model)
        line, best = means[model, "valid", "ndcg@10"], selected(search_folder) or {}
        label = model + other_search(model, search_folder, trials)
        used = _used(folder, line["run_folders"], best)
        if used is not None and used != best:
            label += ", searched again since"
        yield [label, line["seeds"], *cells, "not known" if used is None else shown(used)]


def _used(folder: Path, runs: str, names: Collection[str]) -> dict[str, object] | None:
    """The searched settings with which the runs of a row were made; None if they are gone.

    ``best.yaml`` may be of a later search than the table.
    """
    config = folder / runs.split(" ")[0] / "config.yaml"
    if not config.is_file():
        return None if names else {}
    stored = yaml.safe_load(config.read_text(encoding="utf-8"))
    return {name: stored[name]["value"] for name in names if name in stored}


def _read(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as stream:
        return list(csv.DictReader(stream))


def _spread(line: dict[str, str]) -> str:
    mean, sd = f"{float(line['mean']):.4f}", line["sd"]
    return f"{mean} ± {float(sd):.4f}" if sd else mean


def _higher(line: dict[str, str]) -> str:
    difference, low, high = (float(line[name]) for name in ("difference", "low", "high"))
    sure = line["outcome"] in ("better", "worse")
    return f"{difference:+.4f} ({low:+.4f} to {high:+.4f}){'*' if sure else ''}"


def compare(given: argparse.Namespace, output: Path) -> int:
    """Search and benchmark all models; the exit code of ``benchmark``, 1 if a search failed."""
    words = [
        f"--data_path={given.data}",
        f"--dataset={given.dataset}",
        f"--protocol={given.protocol}",
        f"--modalities=[{','.join(modalities(given.data, given.dataset))}]",
        *given.settings,
    ]
    options, searched, models = [], [], models_of(given.models)
    for label, model in models.items():
        folder = output / "search" / slug(label)
        own = with_own(label, [f"--model={model}", "--select_on=iid", *words])
        if not search(model, own, given.trials, folder):
            print(f"error: {label}: the search failed, see above", file=sys.stderr)
            continue
        searched.append(label if label == model else f"{label}={model}")
        best = {**OWN.get(label, {}), **(selected(folder) or {})}
        options += [f"--set={label}.{name}={json.dumps(value)}" for name, value in best.items()]
    command = [sys.executable, "-m", "recbole_painvrl", "benchmark", *words, *options]
    command += [f"--models={','.join(searched)}", f"--seeds={given.seeds}"]
    code = run_process([*command, f"--output={output / 'benchmark'}"]).code
    return code or int(len(searched) < len(models))


if __name__ == "__main__":
    main()
