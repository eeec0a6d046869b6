"""Command line: ``python -m dataset_prep SOURCE ... --output FOLDER``, ``check``, ``describe``."""

from __future__ import annotations

import argparse
import io
import re
import signal
import sys
from collections.abc import Sequence
from typing import Any, NoReturn, TextIO

from dataset_prep import check, describe
from dataset_prep.sources import (
    amazon,
    diffmm,
    extract,
    kwai,
    lattice,
    microlens,
    mmgcn,
    mmrec,
    movielens,
    planted,
    table,
    tiktok,
    ultragcn,
)
from recbole_painvrl.errors import UserError, WriteError, did_you_mean

_MODULES = (
    *(movielens, mmgcn, diffmm, ultragcn, table, planted),
    *(tiktok, kwai, mmrec, lattice, amazon, microlens, extract),
    *(check, describe),
)
COMMANDS = {module.COMMAND.name: module.COMMAND for module in _MODULES}


class _Once(argparse.Action):
    """Stores the value of an option; several values add up if the option is repeated."""

    def __call__(
        self,
        parser: argparse.ArgumentParser,
        namespace: argparse.Namespace,
        values: Any,
        option_string: str | None = None,
    ) -> None:
        """Store the value or values."""
        given = namespace.__dict__.setdefault("_given", set())
        if self.dest in given and self.nargs == "+":
            values = [*getattr(namespace, self.dest), *values]
        elif self.dest in given:
            raise UserError(f"{option_string}: occurs twice; give it once")
        given.add(self.dest)
        setattr(namespace, self.dest, values)


class _Parser(argparse.ArgumentParser):
    """A parser whose errors are one line instead of the usage; exit code 2.

    An option that is given twice does not silently lose its first value.
    """

    def __init__(self, *words: Any, **options: Any) -> None:
        super().__init__(*words, **options)
        self.register("action", None, _Once)
        self.register("action", "store", _Once)

    def error(self, message: str) -> NoReturn:
        """Print the message and the command that shows all options, and exit."""
        self.exit(2, f"error: {' '.join(message.split())}; see `{self.prog} --help`\n")


def _parse(given: list[str]) -> argparse.Namespace:
    parser = _Parser(
        prog="python -m dataset_prep",
        description="Prepare a checked dataset folder from a source of data.",
        epilog="python -m dataset_prep NAME --help shows a full example of each",
    )
    parsers = parser.add_subparsers(title="sources and commands", metavar="SOURCE", required=True)
    # Making all parsers takes long; they are needed only to list the commands.
    for name in given[:1] if given[:1] and given[0] in COMMANDS else COMMANDS:
        COMMANDS[name].add_parser(parsers)
    for name in given[:1]:
        if name not in COMMANDS and not name.startswith("-"):
            raise UserError(
                f"{name}: no such source or command{did_you_mean(name, COMMANDS)}; there are "
                f"{', '.join(COMMANDS)}"
            )
    arguments, unknown = parser.parse_known_args(given)
    if unknown:
        options = re.findall(r"--[\w-]+", parsers.choices[given[0]].format_usage())
        meant = did_you_mean(unknown[0].partition("=")[0], options)
        parser.error(f"unrecognized arguments: {' '.join(unknown)}{meant}")
    return arguments


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command; exit code 0 if done, 2 if the input is wrong, 130 after Ctrl-C, 1 otherwise.

    Unless it is 0, one line says why.
    """
    try:
        arguments = _parse(list(sys.argv[1:] if argv is None else argv))
        code: int = arguments.run(arguments)
        sys.stdout.flush()
        return code
    except (UserError, WriteError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1 if isinstance(error, WriteError) else 2
    except KeyboardInterrupt:
        print("stopped", file=sys.stderr)
        return 130
    except OSError as error:
        where = f"{error.filename}: " if error.filename else ""
        print(
            f"error: {where}{error.strerror or error}; check permission and free space, also of "
            "the temporary folder (TMPDIR)",
            file=sys.stderr,
        )
        return 2


class _Pipe(io.FileIO):
    """A stream whose pipe may be closed (`| head`): the command continues without output."""

    def write(self, content: Any) -> int:
        """Write the bytes; after the pipe was closed, drop them."""
        try:
            return super().write(content)
        except BrokenPipeError:
            return len(content)


def _piped(stream: TextIO) -> TextIO:
    """The same stream; a character that it lacks, as in an id, must not end a finished command."""
    buffer = io.BufferedWriter(_Pipe(stream.fileno(), "w", closefd=False))
    return io.TextIOWrapper(buffer, stream.encoding, "backslashreplace", line_buffering=True)


if __name__ == "__main__":
    sys.stdout, sys.stderr = _piped(sys.stdout), _piped(sys.stderr)
    # A shell's background commands ignore Ctrl-C unless a handler is set.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    # Exit as after Ctrl-C, so that temporary files are removed.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    sys.exit(main())
