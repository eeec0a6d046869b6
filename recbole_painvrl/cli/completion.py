"""``python -m recbole_painvrl completion``: shell completion, by click."""

from __future__ import annotations

import os

import click
from click.shell_completion import (
    BashComplete,
    CompletionItem,
    FishComplete,
    ShellComplete,
    ZshComplete,
)

from recbole_painvrl.cli import base

PAGE = """
Completes commands, options, settings, models, datasets (built-in ones and those of ./dataset or
--data_path), presets and other values of `recbole-painvrl`; in bash and zsh also of
`python -m recbole_painvrl` and `python run_recbole.py`.

  eval "$(python -m recbole_painvrl completion bash)"                        this session
  python -m recbole_painvrl completion bash > ~/.recbole-painvrl.bash        permanently,
  echo 'source ~/.recbole-painvrl.bash' >> ~/.bashrc                         with this line
  python -m recbole_painvrl completion zsh > ~/.recbole-painvrl.zsh          zsh: source it
  echo 'source ~/.recbole-painvrl.zsh' >> ~/.zshrc                           after compinit
  python -m recbole_painvrl completion fish \\
      > ~/.config/fish/completions/recbole-painvrl.fish                      fish
"""
_PROGRAM, _VARIABLE = "recbole-painvrl", "_RECBOLE_PAINVRL_COMPLETE"
# Click's function runs the program that it completes: here this module of that Python.
_BASH_PYTHON = """
_recbole_painvrl_python() {
    case " ${COMP_WORDS[*]} " in
        *" -m recbole_painvrl "*|*run_recbole.py\\ *)
            _recbole_painvrl_completion "$1"$'\\n-m\\nrecbole_painvrl' ;;
    esac
}
complete -o nosort -o bashdefault -o default -F _recbole_painvrl_python \\
    python python3 python3.1{1,2,3,4}
"""
_ZSH_PYTHON = """
_recbole_painvrl_python() {
    case " ${words[*]} " in
        *" -m recbole_painvrl "*|*run_recbole.py\\ *) _python_completion ;;
        *) _files ;;
    esac
}
compdef _recbole_painvrl_python python python3 python3.1{1,2,3,4}
"""


class _Bash(BashComplete):
    def source(self) -> str:
        return super().source() + _BASH_PYTHON

    def get_completion_args(self) -> tuple[list[str], str]:
        return _behind_program(*super().get_completion_args())


class _Zsh(ZshComplete):
    def source(self) -> str:
        python = ZshComplete(self.cli, {}, "python", _VARIABLE).source()
        python = python.replace("zsh_complete python", "zsh_complete python -m recbole_painvrl")
        return super().source() + python.replace("compdef ", "# compdef ") + _ZSH_PYTHON

    def get_completion_args(self) -> tuple[list[str], str]:
        return _behind_program(*super().get_completion_args())

    def get_completions(self, args: list[str], incomplete: str) -> list[CompletionItem[str]]:
        return _whole(super().get_completions(args, incomplete), incomplete)


class _Fish(FishComplete):
    def get_completions(self, args: list[str], incomplete: str) -> list[CompletionItem[str]]:
        return _whole(super().get_completions(args, incomplete), incomplete)


SHELLS: dict[str, type[ShellComplete]] = {"bash": _Bash, "zsh": _Zsh, "fish": _Fish}


@base.command("completion", page=PAGE)
@click.argument("shell", type=click.Choice(list(SHELLS)))
def command(shell: str) -> None:
    """Print a script that lets the tab key complete what you type."""
    from recbole_painvrl.cli.group import ALL

    print(SHELLS[shell](ALL, {}, _PROGRAM, _VARIABLE).source())


def answer(root: click.Command) -> int:
    """Where a shell asks for completions, print them and return 1; else return 0.

    Args:
        root: the group of all commands.
    """
    shell, _, instruction = os.environ.get(_VARIABLE, "").partition("_")
    if shell not in SHELLS or instruction != "complete":
        return 0
    print(SHELLS[shell](root, {}, _PROGRAM, _VARIABLE).complete())
    return 1


def _behind_program(args: list[str], incomplete: str) -> tuple[list[str], str]:
    """The words after the program's name; words that bash split at ``=`` are joined again."""
    words: list[str] = []
    for word in [*args, incomplete]:
        if words and (word == "=" or words[-1].endswith("=")):
            words[-1] += word
        else:
            words.append(word)
    if words[:2] == ["-m", "recbole_painvrl"]:
        words = words[2:]
    elif words[0].endswith("run_recbole.py"):
        words[0] = "run"
    return words[:-1], words[-1]


def _whole(found: list[CompletionItem[str]], incomplete: str) -> list[CompletionItem[str]]:
    """Values as ``--option=value`` where the shell replaces the whole word, option included."""
    name, equals, _ = incomplete.partition("=")
    if equals and name.startswith("--"):
        for item in found:
            item.value = f"{name}={item.value}"
    return found
