"""The group of all commands; each is imported when it is called."""

from __future__ import annotations

import importlib

import click

import recbole_painvrl
from recbole_painvrl.cli import COMMANDS
from recbole_painvrl.errors import UserError, did_you_mean

_PAGE = """
`python -m recbole_painvrl COMMAND --help` describes a command, with examples.

from a CSV and feature files to a results table (docs/tutorial.md explains every step)
  python -m dataset_prep table --input ratings.csv --features visual=clip.csv --output dataset/mine
  python -m recbole_painvrl doctor
  python -m recbole_painvrl run --model=PaInvRL --dataset=mine
  python -m recbole_painvrl benchmark --dataset mine --seeds 5 --protocol iid_ood
  python -m recbole_painvrl report runs/PaInvRL-mine-20260101-120000-000
  python -m recbole_painvrl tune --model=PaInvRL --dataset=mine --trials=50

The datasets ml-trailers, planted and ml-100k need no download.
exit codes: 0 done, 2 wrong input or configuration (one line says what), 1 any other error
"""


class _Commands(click.Group):
    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        found: click.Command = importlib.import_module(f"recbole_painvrl.cli.{cmd_name}").command
        return found

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if args[0] not in COMMANDS and not ctx.resilient_parsing:
            hint = did_you_mean(args[0], COMMANDS) or f"; expected one of {', '.join(COMMANDS)}"
            raise UserError(f"unknown command `{args[0]}`{hint}")
        return super().resolve_command(ctx, args)

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        return super().parse_args(ctx, args or ["--help"])

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        # From the list, without importing the commands.
        with formatter.section("Commands"):
            formatter.write_dl([*COMMANDS.items()])

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        formatter.write(_PAGE)


ALL = _Commands(
    help="PaInvRL (MM '23) and its baselines on your data, in and out of distribution.",
    context_settings={"help_option_names": ("-h", "--help"), "max_content_width": 100},
)
click.version_option(recbole_painvrl.__version__, message="%(version)s")(ALL)
