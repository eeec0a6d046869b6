"""The site lists every public module and model, and the citation file is valid."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

import recbole_painvrl
from docs import make_results
from docs.make_notebook import SOURCE, with_outputs
from docs.make_results import readme_page
from recbole_painvrl import functional
from recbole_painvrl.specs import project_models, specs

ROOT = Path(__file__).resolve().parents[2]
API = ROOT / "docs" / "api"


def documented(page: str, directive: str) -> list[str]:
    """The objects that a page takes from docstrings by a directive."""
    text = (API / f"{page}.md").read_text(encoding="utf-8")
    return re.findall(rf"^\.\. {directive}:: ([\w.]+)$", text, re.MULTILINE)


def test_every_module_of_equations_is_documented() -> None:
    modules = sorted(Path(functional.__path__[0]).glob("[!_]*.py"))
    names = [f"recbole_painvrl.functional.{path.stem}" for path in modules]
    assert documented("functional", "automodule") == names


def test_every_model_is_documented() -> None:
    models = [specs()[name].model for name in project_models()]
    names = [f"{model.__module__}.{model.__name__}" for model in models]
    assert documented("models", "autoclass") == names


def test_the_tutorial_shows_what_its_commands_print() -> None:
    page = SOURCE.read_text(encoding="utf-8")
    shown = with_outputs(page)
    outputs = re.findall(r"^```text\n(.*?)\n```$", shown, re.MULTILINE | re.DOTALL)
    assert len(outputs) == len(re.findall(r"^```bash$", page, re.MULTILINE))
    assert "interactions" in outputs[0] and "ndcg@10" in outputs[3].lower()
    for output in outputs:
        shown = shown.replace(f"\n\n```text\n{output}\n```", "")
    assert shown == page


@pytest.fixture(scope="module")
def citation() -> dict[str, Any]:
    content = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    assert isinstance(content, dict)
    return content


def test_the_citation_is_complete(citation: dict[str, Any]) -> None:
    """The keys that the Citation File Format 1.2.0 requires, of the software and of the paper."""
    assert {"cff-version", "message", "title", "authors"} <= citation.keys()
    assert citation["cff-version"] == "1.2.0" and citation["type"] == "software"
    assert citation["version"] == recbole_painvrl.__version__
    assert citation["license"] == "MIT"
    paper = citation["preferred-citation"]
    assert {"type", "title", "authors", "year", "doi"} <= paper.keys()
    for author in (*citation["authors"], *paper["authors"]):
        assert author.keys() in ({"name"}, {"family-names", "given-names"})


def test_the_readme_cites_what_the_citation_file_says(citation: dict[str, Any]) -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    paper = citation["preferred-citation"]
    for author in paper["authors"]:
        assert f"{author['family-names']}, {author['given-names']}" in readme
    for value in (paper["title"], paper["doi"], citation["title"], citation["version"]):
        assert str(value) in readme


def test_the_results_of_the_readme_are_those_of_the_pages() -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    assert readme == readme_page(), "run `python -m docs.make_results`"
    section = readme.partition("## Does it help?")[2].partition("## Which page")[0]
    pages = "".join(
        (ROOT / "docs" / f"{name}.md").read_text(encoding="utf-8")
        for name in ("defaults", "reproduction", "performance", "model-quality")
    )
    figures = re.findall(r"0\.\d{4}", section)
    assert len(figures) > 25
    assert set(figures) <= set(re.findall(r"0\.\d{4}", pages))
    shares = re.findall(r"(\d+) % of the\s+gap", section)
    assert len(shares) == 2
    assert all(f"{one}% pooled" in pages or f"{one} % of the gap" in pages for one in shares)


def test_a_result_that_is_gone_from_the_pages_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(make_results, "COLUMNS", (("x", "Planted data", "IID Recall@10"),))
    with pytest.raises(LookupError, match="no column 'IID Recall@10'"):
        readme_page()
