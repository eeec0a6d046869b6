"""docs/settings.md is what the schemas and the property files say."""

from __future__ import annotations

from pathlib import Path

from docs.make_settings import settings_page

ROOT = Path(__file__).parents[2]


def test_the_page_is_up_to_date() -> None:
    page = (ROOT / "docs" / "settings.md").read_text(encoding="utf-8")
    assert page == settings_page(), "run `python -m docs.make_settings`"
