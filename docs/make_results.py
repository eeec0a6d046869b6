"""Writes the results table of README.md from docs/defaults.md: ``python -m docs.make_results``."""

from __future__ import annotations

import re
from pathlib import Path

README = Path(__file__).resolve().parents[1] / "README.md"
SOURCE = Path(__file__).parent / "defaults.md"
ROWS = (
    *("UltraGCN, ID-only", "UltraGCN with features", "InvRL"),
    *("PaInvRL, soft mask (the paper)", "PaInvRL", "oracle mask"),
)
# Column of the README, start of the heading in the source, column of its first table.
COLUMNS = (
    ("planted, IID", "Planted data", "IID NDCG@10"),
    ("planted, OOD", "Planted data", "OOD NDCG@10"),
    ("ml-trailers, embedded variant, IID", "The embedded variant", "IID NDCG@10"),
    ("ml-trailers, embedded variant, OOD", "The embedded variant", "OOD NDCG@10"),
    ("ml-trailers, real features", "Real data", "test NDCG@10"),
)
_PLACE = re.compile(r"(<!-- results, .*? -->\n).*?(<!-- end of results -->)", re.DOTALL)


def readme_page() -> str:
    """README.md with the results as they are in docs/defaults.md.

    Raises:
        LookupError: a section, a table or a column of it is missing.
    """
    source = SOURCE.read_text(encoding="utf-8")
    columns = [_column(source, heading, name) for _, heading, name in COLUMNS]
    lines = [f"| | {' | '.join(name for name, *_ in COLUMNS)} |", f"|---{'|---' * len(COLUMNS)}|"]
    for row in ROWS:
        lines.append(f"| {row} | {' | '.join(column.get(row, '-') for column in columns)} |")
    table = "\n".join(lines)
    page, places = _PLACE.subn(rf"\g<1>\n{table}\n\n\g<2>", README.read_text(encoding="utf-8"))
    if places != 1:
        raise LookupError(f"{README.name}: found {places} places for the results, expected 1")
    return page


def _column(page: str, heading: str, name: str) -> dict[str, str]:
    """The means in a column of a section's first table, by the names of their rows."""
    section = re.search(rf"^## {heading}.*?(?=^## |\Z)", page, re.MULTILINE | re.DOTALL)
    lines = re.findall(r"^\|(.*)\|$", section[0], re.MULTILINE) if section else []
    rows = [[cell.strip() for cell in line.split("|")] for line in lines]
    if not rows or name not in rows[0]:
        raise LookupError(f"{SOURCE.name}: no column {name!r} under a heading {heading!r}")
    width, place = len(rows[0]), rows[0].index(name)
    first = rows[: next((i for i, row in enumerate(rows) if len(row) != width), None)]
    return {row[0]: row[place].partition(" ±")[0] for row in first}


if __name__ == "__main__":
    README.write_text(readme_page(), encoding="utf-8")
