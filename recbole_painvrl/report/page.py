"""The page about one or several runs, and its figures."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, NamedTuple

from recbole_painvrl import __version__
from recbole_painvrl.atomic import write_bytes
from recbole_painvrl.errors import UserError
from recbole_painvrl.report.collect import Collected, LeftOut, collect
from recbole_painvrl.report.groups import METHOD, Block, Group, blocks, unique
from recbole_painvrl.report.plots.style import Figures, house_style
from recbole_painvrl.report.read import RunData, mapping
from recbole_painvrl.report.render import render
from recbole_painvrl.report.sections.controls import controls
from recbole_painvrl.report.sections.environments import environments
from recbole_painvrl.report.sections.headline import headline
from recbole_painvrl.report.sections.masks import masks
from recbole_painvrl.report.sections.pareto import pareto
from recbole_painvrl.report.sections.runs import answers, incomplete, left_out, limits, provenance
from recbole_painvrl.report.sections.search import is_trial, searches
from recbole_painvrl.report.sections.shift import shift
from recbole_painvrl.report.sections.training import cost, training

_PROTOCOLS = {
    "random": "at random (protocol random)",
    "files": "by the dataset's files (protocol files)",
    "popularity": "OOD tests popular and rare items alike (protocol popularity)",
    "time": "OOD is the latest part (protocol time)",
    "iid_ood": "by two identified environments, as in 4.2.2 of the paper (protocol iid_ood)",
}


class Written(NamedTuple):
    """Outcome of a report.

    Attributes:
        figures: folder of the figures.
        unfinished: runs without a result, which the page lists as incomplete.
        left: given paths that are not readable runs.
    """

    figures: Path
    unfinished: list[RunData]
    left: list[LeftOut]


def write_report(folders: Sequence[Path], output: Path, method: str | None = None) -> Written:
    """Write the page and its figures.

    Args:
        folders: run folders, folders of ``benchmark``, ``ablate`` or ``tune``; other paths are
            listed as left out, repeated ones count once.
        output: the page, ``NAME.html``; figures go to ``NAME_figures/``.
        method: column or model that is compared with the others; None for the method that a grid
            has recorded, or else PaInvRL.

    Raises:
        UserError: there is no readable run, no such method, or the output is no page.
    """
    if output.suffix.lower() not in (".html", ".htm"):
        raise UserError(f"--output: found {output}, expected the name of a page, such as x.html")
    if output.is_dir():
        raise UserError(f"--output: {output} is a folder; name a file in it")
    found = collect(folders)
    figures = output.with_name(f"{output.stem}_figures")
    with house_style():
        page = _page(found, output, figures, method)
    write_bytes(output, page.encode())
    return Written(figures, [run for run in found.runs if run.result is None], found.left)


def _page(found: Collected, output: Path, folder: Path, method: str | None) -> str:
    """The page as text; the figures are written to the folder."""
    all_blocks = blocks(found.runs, found.of_partial_rows)
    methods = [block.method(method, found.of_methods) for block in all_blocks]
    if method is not None and not any(methods):
        labels = unique(group.label for block in all_blocks for group in block.groups)
        raise UserError(f"`--method`: found {method!r}, expected one of {', '.join(labels)}")
    unfinished = [run for run in found.runs if run.result is None]
    complete = len({run.folder for run in found.runs if run.result is not None})
    of_searches = {run.folder.parent for run in found.runs if is_trial(run)}
    of_none = [run for run in unfinished if run.folder.parent not in of_searches]
    return render(
        "page.html",
        blocks=[
            _block(block, output, folder, group)
            for block, group in zip(all_blocks, methods, strict=True)
        ],
        method=method or METHOD,
        models=unique(group.model for block in all_blocks for group in block.groups),
        datasets=unique(block.result.data_name for block in all_blocks),
        runs=complete + len(of_none) + len(found.missing),
        version=__version__,
        date=f"{datetime.now():%Y-%m-%d %H:%M}",
        complete=complete,
        searches=searches(found.runs, folder, output),
        incomplete=incomplete(of_none, found.missing.values(), output),
        left=left_out(found.left, output),
    )


def _block(block: Block, output: Path, folder: Path, method: Group | None) -> dict[str, Any]:
    """The sections of a block; None for those that its runs have no data for."""
    figures = Figures(folder, block.key, [(group.label, group.model) for group in block.groups])
    protocol = block.result.protocol
    first = {"answer": answers(block), "metrics": headline(block, figures, output, method)}
    # A comparison says more than its single runs.
    order = ("answer", "metrics") if len(block.groups) == 1 else ("metrics", "answer")
    sections = {
        **{name: first[name] for name in order},
        "shift": shift(block),
        "mask": masks(block, figures),
        "controls": controls(block),
        "environments": environments(block, figures),
        "pareto": pareto(block, figures),
        "training": training(block, figures),
        "cost": cost(block, figures),
        "limits": limits(block),
        "runs": provenance(block, output),
    }
    return {
        "data": block,
        "protocol": _PROTOCOLS.get(protocol, protocol),
        "sizes": mapping(block.result.split.get("sizes")),
        "sections": sections,
    }
