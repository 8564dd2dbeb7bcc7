"""Files that are never half written: beside, fsync, rename."""

import contextlib
import hashlib
import json
import os
import platform
import threading
from pathlib import Path

FINGERPRINT_BYTES = 65536


@contextlib.contextmanager
def replacing(path):
    """Give a path beside `path` to write to; rename it over `path` when the block ends well.

    A reader sees the old file or the whole new one, also after a power cut. The suffix is kept,
    because some libraries choose the format by it.

    Args:
        path: the file to write or replace. Its folder must exist.

    Yields:
        pathlib.Path of a file that does not exist yet, in the same folder.
    """
    path = Path(path)
    beside = path.with_name(f".{path.stem}.part-{platform.node()}-{os.getpid()}-{threading.get_ident()}{path.suffix}")
    try:
        yield beside
        with open(beside, "rb") as file:
            os.fsync(file.fileno())
        os.replace(beside, path)
        sync_folder(path.parent)
    finally:
        beside.unlink(missing_ok=True)


def drop_leftovers(folder):
    """Delete what killed writers left beside their files; not what a process of this machine is writing now."""
    for path in Path(folder).glob(".*.part-*"):
        node, _, ids = path.name.partition(".part-")[2].rpartition("-")[0].rpartition("-")
        if not (node == platform.node() and ids.isdecimal() and _runs(int(ids))):
            path.unlink(missing_ok=True)


def _runs(pid):
    """Whether there is such a process, other than one that has ended and that nobody has asked about yet."""
    try:
        os.kill(pid, 0)
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except PermissionError:
        return True
    except OSError:
        return False
    return state not in "ZX"


def sync_folder(folder):
    """Make the renames in `folder` survive a power cut."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def write_text(path, text):
    """Write a UTF-8 text file whole."""
    with replacing(path) as beside:
        beside.write_text(text, encoding="utf-8", newline="")


def write_json(path, value):
    """Write a JSON file whole; numbers that JSON lacks (NaN, infinity) are refused."""
    write_text(path, json.dumps(value, indent=1, allow_nan=False, ensure_ascii=False) + "\n")


def read_json(path, *, made_by):
    """Read a JSON file.

    Args:
        path: the file.
        made_by: what makes it, for the message: 'make train'.

    Raises:
        FileNotFoundError: it is not there.
        ValueError: it is not JSON.
    """
    require(path, made_by=made_by)
    try:
        return json.loads(Path(path).read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"{path} is not a JSON file ({error}). Make it again: {made_by}.") from error


def require(path, *, made_by):
    """Raise FileNotFoundError, saying what makes the file, unless it is there."""
    if not Path(path).exists():
        raise FileNotFoundError(f"{path} is missing. Make it first: {made_by}.")


def sha256(path):
    """The SHA-256 of a file's bytes, as hex digits."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def fingerprint(path):
    """Identify a large file by its content without reading all of it.

    Args:
        path: the file; its name and place do not matter.

    Returns:
        32 hex digits: of the SHA-256 of its size and of FINGERPRINT_BYTES at its start, in its middle and at its end.
    """
    size = os.stat(path).st_size
    digest = hashlib.sha256(str(size).encode())
    with open(path, "rb") as file:
        for start in (0, (size - FINGERPRINT_BYTES) // 2, size - FINGERPRINT_BYTES):
            file.seek(max(0, start))
            digest.update(file.read(FINGERPRINT_BYTES))
    return digest.hexdigest()[:32]
