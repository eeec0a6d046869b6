"""Options and settings on one command line."""

from __future__ import annotations

import pytest

from recbole_painvrl.arguments import Arguments
from recbole_painvrl.errors import UserError


@pytest.fixture
def parser() -> Arguments:
    parser = Arguments("tune")
    parser.add_argument("runs", nargs="*")
    parser.add_argument("--trials", type=int, default=3)
    parser.add_argument("--models", nargs="+", default=[])
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--force", action="store_true")
    return parser


def test_options_and_settings_part(parser: Arguments) -> None:
    options, settings = parser.parse_with_settings(
        ["--trials", "5", "RUN", "--model=BPR", "--force", "OTHER", "--learning_rate", "0.1",
         "--models", "A", "B", "--topk=[10]"]
    )  # fmt: skip
    assert (options.trials, options.force, options.models) == (5, True, ["A", "B"])
    assert options.runs == ["RUN", "OTHER"]
    assert settings == ["--model=BPR", "--learning_rate=0.1", "--topk=[10]"]


def test_an_option_is_never_abbreviated(parser: Arguments) -> None:
    options, settings = parser.parse_with_settings(["--seed=7"])
    assert options.seeds == 1
    assert settings == ["--seed=7"]


def test_a_negative_number_is_a_value(parser: Arguments) -> None:
    assert parser.parse_with_settings(["--trials", "-1"])[0].trials == -1


@pytest.mark.parametrize(
    ("argv", "parts"),
    [
        (["--trails", "4"], ["`--trails`", "did you mean `--trials`?"]),
        (["--trials", "many"], ["--trials", "'many'"]),
        (["--trials"], ["--trials", "expected one argument"]),
    ],
)
def test_errors_are_one_line_and_say_where_help_is(
    parser: Arguments, argv: list[str], parts: list[str]
) -> None:
    with pytest.raises(UserError) as caught:
        parser.parse_args(argv)
    message = str(caught.value)
    assert "\n" not in message
    for part in [*parts, "see `python -m recbole_painvrl tune --help`"]:
        assert part in message


def test_an_unknown_setting_may_have_been_an_option(parser: Arguments) -> None:
    mistaken = UserError("unknown setting `trails` (command line); BPR has no such setting")
    assert "did you mean `--trials`?" in str(parser.explain_unknown(mistaken))
    other = UserError("unknown setting `zzz` (command line); BPR has no such setting")
    assert parser.explain_unknown(other) is other
