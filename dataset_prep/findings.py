"""Findings of ``check``: broken things, warnings and verified things, one line each."""

from __future__ import annotations

from collections.abc import Callable

from recbole_painvrl.errors import UserError


class Findings:
    """Broken things, warnings and things found in order, printed as they come."""

    def __init__(self) -> None:
        self.broken = 0

    def bad(self, text: str) -> None:
        """Something that must be mended."""
        self.broken += 1
        print(f"broken: {text}")

    def warn(self, text: str) -> None:
        """Something that loads, but that a person should know."""
        print(f"warning: {text}")

    def good(self, text: str) -> None:
        """Something verified."""
        print(f"ok: {text}")

    def guard(self, step: Callable[[], None]) -> None:
        """Run a check; a file that cannot be read is a finding."""
        try:
            step()
        except UserError as error:
            self.bad(str(error))
        except OSError as error:
            self.bad(f"{error.filename}: not readable ({error.strerror}); check its permission")
