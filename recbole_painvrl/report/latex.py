"""LaTeX tables of the runs in a report: metrics per test, data, settings and versions."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from recbole_painvrl.atomic import write_bytes
from recbole_painvrl.config.layers import is_given
from recbole_painvrl.evaluation.comparison import VALID, part_name
from recbole_painvrl.report.collect import collect
from recbole_painvrl.report.groups import Block, Group, blocks
from recbole_painvrl.report.read import mapping
from recbole_painvrl.report.render import metric_name, render, split_name
from recbole_painvrl.report.same_tests import short
from recbole_painvrl.report.sections.headline import seeds_of
from recbole_painvrl.report.sections.search import Search, found_searches
from recbole_painvrl.report.tables import Number

# What a user set, beside where and how the run was written.
_NOT_SHOWN = frozenset(
    {"data_path", "use_gpu", "show_progress", "output_dir", "run_name", "gpu_id"}
)
# Words for a `kind` of `shift` that does not explain itself.
_KINDS = {"both": "popularity and content", "other": "items, by neither popularity nor content"}
# Mark for the outcome of a comparison: on the method for that with the best baseline, else, as
# between controls of a mask, on every other row.
_MARKS = {"better": "*", "worse": r"\dagger", "the tests disagree": r"\ddagger"}


def write_latex(folders: Sequence[Path], folder: Path, method: str | None = None) -> list[Path]:
    """Write one file per table; returns their paths.

    Args:
        folders: as of :func:`~recbole_painvrl.report.page.write_report`.
        folder: receives the files.
        method: column that is compared with the others.

    Raises:
        UserError: there is no readable run.
    """
    found = collect(folders)
    paths = []
    for block in blocks(found.runs, found.of_partial_rows):
        name = block.key
        chosen = block.method(method, found.of_methods)
        for split in (one for one in block.splits if one != VALID):
            paths.append(folder / f"{name}-{split}.tex")
            _write(paths[-1], "latex_metrics.tex", _metrics(block, split, chosen))
        for kind, table in (("data", _data), ("settings", _settings), ("versions", _versions)):
            paths.append(folder / f"{name}-{kind}.tex")
            _write(paths[-1], "latex_list.tex", table(block))
    for number, search in enumerate(found_searches(found.runs), 1):
        for kind, values in (("trials", _trials(search)), ("facts", _facts(search))):
            paths.append(folder / f"s{number}-{kind}.tex")
            _write(paths[-1], "latex_list.tex", values)
    return paths


def _write(path: Path, template: str, values: dict[str, Any]) -> None:
    label = f"tab:{path.stem}"
    write_bytes(path, render(template, **values, label=label).encode())


def _metrics(block: Block, split: str, method: Group | None) -> dict[str, Any]:
    """Rows are models; the method has a mark for its difference to the best baseline.

    Where there is none (controls of a mask, or no validation), every other row has one for its own.
    """
    metrics = [
        name
        for name in block.metrics
        if any(group.number(split, name) is not None for group in block.groups)
    ]
    chosen, marks = _marks(block, split, method)
    tested = {name for _, name in marks}
    seeds = {group.label: seeds_of(group) for group in block.groups}
    alike = len(set(seeds.values())) == 1
    spread = any(len(group.runs) > 1 for group in block.groups)
    test = "test" if split == "test" else f"{part_name(split)} test"
    words = [f"{block.title}, {test}, protocol {block.result.protocol}"]
    words += ["mean and standard deviation over seeds"] if spread else []
    words.append(seeds[block.groups[0].label] if alike else "seeds as in the rows")
    without = ", the oracle mask left out" if block.has_oracle else ""
    places = {name: block.places((split, name)) for name in metrics}
    return {
        "caption": "; ".join(words) + f". Best in bold, second underlined{without}.",
        "compared": chosen,
        "method": method.label if method and marks else None,
        "untested": [metric_name(name) for name in metrics if name not in tested],
        "head": [metric_name(name) for name in metrics],
        "rows": [
            (
                group.label if alike else f"{group.label}, {seeds[group.label]}",
                [
                    {
                        **_cell(group.number(split, name)),
                        "place": places[name].get(group.label, ""),
                        "mark": marks.get((group.label, name), ""),
                    }
                    for name in metrics
                ],
            )
            for group in block.groups
        ],
    }


def _marks(
    block: Block, split: str, method: Group | None
) -> tuple[str | None, dict[tuple[str, str], str]]:
    """The best baseline, and the mark of every row and metric that has a test, which may be ""."""
    if method is None or len(block.groups) < 2:
        return None, {}
    _, chosen, _, found = block.judge(method)
    return chosen, {
        (method.label if chosen else one.other, one.metric): _MARKS.get(one.outcome, "")
        for one in found
        if one.part == split and chosen in (None, one.other) and one.paired is not None
    }


def _cell(number: Number | None) -> dict[str, str]:
    if number is None:
        return {"mean": "--", "sd": ""}
    return {
        "mean": f"{number.mean:.4f}",
        "sd": "" if number.sd is None else f"{number.sd:.4f}",
    }


def _data(block: Block) -> dict[str, Any]:
    """Sizes of the data and their splits, widths of the modalities, kind of shift."""
    done = block.result
    rows = [("Variant", done.edition), ("Protocol", done.protocol)]
    rows += [(name.replace("_", " ").capitalize(), f"{size:,}") for name, size in done.data.items()]
    sizes, cold = (mapping(done.split.get(name)) for name in ("sizes", "cold_dropped"))
    rows += [(f"Interactions, {split_name(k)}", f"{size:,}") for k, size in sizes.items()]
    rows += [(f"Left out as cold, {split_name(k)}", f"{n:,}") for k, n in cold.items() if n]
    rows += [
        (f"Columns, {name}", str(found["columns"]))
        for name, found in done.modalities.items()
        if "columns" in found
    ]
    if kind := done.shift.get("kind"):
        rows.append(("Shift of the OOD test", _KINDS.get(str(kind), str(kind))))
    return {"caption": f"Data: {block.title}.", "head": ("Statistic", "Value"), "rows": rows}


def _settings(block: Block) -> dict[str, Any]:
    """What the user set, by column; one line for what all columns have in common."""
    given: dict[str, dict[str, str]] = {}
    for group in block.groups:
        for name, entry in group.first.config.items():
            shown = name not in (*_NOT_SHOWN, "model", "dataset", "seed")
            if shown and is_given(str(entry["from"])):
                value = group.mask if name == "feature_mask" else entry["value"]
                given.setdefault(name, {})[group.label] = short(value, 40)
    shared, own = [], []
    for name, values in sorted(given.items()):
        if len(values) == len(block.groups) and len({*values.values()}) == 1:
            shared.append((name, next(iter(values.values()))))
        else:
            own += [(f"{label}: {name}", value) for label, value in values.items()]
    rows = [*shared, *sorted(own)] or [("all", "defaults")]
    caption = (
        f"Settings that were given: {block.title}. All others are those of the preset, where one "
        "is given, or the defaults."
    )
    return {"caption": caption, "head": ("Setting", "Value"), "rows": rows}


def _trials(search: Search) -> dict[str, Any]:
    """The trials of a search, the best first."""
    rows = [(run.folder.name, *search.row(run)) for run in search.trials]
    others = f" {search.others} more were pruned, failed or are not complete." * bool(search.others)
    caption = f"{search.title}. Trials by validation, the best first.{others}"
    return {"caption": caption, "head": search.head, "rows": rows}


def _facts(search: Search) -> dict[str, Any]:
    """What all trials of a search have in common."""
    caption = f"{search.title}. Data, settings, costs and versions."
    return {"caption": caption, "head": ("What", "Value"), "rows": search.facts()}


def _versions(block: Block) -> dict[str, Any]:
    """Versions that all runs share, and the machine."""
    rows = []
    for name in dict.fromkeys(name for run in block.runs for name in run.done.versions):
        found = dict.fromkeys(run.done.versions.get(name, "--") for run in block.runs)
        rows.append((name, ", ".join(found)))
    devices = dict.fromkeys(run.done.device for run in block.runs if run.done.device)
    rows.append(("device", ", ".join(devices) or "not recorded"))
    caption = f"Versions: {block.title}."
    return {"caption": caption, "head": ("Package", "Version"), "rows": rows}
