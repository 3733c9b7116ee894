"""`joch version` and `joch completion`: what Joch is, and a script that completes its commands in a shell."""

from __future__ import annotations

import platform
from enum import StrEnum
from typing import Annotated

import typer

from joch_core import __version__
from joch_core.cli.output import Report


class Shell(StrEnum):
    """Shells with a completion script."""

    BASH = "bash"
    ZSH = "zsh"
    FISH = "fish"


def version() -> Report:
    """The version of Joch, of Python and of the built-in models."""
    from joch_core.resources import builtin

    header = builtin.table()["header"]
    catalog = {"date": header["date"], "sha256": header["sha256"]}
    data = {"joch": __version__, "python": platform.python_version(), "catalog": catalog}
    models = f"models of {catalog['date']}, {catalog['sha256'][:12]}"
    return Report(data, f"joch {__version__} (Python {data['python']}; {models})")


def completion(shell: Annotated[Shell, typer.Argument(help="The shell.", metavar="bash|zsh|fish")]) -> Report:
    """The completion script: `source <(joch completion bash)`."""
    script = {Shell.BASH: _bash, Shell.ZSH: _zsh, Shell.FISH: _fish}[shell]()
    return Report({"shell": shell.value, "script": script}, script.rstrip("\n"))


_OPTIONS = ("--namespace", "--output", "--store", "--debug", "--help")


def _words() -> dict[str, list[str]]:
    """First word of each command -> the second words that may follow it."""
    from joch_core.cli.main import COMMANDS
    from joch_core.resources.kinds import KINDS

    words: dict[str, list[str]] = {}
    for row in COMMANDS:
        first, _, second = row.words.partition(" ")
        words.setdefault(first, []).extend([second] if second else [])
    kinds = sorted(kind.lower() for kind in KINDS)
    return words | {"get": kinds, "describe": kinds, "schema": kinds, "completion": [shell.value for shell in Shell]}


def _bash() -> str:
    words = _words()
    cases = "\n".join(f"        {first}) words='{' '.join(second)}' ;;" for first, second in words.items() if second)
    return f"""\
_joch() {{
    local current=${{COMP_WORDS[COMP_CWORD]}} previous=${{COMP_WORDS[COMP_CWORD-1]}} words=
    case $previous in
        -o|--output) words='table json yaml' ;;
        -f|--filename|--html|--result) COMPREPLY=($(compgen -f -- "$current")); return ;;
    esac
    if [[ -z $words ]]; then
        if [[ $current == -* ]]; then words='{" ".join(_OPTIONS)}'
        elif (( COMP_CWORD == 1 )); then words='{" ".join(words)}'
        elif (( COMP_CWORD == 2 )); then
        case ${{COMP_WORDS[1]}} in
{cases}
        esac
        fi
    fi
    COMPREPLY=($(compgen -W "$words" -- "$current"))
}}
complete -o default -F _joch joch
"""


def _zsh() -> str:
    words = _words()
    cases = "\n".join(f"        {first}) compadd -- {' '.join(second)} ;;" for first, second in words.items() if second)
    return f"""\
#compdef joch
_joch() {{
    if [[ $words[CURRENT-1] == (-o|--output) ]]; then compadd -- table json yaml; return; fi
    if [[ $words[CURRENT-1] == (-f|--filename|--html|--result) ]]; then _files; return; fi
    if [[ $words[CURRENT] == -* ]]; then compadd -- {" ".join(_OPTIONS)}; return; fi
    if (( CURRENT == 2 )); then compadd -- {" ".join(words)}; return; fi
    if (( CURRENT == 3 )); then
        case $words[2] in
{cases}
        *) _files ;;
        esac
        return
    fi
    _files
}}
compdef _joch joch
"""


def _fish() -> str:
    words = _words()
    rows = ["complete -c joch -f", f"complete -c joch -n __fish_use_subcommand -a '{' '.join(words)}'"]
    for first, second in words.items():
        if second:
            rows.append(f"complete -c joch -n '__fish_seen_subcommand_from {first}' -a '{' '.join(second)}'")
    rows += [
        "complete -c joch -s n -l namespace -x -d 'Namespace'",
        "complete -c joch -s o -l output -x -a 'table json yaml' -d 'Form of the output'",
        "complete -c joch -l store -x -d 'URL of the store'",
        "complete -c joch -l debug -d 'Show tracebacks'",
        "complete -c joch -s f -l filename -r -F -d 'YAML file or folder'",
    ]
    return "\n".join(rows) + "\n"
