"""Options of a command beside settings of a run: one parser whose errors are one line."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import NoReturn

from recbole_painvrl.errors import UserError, did_you_mean

_UNRECOGNIZED = "unrecognized arguments: "


class Arguments(argparse.ArgumentParser):
    """Parses inside ``outcome.guarded``: whatever is wrong is a :class:`UserError`.

    Help is not argparse's: a command prints its ``HELP`` where ``outcome.wants_help`` says so.

    Args:
        command: name of the command, which messages point to.
    """

    def __init__(self, command: str) -> None:
        super().__init__(prog=f"python -m recbole_painvrl {command}", add_help=False)
        # `--seed` is a setting of every run and must never be taken for `--seeds`.
        self.allow_abbrev = False

    def error(self, message: str) -> NoReturn:
        """Raise :class:`UserError` instead of printing the usage and leaving the process.

        Raises:
            UserError: always.
        """
        text = " ".join(message.split())
        if text.startswith(_UNRECOGNIZED):
            word = text.removeprefix(_UNRECOGNIZED).split()[0]
            name = word.partition("=")[0]
            what = "unknown option" if word.startswith("-") else "found one word too many:"
            text = f"{what} `{name}`{did_you_mean(name, self.options())}"
        raise UserError(f"command line: {text.rstrip('?.')}{_end(text)}see `{self.prog} --help`")

    def options(self) -> list[str]:
        """Names of all options, with their dashes."""
        return sorted(name for name in self._option_string_actions if name.startswith("--"))

    def parse_with_settings(self, argv: Sequence[str]) -> tuple[argparse.Namespace, list[str]]:
        """Parse the options of this command and hand on the settings of a run.

        Args:
            argv: words such as ``--trials 5 --model=BPR --learning_rate=0.01 RUN``.

        Returns:
            ``(options, settings)``; settings are ``--name=value`` words as
            ``config.parse_overrides`` reads them. Whether such a setting exists is for the
            configuration to say; :func:`explain_unknown` adds what it cannot know.

        Raises:
            UserError: a wrong option or value.
        """
        own: list[str] = []
        settings: list[str] = []
        words = list(argv)
        while words:
            word = words.pop(0)
            name = word.partition("=")[0]
            if not word.startswith("--") or name in self._option_string_actions:
                own.append(word)
                own += self._values(word, words)
            elif "=" in word or not words or words[0].startswith("--"):
                settings.append(word)
            else:
                settings.append(f"{word}={words.pop(0)}")
        # Runs and files may stand before, between and after the options.
        return self.parse_intermixed_args(own), settings

    def explain_unknown(self, error: UserError) -> UserError:
        """The error of a setting that does not exist, as of an option of this command.

        Args:
            error: of the configuration, ``unknown setting `x` ...``.

        Returns:
            The same error, or one that names the option that was meant.
        """
        text = str(error)
        if not text.startswith("unknown setting `"):
            return error
        name = text.split("`")[1]
        close = did_you_mean(f"--{name}", self.options())
        return UserError(f"unknown option or setting `--{name}`{close}") if close else error

    def _values(self, word: str, words: list[str]) -> list[str]:
        """The values that follow an option, taken off ``words``."""
        action = self._option_string_actions.get(word)
        taken: list[str] = []
        if action is None or action.nargs == 0:
            return taken
        many = action.nargs in ("+", "*")
        while words and not words[0].startswith("--") and (many or not taken):
            taken.append(words.pop(0))
        return taken


def _end(text: str) -> str:
    return "? " if text.endswith("?") else "; "
