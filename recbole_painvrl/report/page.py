"""The whole page about one or several runs, and the figures beside it."""

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
from recbole_painvrl.report.plots.style import Panels, house_style, looks_of
from recbole_painvrl.report.read import RunData
from recbole_painvrl.report.render import render
from recbole_painvrl.report.sections.environments import environments
from recbole_painvrl.report.sections.headline import headline
from recbole_painvrl.report.sections.masks import masks
from recbole_painvrl.report.sections.pareto import pareto
from recbole_painvrl.report.sections.runs import incomplete, left_out, limits, provenance
from recbole_painvrl.report.sections.training import cost, training


class Written(NamedTuple):
    """Outcome of a report.

    Attributes:
        figures: folder of the figures.
        unfinished: runs without a result, which the page names as such.
        left: what was named and is no readable run.
    """

    figures: Path
    unfinished: list[RunData]
    left: list[LeftOut]


def write_report(folders: Sequence[Path], output: Path, method: str | None = None) -> Written:
    """Write the page and its figures.

    Args:
        folders: run folders, folders of ``benchmark``, ``ablate`` or ``tune``, and whatever stands
            beside them; one named twice counts once.
        output: the page, ``NAME.html``; figures go to ``NAME_figures/``.
        method: column or model that is judged against the others; None for the method that a grid
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
        page = _page(found, output, Panels(figures), method)
    write_bytes(output, page.encode())
    return Written(figures, [run for run in found.runs if run.result is None], found.left)


def _page(found: Collected, output: Path, panels: Panels, method: str | None) -> str:
    """The page as text; figures are written on the way."""
    together = blocks(found.runs)
    judged = [block.method(method, found.of_methods) for block in together]
    if method is not None and not any(judged):
        labels = unique(group.label for block in together for group in block.groups)
        raise UserError(f"`--method`: found {method!r}, expected one of {', '.join(labels)}")
    unfinished = [run for run in found.runs if run.result is None]
    return render(
        "page.html",
        blocks=[
            _block(block, output, panels, group)
            for block, group in zip(together, judged, strict=True)
        ],
        method=method or METHOD,
        models=unique(group.model for block in together for group in block.groups),
        datasets=unique(block.result.dataset for block in together),
        runs=len(found.runs),
        version=__version__,
        date=f"{datetime.now():%Y-%m-%d %H:%M}",
        incomplete=incomplete(unfinished, output),
        left=left_out(found.left, output),
    )


def _block(block: Block, output: Path, panels: Panels, method: Group | None) -> dict[str, Any]:
    """What the page says of a block; a section that its runs have nothing for is None."""
    looks = looks_of([(group.label, group.model) for group in block.groups])
    sizes = block.result.split.get("sizes")
    return {
        "data": block,
        "sizes": sizes if isinstance(sizes, dict) else {},
        "metrics": headline(block, looks, panels, output, method),
        "mask": masks(block, looks, panels),
        "environments": environments(block, looks, panels),
        "pareto": pareto(block, looks, panels),
        "training": training(block, looks, panels),
        "cost": cost(block, looks, panels),
        "limits": limits(block),
        "runs": provenance(block, output),
    }
