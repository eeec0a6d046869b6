"""The whole page about one or several runs, and the figures beside it."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import NamedTuple

from recbole_painvrl import __version__
from recbole_painvrl.atomic import write_bytes
from recbole_painvrl.errors import UserError
from recbole_painvrl.report.collect import LeftOut, collect
from recbole_painvrl.report.css import CSS
from recbole_painvrl.report.groups import Block, blocks
from recbole_painvrl.report.html import Markup, join, paragraph, section, tag, text
from recbole_painvrl.report.plots.style import Look, Panels, looks
from recbole_painvrl.report.read import RunData
from recbole_painvrl.report.sections.environments import environments
from recbole_painvrl.report.sections.headline import headline
from recbole_painvrl.report.sections.masks import masks
from recbole_painvrl.report.sections.pareto import pareto
from recbole_painvrl.report.sections.provenance import (
    incomplete,
    left_out,
    limits,
    provenance,
)
from recbole_painvrl.report.sections.training import cost, training


class Written(NamedTuple):
    """What came of a report.

    Attributes:
        figures: folder of the figures.
        unfinished: runs without a result, which the page names as such.
        left: what was named and is no readable run.
    """

    figures: Path
    unfinished: list[RunData]
    left: list[LeftOut]


def write_report(folders: Sequence[Path], output: Path) -> Written:
    """Write the page and its figures.

    Args:
        folders: run folders, folders of ``benchmark``, ``ablate`` or ``tune``, and whatever stands
            beside them; one named twice counts once.
        output: the page, ``NAME.html``; figures go to ``NAME_figures/``.

    Raises:
        UserError: there is no readable run, or the output is no page.
    """
    if output.suffix.lower() not in (".html", ".htm"):
        raise UserError(f"--output: found {output}, expected the name of a page, such as x.html")
    if output.is_dir():
        raise UserError(f"--output: {output} is a folder; name a file in it")
    runs, left = collect(folders)
    figures = output.with_name(f"{output.stem}_figures")
    panels = Panels(figures)
    page = build_page(runs, left, output, panels)
    write_bytes(output, page.encode())
    return Written(figures, [run for run in runs if run.result is None], left)


def build_page(
    runs: Sequence[RunData], left: Sequence[LeftOut], output: Path, panels: Panels
) -> str:
    """The page as text; figures are written on the way.

    Args:
        runs: complete and incomplete runs.
        left: what was named beside them.
        output: where the page will be, which relative links start from.
        panels: draws and writes the figures.
    """
    found = blocks(runs)
    unfinished = [run for run in runs if run.result is None]
    contents = [_block(block, output, panels) for block in found]
    contents += [incomplete(unfinished, output), left_out(left, output)]
    title = _title(found, unfinished)
    body = join([
        tag("header", join([tag("h1", title), paragraph(_made(runs), "note")])),
        _navigation(found, bool(unfinished), bool(left)),
        tag("main", join(contents)),
    ])  # fmt: skip
    head = (
        '<meta charset="utf-8"><meta name="viewport" content="width=device-width, '
        f'initial-scale=1"><meta name="color-scheme" content="light dark"><title>{text(title)}'
        f"</title><style>{CSS}</style>"
    )
    return f'<!DOCTYPE html>\n<html lang="en"><head>{head}</head><body>{body}</body></html>\n'


def _title(found: Sequence[Block], unfinished: Sequence[RunData]) -> str:
    models = list(dict.fromkeys(group.model for block in found for group in block.groups))
    datasets = list(dict.fromkeys(block.dataset for block in found))
    if not found:
        return f"{len(unfinished)} incomplete run{'s' if len(unfinished) > 1 else ''}"
    return f"{', '.join(models)} on {', '.join(datasets)}"


def _made(runs: Sequence[RunData]) -> str:
    complete = sum(run.result is not None for run in runs)
    return (
        f"{complete} complete of {len(runs)} runs. Written by recbole_painvrl {__version__} on "
        f"{datetime.now():%Y-%m-%d %H:%M}."
    )


_SECTIONS = {
    "metrics": "Metrics",
    "mask": "Mask",
    "environments": "Environments",
    "pareto": "ERM against IRM",
    "training": "Training",
    "cost": "Time and memory",
    "limits": "Planted, capped, approximated",
    "runs": "Runs",
}


def _navigation(found: Sequence[Block], unfinished: bool, left: bool) -> Markup:
    links: list[object] = []
    for block in found:
        for name, title in _SECTIONS.items():
            if name in ("mask", "pareto") and not any(run.modalities for run in block.runs):
                continue
            if name == "environments" and not any(run.environments for run in block.runs):
                continue
            shown = title if len(found) == 1 else f"{block.title}: {title}"
            links.append(tag("li", tag("a", shown, href=f"#{block.key}-{name}")))
    if unfinished:
        links.append(tag("li", tag("a", "Incomplete runs", href="#incomplete")))
    if left:
        links.append(tag("li", tag("a", "Left out", href="#left-out")))
    return tag("nav", tag("ul", join(links)), aria_label="Sections")


def _block(block: Block, output: Path, panels: Panels) -> Markup:
    drawn: dict[str, Look] = looks([(group.label, group.model) for group in block.groups])
    sizes = block.runs[0].done.split.get("sizes")
    shown = ""
    if isinstance(sizes, dict):
        shown = ": " + ", ".join(f"{part} {n:,}" if isinstance(n, int) else f"{part} {n}"
                                 for part, n in sizes.items()) + " interactions"  # fmt: skip
    content = join([
        paragraph(f"Edition: {block.edition}. Protocol {block.protocol}{shown}."),
        headline(block, panels, drawn, output),
        masks(block, panels, drawn),
        environments(block, panels, drawn),
        pareto(block, panels, drawn),
        training(block, panels, drawn),
        cost(block, panels, drawn),
        limits(block),
        provenance(block, output),
    ])  # fmt: skip
    return section(block.title, content, block.key)
