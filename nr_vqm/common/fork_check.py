"""Detect a process that was forked after TensorFlow's threads had started: it would hang at the next computation."""

import os

_started_in: int | None = None  # process id


def mark() -> None:
    """Record that this process has threads that a fork does not copy. Call it before they start.

    Raises:
        RuntimeError: see `check`.
    """
    global _started_in
    check()
    _started_in = os.getpid()


def check() -> None:
    """Check that this process was not forked from one that has called `mark`.

    Raises:
        RuntimeError: it was.
    """
    if _started_in not in (None, os.getpid()):
        raise RuntimeError(
            "A run was loaded before this process was forked, and TensorFlow would hang in it. Start processes by "
            "multiprocessing.get_context('spawn'), or load the run only in the forked processes."
        )
