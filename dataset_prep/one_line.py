"""A parser that says what is wrong in one line, as every other error of the command line does."""

from __future__ import annotations

import argparse
from typing import NoReturn


class OneLineParser(argparse.ArgumentParser):
    """Wrong options end the program with exit code 2 and one line instead of the usage."""

    def error(self, message: str) -> NoReturn:
        """Print the message and how to see all options, and exit."""
        self.exit(2, f"error: {' '.join(message.split())}; see `{self.prog} --help`\n")
