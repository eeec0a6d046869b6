"""``python -m recbole_painvrl completion``: completion by the tab key."""

from __future__ import annotations

from collections.abc import Sequence

from recbole_painvrl.cli.completion_script import SHELLS, script
from recbole_painvrl.cli.outcome import DONE, guarded, wants_help
from recbole_painvrl.errors import UserError, did_you_mean

HELP = """\
usage: python -m recbole_painvrl completion bash|zsh

Prints a script that lets the tab key complete commands, options and settings, models, datasets
(those of ./dataset or --data_path, too), presets and protocols, behind `recbole-painvrl`,
`python -m recbole_painvrl` and `python run_recbole.py`. All lists are in the script, so that
completing starts no Python.

  eval "$(python -m recbole_painvrl completion bash)"                        this session
  python -m recbole_painvrl completion bash > ~/.recbole-painvrl.bash        for good, with
  echo 'source ~/.recbole-painvrl.bash' >> ~/.bashrc                         this line
  python -m recbole_painvrl completion zsh > ~/.recbole-painvrl.zsh          zsh: source it
  echo 'source ~/.recbole-painvrl.zsh' >> ~/.zshrc                           after compinit

exit codes: 0 done, 2 wrong input (one line says what)
"""


def main(argv: Sequence[str]) -> int:
    """Print the script; returns the exit code."""
    if wants_help(argv):
        print(HELP)
        return DONE
    return guarded(lambda: _print(argv))


def _print(argv: Sequence[str]) -> None:
    if len(argv) != 1 or argv[0] not in SHELLS:
        found = " ".join(argv)
        close = did_you_mean(found, SHELLS) or f"; expected one of {', '.join(SHELLS)}"
        raise UserError(f"command line: there is no completion for `{found}`{close}")
    print(script(argv[0]))
