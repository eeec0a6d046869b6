"""Sphinx settings of the site: ``sphinx-build -W --keep-going -c docs . site``.

The source folder is the checkout, so that README.md and the pages in docs/ are used as they are
and a relative link means the same on the site and on a code host.
"""

from __future__ import annotations

import shutil
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "docs")]

from make_notebook import with_outputs  # noqa: E402

import recbole_painvrl  # noqa: E402

project = "recbole_painvrl"
author = "recbole_painvrl contributors"
project_copyright = "2026, recbole_painvrl contributors"
version = release = recbole_painvrl.__version__

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon", "sphinx.ext.viewcode"]
root_doc = "README"
smartquotes_action = "D"  # dashes, not quotes
include_patterns = ["*.md", "docs/*.md", "docs/api/*.md"]
exclude_patterns = [".venv*", ".stacks", "runs", "dataset", "site", "build"]
myst_heading_anchors = 4
autodoc_member_order = "bysource"
autodoc_typehints = "description"
autodoc_typehints_description_target = "documented"
napoleon_custom_sections = ["Deviations"]

html_theme = "furo"
html_title = "recbole_painvrl"
html_static_path = ["static"]
html_css_files = ["site.css"]
html_copy_source = False
html_show_sphinx = False

# The order of the pages. A table of contents in README.md would be a block of code elsewhere.
_PAGES = {
    "Start": ["docs/install", "docs/tutorial", "docs/usage", "docs/data"],
    "The method": ["docs/method", "docs/mask-form", "docs/plainly"],
    "Models": ["docs/models", "docs/your-own-model", "docs/settings"],
    "Results": ["docs/defaults", "docs/table2", "docs/reproduction", "docs/model-quality"],
    "Engineering": [
        "docs/performance",
        "docs/cluster",
        "docs/stacks",
        "docs/reliability",
        "SECURITY",
    ],
    "API": ["docs/api/index", "docs/api/functional", "docs/api/models", "docs/api/testing"],
    "Project": ["CHANGELOG", "CONTRIBUTING"],
}


def _contents() -> str:
    """The table of contents; a page that has no place yet is at the end."""
    placed = {page for pages in _PAGES.values() for page in pages}
    found = sorted(f"docs/{path.stem}" for path in ROOT.glob("docs/*.md"))
    more = [page for page in found if page not in placed]
    blocks = (
        f"```{{toctree}}\n:hidden:\n:caption: {caption}\n\n" + "\n".join(pages) + "\n```\n"
        for caption, pages in ({**_PAGES, "More": more} if more else _PAGES).items()
    )
    return "\n" + "\n".join(blocks)


def _read(_: Any, name: str, source: list[str]) -> None:
    """Add the table of contents to the front page, and what its commands print to the tutorial."""
    if name == root_doc:
        source[0] += _contents()
    elif name == "docs/tutorial":
        source[0] = with_outputs(source[0])


def _finish(app: Any, error: Exception | None) -> None:
    """The front page is also the page that a server shows for the folder."""
    if error is None and app.builder.format == "html":
        shutil.copyfile(Path(app.outdir) / "README.html", Path(app.outdir) / "index.html")


def setup(app: Any) -> None:
    """Called by Sphinx."""
    app.connect("source-read", _read)
    app.connect("build-finished", _finish)
