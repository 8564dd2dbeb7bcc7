"""Commands of the project, run in the process of the tests: TensorFlow takes seconds to import in a new one."""

import contextlib
import importlib
import importlib.util
import io
import os
import shlex
import subprocess
import tempfile
from pathlib import Path
from typing import NamedTuple

import pytest

from data_prep import __main__ as data_prep
from nr_vqm import command_line

ROOT = Path(__file__).parent.parent


class Ended(NamedTuple):
    """Exit code of a command and what it printed."""

    code: int
    out: str
    err: str


def run(main, *arguments):
    """Run a command as a shell would, with its error messages and exit codes."""
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err), pytest.raises(SystemExit) as ended:
        command_line.run(main, [str(argument) for argument in arguments])
    return Ended(ended.value.code, out.getvalue(), err.getvalue())


def succeed(main, *arguments):
    """Run a command that must succeed; return what it printed."""
    ended = run(main, *arguments)
    assert ended.code == 0, f"{arguments}\n{ended.out}\n{ended.err}"
    return ended.out


def fail(main, *arguments):
    """Run a command that must fail with one line; return that line."""
    ended = run(main, *arguments)
    assert ended.code == command_line.EXIT_FAILED, f"{arguments}\n{ended.out}\n{ended.err}"
    assert ended.err.startswith("error: ") and ended.err.count("\n") == 1
    return ended.err


def prep(database, root, out, *more):
    """Run data_prep with preset tiny in one process; return its exit code. It prints to the terminal."""
    arguments = [database, "--root", str(root), "--out", str(out), "--preset", "tiny", "--workers", "1", *more]
    with pytest.raises(SystemExit) as ended:
        command_line.run(data_prep.main, arguments)
    return ended.value.code


def of_make(*arguments):
    """List the commands that make would run, in order.

    Args:
        arguments: targets and NAME=VALUE.

    Returns:
        (module, its arguments as the shell sees them) of each command; the module of nr-vqm is nr_vqm.cli.
    """
    with tempfile.TemporaryDirectory() as environment:
        Path(environment, ".ready").touch()  # as if set up
        printed = subprocess.run(
            ["make", "-n", *arguments, f"BIN={environment}"],
            cwd=ROOT, capture_output=True, text=True, check=True,
            env={"PATH": os.environ["PATH"]},  # without the variables of a make that runs the tests
        ).stdout  # fmt: skip
        found = []
        for line in printed.replace("\\\n", " ").splitlines():
            words = shlex.split(line)
            if words[:2] == [f"{environment}/python", "-m"]:
                found.append((words[2], words[3:]))
            elif words[:1] == [f"{environment}/nr-vqm"]:
                found.append(("nr_vqm.cli", words[1:]))
    return found


def import_main(module):
    """Import the module of a command; a package is run by its __main__."""
    name = f"{module}.__main__" if importlib.util.find_spec(module).submodule_search_locations else module
    return importlib.import_module(name)


def make(*arguments):
    """Run the commands of make, in this process; each must succeed."""
    for module, of_command in of_make(*arguments):
        succeed(import_main(module).main, *of_command)
