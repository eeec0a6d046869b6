"""The completion script: shell functions with every list written into them."""

from __future__ import annotations

import ast
from collections.abc import Mapping, Sequence
from pathlib import Path

from recbole_painvrl.cli import completion_names as names

# Commands that hand settings on to runs.
_TRAIN = ("run", "benchmark", "ablate", "tune")

# Plain sh, for both shells. Prints what `$2` may become; nothing where files are meant.
_WORDS = """\
# Completes recbole-painvrl, `python -m recbole_painvrl` and `python run_recbole.py`.
_recbole_painvrl_match() {
    [ -n "${ZSH_VERSION:-}" ] && emulate -L sh
    local word
    for word in $1; do
        case $word in "$2"*) printf '%s\\n' "$word" ;; esac
    done
}

_recbole_painvrl_given() {
    # The value of --$1=... or --$1 ... among the further words.
    local name=$1 word previous=""
    shift
    for word in "$@"; do
        case $word in --$name=*) printf '%s\\n' "${word#--*=}" ;; esac
        case $previous in --$name) printf '%s\\n' "$word" ;; esac
        previous=$word
    done
}

_recbole_painvrl_folders() {
    local folder path
    path=$(_recbole_painvrl_given data_path "$@")
    for folder in $(ls -d "${path:-dataset}"/*/ 2> /dev/null); do
        basename "$folder"
    done
}

_recbole_painvrl_words() {
    [ -n "${ZSH_VERSION:-}" ] && emulate -L sh
    local chosen=$1 current=$2 name value options="" previous="" last="" word
    shift 2
    for word in "$@"; do
        previous=$last last=$word
    done
    # `--name value` is the same as `--name=value`.
    case $previous:$current in
        *=*:*|*:-*) ;;
        --*) current=$previous=$current ;;
    esac
    case $current in
        --*=*)
            name=${current%%=*} value=${current#*=}
            case ${name#--} in
                model) options="@models@" ;;
                models|what)
                    case $name:$chosen in
                        --models:*) name="@models@" ;;
                        *:export) name="embeddings mask representations" ;;
                        *:ablate) name="losses recall_curve environments choices" ;;
                    esac
                    # Those before the last comma stay.
                    case $value in *,*) last=${value%,*}, ;; *) last="" ;; esac
                    for word in $name; do options="$options $last$word"; done ;;
                dataset) options=$(
                    for word in @datasets@ $(_recbole_painvrl_folders "$@"); do
                        printf '%s\\n' "$word"
                    done | sort -u
                ) ;;
                preset)
                    case $(_recbole_painvrl_given model "$@") in
@presets@
                    esac ;;
@values@
            esac
            _recbole_painvrl_match "$options" "$value" ;;
        -*)
            case $chosen in
@options@
            esac
            _recbole_painvrl_match "$options --help" "$current" ;;
        *)
            case $chosen in
                "") _recbole_painvrl_match "@commands@" "$current" ;;
                completion) _recbole_painvrl_match "@shells@" "$current" ;;
            esac ;;
    esac
}
"""

_BASH = """
_recbole_painvrl() {
    COMPREPLY=()
    # The words as they were typed: bash cuts them at `=`.
    local line=${COMP_LINE:0:COMP_POINT} chosen=""
    local -a typed
    read -ra typed <<< "$line"
    [[ $line == *[[:space:]] ]] && typed+=("")
    local current=${typed[-1]}
    local -a rest=("${typed[@]:1}")
    case ${typed[0]##*/} in
        python*)
            if [[ ${rest[0]} == -m && ${rest[1]} == recbole_painvrl && ${#rest[@]} -gt 2 ]]; then
                rest=("${rest[@]:2}")
            elif [[ ${rest[0]##*/} == run_recbole.py && ${#rest[@]} -gt 1 ]]; then
                rest=(run "${rest[@]:1}")
            else
                declare -F _python > /dev/null && _python "$@"
                return
            fi ;;
    esac
    [[ ${#rest[@]} -gt 1 ]] && chosen=${rest[0]}
    mapfile -t COMPREPLY < <(_recbole_painvrl_words "$chosen" "$current" "${rest[@]}")
    [[ ${#COMPREPLY[@]} -eq 1 && ${COMPREPLY[0]} == *= ]] && compopt -o nospace
    return 0
}
complete -o default -F _recbole_painvrl recbole-painvrl python python3 python3.1{1,2,3,4}
"""

_ZSH = """
_recbole_painvrl() {
    local current=${words[CURRENT]} chosen=""
    local -a rest found
    rest=("${(@)words[2,CURRENT]}")
    case ${words[1]:t} in
        python*)
            if [[ ${rest[1]} == -m && ${rest[2]} == recbole_painvrl && ${#rest} -gt 2 ]]; then
                rest=("${(@)rest[3,-1]}")
            elif [[ ${rest[1]:t} == run_recbole.py && ${#rest} -gt 1 ]]; then
                rest=(run "${(@)rest[2,-1]}")
            else
                _files
                return
            fi ;;
    esac
    (( ${#rest} > 1 )) && chosen=${rest[1]}
    found=(${(f)"$(_recbole_painvrl_words "$chosen" "$current" "${rest[@]}")"})
    [[ $current == *=* ]] && compset -P '*='
    if (( ${#found} == 0 )); then
        _files
    else
        compadd -Q -S '' -- ${found:#^*=}
        compadd -- ${found:#*=}
    fi
}
compdef _recbole_painvrl recbole-painvrl python python3 python3.1{1,2,3,4}
"""

_BINDINGS = {"bash": _BASH, "zsh": _ZSH}
SHELLS = tuple(_BINDINGS)


def script(shell: str) -> str:
    """What a shell evaluates, once per session, to complete quickly ever after.

    Args:
        shell: ``bash`` or ``zsh``.
    """
    lists = {
        "models": " ".join(names.models()),
        "datasets": " ".join(names.datasets()),
        "commands": " ".join(names.commands()),
        "shells": " ".join(SHELLS),
        "presets": _cases(24, names.presets()),
        "values": _cases(16, names.VALUES),
        "options": _cases(16, _options()),
    }
    text = _WORDS
    for name, value in lists.items():
        text = text.replace(f"@{name}@", value)
    return text + _BINDINGS[shell]


def help_page(command: str) -> str:
    """``HELP`` of a command's module, which is read and not imported; empty without one."""
    path = Path(__file__).resolve().parents[1] / "cli" / f"{command}.py"
    if not path.is_file():
        return ""
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.Assign) and getattr(node.targets[0], "id", "") == "HELP":
            return str(ast.literal_eval(node.value))
    return ""


def _options() -> dict[str, list[str]]:
    """Options of every command: those of its page, and settings where it trains."""
    settings = names.settings()
    found = {}
    for command in names.commands():
        further = settings if command in _TRAIN else []
        own = sorted({*names.options(help_page(command)), *further})
        found[command] = [f"--{name}=" for name in own]
    return found


def _cases(indent: int, lists: Mapping[str, Sequence[str]]) -> str:
    blank = " " * indent
    return "\n".join(
        f'{blank}{name}) options="{" ".join(values)}" ;;' for name, values in lists.items()
    )
