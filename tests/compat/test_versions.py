"""Versions that RecBole 1.2.1 cannot work with are one line that says what to type."""

from __future__ import annotations

import importlib.metadata

import pytest

from recbole_painvrl._compat import versions
from recbole_painvrl.errors import UserError


def test_this_machine_is_compatible() -> None:
    assert versions.incompatibilities() == []
    versions.check_versions()


@pytest.mark.parametrize(
    ("name", "version", "advice"),
    [
        ("numpy", "3.0.0", "pip install 'numpy>=1.24,<3'"),
        ("pandas", "4.0.0rc1", "pip install 'pandas>=2,<4'"),
        ("recbole", "1.3.0", "pip install --no-deps recbole==1.2.1"),
    ],
)
def test_versions_that_cannot_work(
    name: str, version: str, advice: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = importlib.metadata.version
    monkeypatch.setattr(
        importlib.metadata, "version", lambda asked: version if asked == name else real(asked)
    )
    with pytest.raises(ImportError) as caught:
        versions.check_versions()
    assert isinstance(caught.value, UserError)
    assert f"{name} {version} " in str(caught.value)
    assert advice in str(caught.value)
    assert "\n" not in str(caught.value)


def test_what_is_not_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    def version(name: str) -> str:
        raise importlib.metadata.PackageNotFoundError(name)

    monkeypatch.setattr(importlib.metadata, "version", version)
    found = versions.incompatibilities()
    assert found[0] == "recbole is not installed; type: pip install --no-deps recbole==1.2.1"
    assert any("numpy is not installed" in line for line in found)
