"""docs/settings.md and docs/models.md are what schemas, property files and models say."""

from __future__ import annotations

from pathlib import Path

from docs.make_models import models_page
from docs.make_settings import settings_page
from recbole_painvrl.specs import specs

ROOT = Path(__file__).parents[2]


def test_the_page_is_up_to_date() -> None:
    page = (ROOT / "docs" / "settings.md").read_text(encoding="utf-8")
    assert page == settings_page(), "run `python -m docs.make_settings`"


def test_the_page_of_the_models_is_up_to_date() -> None:
    page = (ROOT / "docs" / "models.md").read_text(encoding="utf-8")
    assert page == models_page(), "run `python -m docs.make_models`"


def test_every_model_says_what_it_is() -> None:
    for spec in specs().values():
        if spec.properties is None:
            assert spec.idea and spec.url and spec.paper, spec.name
