"""Shell completion of `nr-vqm`: a bash script made from the options of its parser."""

import argparse
import re

from nr_vqm.common import devices

OPEN_VALUES = {"--device": devices.NAMES}  # values to offer for options that accept others, too
SCRIPT = """# Completion of nr-vqm in bash. Load it with: eval "$(nr-vqm completion bash)"
_nr_vqm() {{
    local word="${{COMP_WORDS[COMP_CWORD]}}" last="${{COMP_WORDS[COMP_CWORD-1]}}" words=""
    case "${{COMP_WORDS[1]}} $last" in
{values}
    esac
    if [[ -z $words && $COMP_CWORD -gt 1 && $word == -* ]]; then
        case "${{COMP_WORDS[1]}}" in
{options}
        esac
    elif [[ $COMP_CWORD -eq 1 ]]; then
        words="{commands}"
    fi
    COMPREPLY=($(compgen -W "$words" -- "$word"))
}}
complete -o default -F _nr_vqm nr-vqm"""


def bash(parser: argparse.ArgumentParser) -> str:
    """Return the completion script: commands, their options, and the values of options that have few.

    Everything else completes to file names.

    Args:
        parser: the parser of `nr-vqm`.
    """
    commands = _commands(parser)
    options, values = [], []
    for name, command in commands.items():
        names = " ".join(option for action in command._actions for option in action.option_strings)
        options.append(f'            {name}) words="{names}" ;;')
        for action in command._actions:
            offered = action.choices or OPEN_VALUES.get("".join(action.option_strings[-1:]))
            if offered is None:
                continue
            choices = " ".join(map(str, offered))
            for word in action.option_strings or ([name] if action.nargs is None else []):
                values.append(f'        "{name} {word}") words="{choices}" ;;')
    top = " ".join(option for action in parser._actions for option in action.option_strings)
    script = SCRIPT.format(values="\n".join(values), options="\n".join(options), commands=f"{' '.join(commands)} {top}")
    assert not re.search(r"[`\\]", script)  # nothing that bash would interpret
    return script


def _commands(parser: argparse.ArgumentParser) -> dict[str, argparse.ArgumentParser]:
    """Return the parsers of the sub-commands by name."""
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            return dict(action.choices)
    raise AssertionError("The parser has no sub-commands.")
