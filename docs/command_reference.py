"""Write the help text of every command as a Markdown page: python -m docs.command_reference docs/commands.md."""

import contextlib
import io
import os
import runpy
import sys
from collections.abc import Mapping
from pathlib import Path

from nr_vqm.common import atomic_files

# Module and sub-command, and how a user calls it.
COMMANDS = {
    "nr_vqm": "nr-vqm",
    "nr_vqm score": "nr-vqm score",
    "nr_vqm compare": "nr-vqm compare",
    "nr_vqm serve": "nr-vqm serve",
    "nr_vqm export": "nr-vqm export",
    "nr_vqm info": "nr-vqm info",
    "nr_vqm doctor": "nr-vqm doctor",
    "nr_vqm completion": "nr-vqm completion",
    "data_prep": "python -m data_prep",
    "experiments.train_cnn": "python -m experiments.train_cnn",
    "experiments.extract_features": "python -m experiments.extract_features",
    "experiments.extract_rivals": "python -m experiments.extract_rivals",
    "experiments.compare_heads": "python -m experiments.compare_heads",
    "experiments.report": "python -m experiments.report",
    "experiments.finetune": "python -m experiments.finetune",
    "experiments.train_fcn_lstm": "python -m experiments.train_fcn_lstm",
    "experiments.train_teacher": "python -m experiments.train_teacher",
    "experiments.score_teacher": "python -m experiments.score_teacher",
    "experiments.cross_database": "python -m experiments.cross_database",
    "experiments.evaluate_features": "python -m experiments.evaluate_features",
    "experiments.ablations": "python -m experiments.ablations",
}


def main() -> None:
    """Run the command; its only argument is the page to write."""
    os.environ["COLUMNS"] = "100"
    atomic_files.write_text(sys.argv[1], page({name: help_text(name) for name in COMMANDS}))
    print(f"Wrote {sys.argv[1]}")


def help_text(command: str) -> str:
    """Return what a command prints with --help.

    Args:
        command: a key of COMMANDS.

    Raises:
        ValueError: there is no such command.
    """
    module, *sub_command = command.split()
    arguments, sys.argv = sys.argv, [module, *sub_command, "--help"]
    try:
        with contextlib.redirect_stdout(io.StringIO()) as printed, contextlib.suppress(SystemExit):
            runpy.run_module(module, run_name="__main__")
    finally:
        sys.argv = arguments
    if not printed.getvalue().startswith("usage:"):
        raise ValueError(f"A command must print its usage with --help. {command!r} printed: {printed.getvalue()!r}.")
    return printed.getvalue()


def page(texts: Mapping[str, str]) -> str:
    """Return the Markdown page.

    Args:
        texts: the help text of each key of COMMANDS.
    """
    parts = ["# Commands", "The texts are those of `--help`. `make help` lists the targets that run them."]
    parts += [f"## {COMMANDS[name]}\n\n```text\n{text.rstrip()}\n```" for name, text in texts.items()]
    return "\n\n".join([*parts, ""])


if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parent.parent))
    main()
