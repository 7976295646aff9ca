"""Shell completion: one script for bash and zsh, which starts no Python."""

from __future__ import annotations

from typing import Any, Literal, get_args, get_origin

from handful.cli.command import COMMANDS, PROGRAM
from handful.cli.parser import spellings
from handful.cli.signature import REQUIRED
from handful.config.choices import Shell
from handful.config.text import option

PREFACE: dict[Shell, str] = {"bash": "", "zsh": "autoload -Uz compinit bashcompinit && compinit -u && bashcompinit\n"}
"""What each shell needs before the script."""

SCRIPT = """\
_handful() {{
  local current="${{COMP_WORDS[COMP_CWORD]}}" words="" word
  if [ "$COMP_CWORD" -eq 1 ]; then
    words="{commands}"
  else
    case "${{COMP_WORDS[1]}} ${{COMP_WORDS[COMP_CWORD-1]}}" in
{values}
      *)
        case "$current" in
          -*)
            case "${{COMP_WORDS[1]}}" in
{options}
            esac ;;
        esac ;;
    esac
  fi
  COMPREPLY=()
  for word in $words; do
    case "$word" in "$current"*) COMPREPLY+=("$word") ;; esac
  done
}}
complete -o default -F _handful {program}
"""
"""Completes commands, options and the values of options that have few; everything else is completed as a file."""


def completion_script(shell: Shell) -> str:
    """Return the completion script for a shell."""
    values, options = [], []
    for command in COMMANDS.values():
        names = ["--help"]
        for entry in command.options.values():
            # The first argument of a command stands behind its name.
            is_argument = entry.default is REQUIRED or entry.is_argument
            before = command.name if is_argument else option(entry.name)
            names += [] if is_argument else spellings(entry)
            if known := [str(value) for value in choices(entry.kind)]:
                values.append(f'      "{command.name} {before}") words="{" ".join(known)}" ;;')
        options.append(f'              {command.name}) words="{" ".join(names)}" ;;')
    script = SCRIPT.format(
        program=PROGRAM, commands=" ".join(COMMANDS), values="\n".join(values), options="\n".join(options)
    )
    return PREFACE[shell] + script.rstrip()


def choices(kind: Any) -> tuple[Any, ...]:  # noqa: ANN401
    """List the values that a type names, such as those of a ``Literal``, also within a tuple or a union."""
    if get_origin(kind) is Literal:
        return get_args(kind)
    return tuple(value for part in get_args(kind) for value in choices(part))
