"""One command at a time on a folder or a file: the second one is refused, and told which process holds it."""

import contextlib
import json
import os
import platform
import shlex
import sys
from collections.abc import Iterator
from pathlib import Path

import filelock

from nr_vqm.common import atomic_files

LOCK_FILE = ".lock"  # stays in the folder, empty: a lock is the operating system's, not the presence of a file
HOLDER_FILE = ".lock-holder.json"  # for people: what the lock itself does not say
MAX_COMMAND = 200  # characters of a command in a message


@contextlib.contextmanager
def folder_lock(folder: str | os.PathLike) -> Iterator[None]:
    """Lock a folder that this command writes to; the operating system releases the lock of a process that dies.

    Within one process the lock may be taken again for the same folder: a command that runs another one keeps it.

    Args:
        folder: the folder; it is created where it is missing.

    Raises:
        BlockingIOError: another process holds the lock. The message names it.
    """
    folder = Path(folder).resolve()
    folder.mkdir(parents=True, exist_ok=True)
    with _locked(folder, folder / LOCK_FILE, folder / HOLDER_FILE):
        yield


@contextlib.contextmanager
def file_lock(path: str | os.PathLike) -> Iterator[None]:
    """Lock one file that this command writes to, in a folder that is not its own: see `folder_lock`.

    Args:
        path: the file, which may be missing; its folder exists. Two files beside it are removed at the end.

    Raises:
        BlockingIOError: another process holds the lock. The message names it.
    """
    path = Path(path).resolve()
    lock_file, holder_file = (path.with_name(f".{path.name}{name}") for name in (LOCK_FILE, HOLDER_FILE))
    with _locked(path, lock_file, holder_file):
        try:
            yield
        finally:
            lock_file.unlink(missing_ok=True)  # still locked: filelock takes no lock on a file that is deleted


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
    """'process 12 on HOST (COMMAND)'; 'another process' where the holder has not written who it is."""
    try:
        holder = json.loads(holder_file.read_text(encoding="utf-8"))
        text = f"process {holder['pid']} on {holder['host']} ({holder['command']:.{MAX_COMMAND}})"
    except (OSError, ValueError, KeyError, TypeError):
        return "another process"
    return "".join(character if character.isprintable() else "?" for character in text)
