"""Locks that let one command at a time write to a folder or a file."""

import contextlib
import json
import os
import platform
import shlex
import sys
from collections.abc import Iterator
from pathlib import Path

import filelock

from nr_vqm.common import atomic_files, safe_output

LOCK_FILE = ".lock"  # stays in the folder: the operating system holds the lock, the presence of the file means nothing
HOLDER_FILE = ".lock-holder.json"  # process, host and command of the holder, for the message to a second command
MAX_COMMAND = 200  # characters of a command in a message


@contextlib.contextmanager
def folder_lock(folder: str | os.PathLike[str]) -> Iterator[None]:
    """Lock a folder for writing. The operating system releases the lock of a process that dies.

    The lock is reentrant within a process, so that a command can call another one on the same folder.

    Args:
        folder: the folder; created if it does not exist.

    Raises:
        BlockingIOError: another process holds the lock. The message names that process.
    """
    folder = Path(folder).resolve()
    folder.mkdir(parents=True, exist_ok=True)
    with _locked(folder, folder / LOCK_FILE, folder / HOLDER_FILE):
        yield


@contextlib.contextmanager
def file_lock(path: str | os.PathLike[str]) -> Iterator[None]:
    """Lock a single file for writing, without locking its folder.

    Args:
        path: the file, which need not exist; its folder must. Its two lock files are removed when the block ends.

    Raises:
        BlockingIOError: another process holds the lock. The message names that process.
    """
    path = Path(path).resolve()
    lock_file, holder_file = (path.with_name(f".{path.name}{name}") for name in (LOCK_FILE, HOLDER_FILE))
    with _locked(path, lock_file, holder_file):
        try:
            yield
        finally:
            lock_file.unlink(missing_ok=True)  # while it is still locked: filelock does not lock a deleted file


@contextlib.contextmanager
def _locked(path: Path, lock_file: Path, holder_file: Path) -> Iterator[None]:
    lock = filelock.FileLock(lock_file, timeout=0, is_singleton=True, thread_local=False)
    outermost = not lock.is_locked
    try:
        lock.acquire()
    except filelock.Timeout:
        raise BlockingIOError(
            f"{path} is in use by {_describe_holder(holder_file)}. Wait until that command has ended, or stop it."
        ) from None
    try:
        if outermost:
            _write_holder(holder_file)
        yield
    finally:
        if outermost:
            holder_file.unlink(missing_ok=True)
        lock.release()


def _write_holder(holder_file: Path) -> None:
    holder = {"pid": os.getpid(), "host": platform.node(), "command": shlex.join(sys.orig_argv)}
    atomic_files.write_json(holder_file, holder)


def _describe_holder(holder_file: Path) -> str:
    """Return 'process 12 on HOST (COMMAND)', or 'another process' if the file of the holder cannot be read."""
    try:
        holder = json.loads(holder_file.read_text(encoding="utf-8"))
        text = f"process {holder['pid']} on {holder['host']} ({holder['command']:.{MAX_COMMAND}})"
    except (OSError, ValueError, KeyError, TypeError):
        return "another process"
    return safe_output.printable(text)
