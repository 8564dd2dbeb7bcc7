"""Commands of the project, run in the process of the tests: TensorFlow takes seconds to import in a new one."""

import contextlib
import io
from typing import NamedTuple

import pytest

from data_prep import __main__ as data_prep
from nr_vqm import command_line


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
