"""Every model after the same search on validation, over seeds, beside published figures.

    python -m benchmarks.model_quality --data dataset --dataset tiktok --trials 8 --seeds 3

For each model ``tune`` runs the same number of trials (the first has the defaults) with one seed,
judged on validation alone; the selected settings then run with every seed. Re-running the command
resumes; ``--report`` only prints the table of what is complete. Models that learn nothing are
searched with the same number of trials. The table is sorted by the validation metric. Seconds of
processor time per epoch come from a table printed by ``benchmarks.models`` on the same dataset
(``--speed``), which needs a machine without other work.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import yaml

from benchmarks.common import (
    NotRunError,
    Result,
    command_line,
    finished_run,
    print_table,
    replaced,
    run_process,
    slug,
    spread,
)
from recbole_painvrl.experiments.options import models_of

# Search spaces of RecBole's models, as wide as those in properties/search/, and that of RP3beta
# with its content, which data without features refuse.
_LEARNING_RATE = {"low": 3.0e-4, "high": 1.0e-2, "log": True}
SPACES = {
    "BPR": {"learning_rate": _LEARNING_RATE, "weight_decay": {"choices": [0.0, 1e-6, 1e-5, 1e-4]}},
    "LightGCN": {
        "learning_rate": _LEARNING_RATE,
        "n_layers": {"choices": [1, 2, 3, 4]},
        "reg_weight": {"low": 1.0e-6, "high": 1.0e-2, "log": True},
    },
    "NGCF": {
        "learning_rate": _LEARNING_RATE,
        "reg_weight": {"low": 1.0e-6, "high": 1.0e-2, "log": True},
        "message_dropout": {"choices": [0.0, 0.1, 0.3]},
    },
    "RP3beta": {
        "alpha": {"low": 0.5, "high": 2.0},
        "beta": {"low": 0.0, "high": 1.0},
        "popularity_prior": {"choices": [0.0, 0.0003, 0.001, 0.003, 0.01, 0.03]},
        "content_weight": {"choices": [0.0, 0.03, 0.1, 0.3]},
    },
    "EASE": {"reg_weight": {"low": 1.0, "high": 5000.0, "log": True}},
    "ItemKNN": {
        "k": {"choices": [10, 20, 50, 100, 200, 400]},
        "shrink": {"choices": [0.0, 1.0, 10.0, 100.0]},
    },
}
# Without settings to search.
FIXED = ("Pop",)
# Settings of single rows, which override those given for all: BM3's validation score falls at
# first, and with 2,048 items in MMSSL's discriminator an epoch on tiktok takes over a minute.
OWN: dict[str, dict[str, object]] = {
    "BM3": {"stopping_step": 30},
    "MMSSL": {"discriminator_columns": 512},
    "UltraGCN-ids": {"modalities": []},
}
# Dataset -> cut-off and what the published figures count (docs/reproduction.md).
CUTOFFS = {"tiktok": 20, "ml1m-trailers": 10}
# Test pairs of tiktok whose user or item is not in training count as misses there.
_COUNTED = {"tiktok": 5677 / 6130}
# Recall and NDCG at the cut-off. tiktok: with text features, epoch selected on the test set.
PUBLISHED = {
    "tiktok": {
        "Pop": (0.0597, 0.0255),
        "LightGCN": (0.0653, 0.0282),
        "NGCF": (0.0604, 0.0238),
        "VBPR": (0.0380, 0.0134),
        "MMGCN": (0.0730, 0.0307),
        "GRCN": (0.0804, 0.0350),
        "LATTICE": (0.0843, 0.0367),
        "BM3": (0.0957, 0.0404),
    },
    "ml1m-trailers": {
        "Pop": (0.126, 0.210),
        "VBPR": (0.241, 0.362),
    },
}


def main() -> None:
    """Search and run what is missing, then print the table as Markdown."""
    parser = command_line(__doc__)
    parser.add_argument("--speed", type=Path, help="file with the output of benchmarks.models")
    given = parsed(parser, Path("runs/model-quality"), "all", trials=8, seeds=3)
    rows = sorted(_rows(given), key=lambda row: -row[0])
    k = CUTOFFS.get(given.dataset, 10)
    names = [f"recall@{k}", f"ndcg@{k}"]
    columns = [
        *("model", f"valid {names[1]}", "at defaults", f"test {names[0]}", f"test {names[1]}"),
        *("counted as published", "published", "epochs", "s/epoch", "GB", "selected settings"),
    ]
    print_table(columns, (row[1] for row in rows))


def parsed(
    parser: argparse.ArgumentParser, output: Path, models: str, trials: int, seeds: int
) -> argparse.Namespace:
    """The command line of a benchmark that searches models, with these defaults."""
    parser.add_argument("--data", type=Path, default=Path("dataset"))
    parser.add_argument("--dataset", default="tiktok")
    parser.add_argument("--output", type=Path, default=output)
    parser.add_argument("--models", default=models, help="as for benchmark")
    parser.add_argument("--trials", type=int, default=trials)
    parser.add_argument("--seeds", type=int, default=seeds)
    parser.add_argument("--report", action="store_true", help="run nothing")
    parser.add_argument("settings", nargs="*", metavar="--SETTING=VALUE", help="of every run")
    given, settings = parser.parse_known_args()
    given.settings += settings
    return given


def _rows(given: argparse.Namespace) -> Iterator[tuple[float, list[str]]]:
    for label, model in models_of(given.models).items():
        folder = given.output / slug(f"{given.dataset} {label}")
        words = _words(given, label, model)
        if not given.report and not search(model, words, given.trials, folder):
            print(f"{label}: the search failed, see above", file=sys.stderr)
            continue
        best = selected(folder)
        if best is None and model not in FIXED:
            continue
        runs = []
        for seed in range(given.seeds):
            own = [*words, f"--seed={seed}", *_options(best or {})]
            try:
                runs.append(finished_run(folder / f"seed-{seed}", own, not given.report))
            except NotRunError:
                continue
            except SystemExit as error:
                print(error, file=sys.stderr)
        if runs:
            missing = "" if len(runs) == given.seeds else f", {len(runs)} of {given.seeds}"
            searched = other_search(model, folder, given.trials)
            yield _row(given, label + missing + searched, runs, best or {})


def other_search(model: str, folder: Path, trials: int) -> str:
    """How a search differs from one of ``trials`` trials, for the label of its row, or nothing."""
    if model in FIXED:
        return ""
    done = folder / "searched"
    if not done.is_file():
        n = len([*(folder / "search").glob("trial-*/trial.json")])
        return f", search not complete ({n} of {trials} trials)"
    asked = json.loads(done.read_text(encoding="utf-8"))[0]
    return "" if asked == trials else f", {asked} trials in place of {trials}"


def _words(given: argparse.Namespace, label: str, model: str) -> list[str]:
    k = CUTOFFS.get(given.dataset, 10)
    words = [
        f"--model={model}",
        f"--dataset={given.dataset}",
        f"--data_path={given.data}",
        f"--modalities=[{','.join(modalities(given.data, given.dataset))}]",
        f"--topk=[{k}]",
        f"--valid_metric=NDCG@{k}",
        *given.settings,
    ]
    return with_own(label, words)


def with_own(label: str, words: Sequence[str]) -> list[str]:
    """Settings ``--name=value``, those of ``OWN`` in place of the given ones."""
    return replaced(words, _options(OWN.get(label, {})))


def modalities(data: Path, dataset: str) -> list[str]:
    """The three modalities of the paper, as far as a dataset has them."""
    known = json.loads((data / dataset / "manifest.json").read_text(encoding="utf-8"))
    return [name for name in ("visual", "acoustic", "textual") if name in known["modalities"]]


def search(model: str, words: Sequence[str], trials: int, folder: Path) -> bool:
    """Search a model's settings unless that was done; returns whether there is a result.

    ``words`` are the settings of every trial, the first of which has the defaults otherwise;
    ``folder`` gets ``search/`` with ``best.yaml``.
    """
    asked = json.dumps([trials, *words])
    done = folder / "searched"
    if model in FIXED or (done.is_file() and done.read_text(encoding="utf-8") == asked):
        return True
    command = [sys.executable, "-m", "recbole_painvrl", "tune", *words]
    command += [f"--trials={trials}", f"--output={folder / 'search'}", "--seed=0"]
    if model in SPACES:
        folder.mkdir(parents=True, exist_ok=True)
        space = folder / "space.yaml"
        space.write_text(yaml.safe_dump(SPACES[model]), encoding="utf-8")
        command.append(f"--space={space}")
    # `tune` resumes a search, and refuses settings other than those the search began with.
    if run_process(command, quiet=True).code or selected(folder) is None:
        return False
    done.write_text(asked, encoding="utf-8")
    return True


def selected(folder: Path) -> dict[str, object] | None:
    """The searched settings as selected; None without a search."""
    best = folder / "search" / "best.yaml"
    if not best.is_file():
        return None
    searched: set[str] = set()
    for path in (folder / "search").glob("trial-*/trial.json"):
        searched.update(json.loads(path.read_text(encoding="utf-8"))["params"])
    values = yaml.safe_load(best.read_text(encoding="utf-8"))
    return {name: value for name, value in values.items() if name in searched}


def _options(values: Mapping[str, object]) -> list[str]:
    return [f"--{name}={json.dumps(value)}" for name, value in values.items()]


def _row(
    given: argparse.Namespace, label: str, runs: Sequence[Result], best: dict[str, object]
) -> tuple[float, list[str]]:
    dataset, model = given.dataset, label.partition(",")[0]
    k = CUTOFFS.get(dataset, 10)
    recall, ndcg = f"recall@{k}", f"ndcg@{k}"
    valid = [run["metrics"]["valid"][ndcg] for run in runs]
    tests = [run["metrics"].get("test", run["metrics"].get("iid")) for run in runs]
    counted = _COUNTED.get(dataset, 1.0)
    there = [counted * sum(test[name] for test in tests) / len(tests) for name in (recall, ndcg)]
    published = PUBLISHED.get(dataset, {}).get(model)
    stages = [stage for run in runs for stage in run["stages"] if stage.get("epochs")]
    epochs = sum(stage["epochs"] for stage in stages)
    return sum(valid) / len(valid), [
        label,
        spread(valid),
        _at_defaults(given.output / slug(f"{dataset} {model}"), ndcg),
        spread([test[recall] for test in tests]),
        spread([test[ndcg] for test in tests]),
        " / ".join(f"{value:.4f}" for value in there),
        "" if published is None else " / ".join(f"{value:.4f}" for value in published),
        f"{epochs / len(runs):.0f}",
        _seconds_per_epoch(given.speed, model),
        f"{max(run['peak_memory_mb'] for run in runs) / 1024:.2f}",
        shown(best),
    ]


def _at_defaults(folder: Path, metric: str) -> str:
    """Validation metric of the first trial, which has the defaults; empty without a search."""
    first = folder / "search" / "trial-0000" / "trial.json"
    if not first.is_file():
        return ""
    metrics = json.loads(first.read_text(encoding="utf-8"))["metrics"]
    return f"{metrics['valid'][metric]:.4f}"


def _seconds_per_epoch(table: Path | None, model: str) -> str:
    """From the table of ``benchmarks.models``; empty where the model is not in it."""
    if table is None:
        return ""
    lines = table.read_text(encoding="utf-8").splitlines()
    names, *rows = [[cell.strip() for cell in line.split("|")] for line in lines if "|" in line]
    return next((row[names.index("epoch")] for row in rows if row[1] == model), "")


def shown(values: Mapping[str, object]) -> str:
    """Selected settings in a cell of a table; ``-`` for none."""
    texts = (f"{n}={v:.2g}" if isinstance(v, float) else f"{n}={v}" for n, v in values.items())
    return " ".join(texts) or "-"


if __name__ == "__main__":
    main()
