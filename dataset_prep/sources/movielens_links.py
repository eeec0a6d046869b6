"""``links.csv`` of the MovieLens releases: features with IMDb or TMDb ids become MovieLens ids."""

from __future__ import annotations

from pathlib import Path

from dataset_prep.interactions import as_tokens
from dataset_prep.read.matrices import FeatureTable
from dataset_prep.read.tables import chunks, sniff
from dataset_prep.report import Report
from recbole_painvrl.errors import UserError

ID_KINDS = ("movielens", "imdb", "tmdb")


def read_links(folder: Path, kind: str, report: Report, encoding: str) -> dict[str, str]:
    """MovieLens id of each IMDb or TMDb number."""
    path = folder / "links.csv"
    if not path.is_file():
        raise UserError(
            f"{path}: no such file, and --feature-ids-are {kind} needs it; releases from 20M on "
            "have it"
        )
    layout = sniff(path, encoding=encoding)
    wanted = ["movieId", f"{kind}Id"]
    absent = next((name for name in wanted if name not in layout.names), None)
    if absent is not None:
        raise UserError(f"{path}: no column `{absent}`; it has {', '.join(layout.names)}")
    links: dict[str, str] = {}
    shared = 0
    for frame in chunks(layout, wanted, report):
        for movie, other in zip(*(as_tokens(frame[name]) for name in wanted), strict=True):
            if movie and other:
                shared += _number(other) in links
                links.setdefault(_number(other), movie)
    if shared:
        report.note(f"{path.name}: {shared} films share a {kind} id with another; the first counts")
    return links


def with_movie_ids(table: FeatureTable, links: dict[str, str], kind: str) -> None:
    """Give the rows MovieLens ids; others keep theirs with the kind before it, as unrated rows."""
    table.tokens = [
        links.get(_number(token), f"{kind}:{token}") if token else "" for token in table.tokens
    ]
    table.notes = {**table.notes, "ids": f"from {kind} by links.csv"}


def _number(token: str) -> str:
    """``tt0114709``, ``0114709`` and ``114709`` are the same film."""
    return token.removeprefix("tt").lstrip("0")
