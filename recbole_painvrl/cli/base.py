"""Declaration and execution of commands: options, settings, exit codes, one-line errors."""

from __future__ import annotations

import io
import os
import signal
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import click

import recbole_painvrl
from recbole_painvrl._compat import torch
from recbole_painvrl.cli import COMMANDS, LIGHT, names
from recbole_painvrl.errors import (
    InterruptedRunError,
    PeerError,
    UserError,
    WriteError,
    did_you_mean,
    place_of,
)
from recbole_painvrl.parallel import launch

DONE, FAILED, WRONG_INPUT = 0, 1, 2
PROGRAM = "python -m recbole_painvrl"
_EXIT_CODES = "0 done, 2 wrong input or configuration (one line says what), 1 any other error"
# Packages whose import name differs from their name on PyPI.
_PACKAGES = {"cloudpickle": "distributed", "faiss": "faiss-cpu", "community": "python-louvain"}


class Option(click.Option):
    """An option whose value cannot be another option: ``--output --trials=3`` lacks a value."""

    def type_cast_value(self, ctx: click.Context, value: Any) -> Any:
        """The value in its type."""
        for text in value if isinstance(value, (list, tuple)) else [value]:
            if isinstance(text, str) and text.startswith("--"):
                raise click.BadParameter(f"found the option {text}, expected a value", ctx, self)
        return super().type_cast_value(ctx, value)


class Command(click.Command):
    """A command whose help page has examples and settings.

    Args:
        name: one of ``COMMANDS``.
        page: text after the options on the help page, printed verbatim.
        exit_codes: their meaning.
        shown_settings: settings listed on the help page; None if the command takes no settings.
        without_words: whether the command runs without arguments; otherwise it shows its help page.
        stopped: line for Ctrl-C and SIGTERM, unless the exception has a message.
        **others: arguments of ``click.Command``.
    """

    def __init__(
        self,
        name: str,
        page: str = "",
        exit_codes: str = _EXIT_CODES,
        shown_settings: Mapping[str, str] | None = None,
        without_words: bool = False,
        stopped: str = "stopped; re-running the command resumes",
        **others: Any,
    ) -> None:
        context: dict[str, Any] = {"max_content_width": 100, "show_default": True}
        # click would also find `-h` in `-epochs=3`, whose second dash is missing.
        context["help_option_names"] = ["--help"]
        if shown_settings is not None:
            context.update(ignore_unknown_options=True)
            setting = click.Argument(
                ["settings"], nargs=-1, type=click.UNPROCESSED, metavar="[--SETTING=VALUE ...]"
            )
            others["params"] = [*others.get("params", ()), setting]
        super().__init__(name, context_settings=context, **others)
        self.page, self.exit_codes, self.shown_settings = page, exit_codes, shown_settings
        self.without_words, self.stopped = without_words, stopped

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Parse; show the help page if there are no arguments."""
        args = ["--help" if word == "-h" else word for word in args]
        ctx.meta["words"] = list(args)
        if not args and not self.without_words and not ctx.resilient_parsing:
            args = ["--help"]
        given = [] if ctx.resilient_parsing else self.make_parser(ctx).parse_args(list(args))[2]
        for param in {id(param): param for param in given}.values():
            # click takes the last value; several are most likely meant to be joined.
            once = isinstance(param, click.Option) and not (param.multiple or param.is_flag)
            if once and sum(other is param for other in given) > 1:
                raise click.UsageError(f"{param.opts[0]} occurs twice; give it once", ctx)
        return super().parse_args(ctx, args)

    def get_params(self, ctx: click.Context) -> list[click.Parameter]:
        """The parameters; during completion also all settings."""
        own = super().get_params(ctx)
        if self.shown_settings is None or not ctx.resilient_parsing:
            return own
        given = {param.name for param in own}
        return [*own, *(one for one in names.setting_options() if one.name not in given)]

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command.

        Raises:
            UserError: the input or the configuration is wrong.
            InterruptedRunError: the command was stopped.
        """
        if self.name != "run":
            launch.refuse_several(f"`{self.name}`")
        if self.name not in LIGHT:
            start()
        try:
            return super().invoke(ctx)
        except UserError as error:
            raise self._explained(error) from error
        except KeyboardInterrupt as error:
            raise InterruptedRunError(str(error) or self.stopped) from error

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the options, then the main settings."""
        super().format_options(ctx, formatter)
        if self.shown_settings:
            with formatter.section("Settings"):
                formatter.write_dl([*self.shown_settings.items()])

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write examples and notes verbatim, and the exit codes."""
        formatter.write(f"\n{self.page.strip(chr(10))}\n\nexit codes: {self.exit_codes}\n")

    def _explained(self, error: UserError) -> UserError:
        """Explain an unknown setting as a misspelt option, if it is one."""
        text = str(error)
        if self.shown_settings is None or not text.startswith("unknown setting `"):
            return error
        name = text.split("`")[1]
        close = did_you_mean(f"--{name}", _options(self))
        return UserError(f"unknown option or setting `--{name}`{close}") if close else error


def command(name: str, **attributes: Any) -> Callable[[Callable[..., int | None]], Command]:
    """Turn a function into the command of this name; its docstring starts the help page."""
    return click.command(name, cls=Command, short_help=COMMANDS[name], **attributes)


def option(*names_and_more: str, **attributes: Any) -> Callable[[Any], Any]:
    """An option of a command, see :class:`Option`."""
    return click.option(*names_and_more, cls=Option, **attributes)


DATA_PATH = option(
    "--data-path",
    "--data_path",
    type=click.Path(),
    help="folder that contains the dataset's folder, if it was moved after the run",
)


def start() -> None:
    """Register the models with RecBole, before a command that needs them.

    Raises:
        InterruptedRunError: Ctrl-C was pressed.
    """
    try:
        recbole_painvrl.start()
    except KeyboardInterrupt as error:
        raise InterruptedRunError("stopped before the command began") from error
    torch.step_without_compiler()


def execute(root: click.Command, argv: Sequence[str]) -> int:
    """Run a command; returns its exit code.

    Args:
        root: the command, or the group of all commands.
        argv: the arguments after its name.
    """
    path = f"{PROGRAM} {root.name}" if root.name else PROGRAM

    def action() -> int | None:
        try:
            with root.make_context(path, list(argv)) as ctx:
                code: int | None = root.invoke(ctx)
                return code
        except click.exceptions.Exit as end:
            return end.exit_code
        except click.ClickException as error:
            raise UserError(_line(error, argv)) from error

    return guarded(action)


def guarded(action: Callable[[], int | None]) -> int:
    """Run a command; errors become one line on stderr and an exit code."""
    # SIGTERM, sent by schedulers, ends a command like Ctrl-C.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, _stop)
    try:
        code = action()
    except UserError as error:
        return launch.end(f"error: {error}", WRONG_INPUT)
    except ModuleNotFoundError as error:
        package = _PACKAGES.get(str(error.name), error.name)
        return launch.end(
            f"error: the package `{error.name}` is needed and not installed; "
            f"type `pip install {package}`",
            WRONG_INPUT,
        )
    except KeyboardInterrupt as error:
        return launch.end(str(error) or "stopped", FAILED)
    except WriteError as error:
        return launch.end(f"error: {error}", FAILED)
    except PeerError as error:
        return launch.end(f"error: {error}", FAILED, by_peer=True)
    except BrokenPipeError:
        # The reader of the output closed the pipe, see `piped`.
        raise
    except Exception as error:
        message = " ".join(str(error).split())
        # A note names the log with the traceback, which an error before the run folder has not.
        notes = getattr(error, "__notes__", None) or [_place(error)]
        notes = "".join(f" ({note})" for note in notes if note)
        return launch.end(f"error: {type(error).__name__}: {message}{notes}", FAILED)
    return DONE if code is None else code


def _place(error: Exception) -> str:
    """Where an error came from, also in a model that is an installed package."""
    # Light commands have no models.
    specs = sys.modules.get("recbole_painvrl.specs")
    return place_of(error, packages=() if specs is None else specs.code_of_others())


def _stop(number: int, frame: object) -> None:
    """A second SIGTERM, perhaps amid saving, is ignored; a second Ctrl-C is not."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    raise KeyboardInterrupt


def piped(action: Callable[[], int]) -> int:
    """Run a command whose output pipe may be closed early, as by ``| head``.

    Returns:
        The exit code of the command, or 1 without a message if the pipe was closed.
    """
    if isinstance(sys.stdout, io.TextIOWrapper):
        # As stderr is: an id or a sign that the terminal lacks must not end a finished command.
        sys.stdout.reconfigure(errors="backslashreplace")
    try:
        try:
            return action()
        finally:
            # Flushed here, since an error of the interpreter's own flush at exit cannot be caught.
            sys.stdout.flush()
            sys.stderr.flush()
    except BrokenPipeError:
        nowhere = os.open(os.devnull, os.O_WRONLY)
        for stream in (sys.stdout, sys.stderr):
            try:
                stream.flush()
            except BrokenPipeError:
                os.dup2(nowhere, stream.fileno())
        return FAILED


def _line(error: click.ClickException, argv: Sequence[str]) -> str:
    """A command line error in one line, with the help page to read."""
    context = getattr(error, "ctx", None)
    text = " ".join(error.format_message().split())
    if isinstance(error, click.NoSuchOption) and context is not None:
        close = did_you_mean(error.option_name, _options(context.command))
        text = f"unknown option `{error.option_name}`{close}"
    text = text.replace("a valid integer range", "a whole number in its range")
    path = PROGRAM if context is None else context.command_path
    # Some errors of a command carry the context of the group.
    if path == PROGRAM and argv and argv[0] in COMMANDS:
        path = f"{PROGRAM} {argv[0]}"
    page = f"{path} --help"
    return f"command line: {text.rstrip('.')}{'' if text.endswith('?') else ';'} see `{page}`"


def _options(one: click.Command) -> list[str]:
    """Names of the options of a command, with dashes."""
    return [name for param in one.params for name in param.opts if name.startswith("--")]
