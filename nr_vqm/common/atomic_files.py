"""Atomic writing of files, JSON files, and checksums.

A file is written under a temporary name in the same folder, synchronised to the disk and then renamed.
"""

import contextlib
import hashlib
import json
import os
import platform
import shutil
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

FINGERPRINT_BYTES = 65536  # of each of three places: enough to tell videos apart, little to read over a network


@contextlib.contextmanager
def replace_when_complete(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Replace a file atomically: write to a temporary path, which is renamed when the block succeeds.

    A reader sees either the old file or the complete new one, even after a power failure. The temporary path has the
    suffix of `path`, because some libraries derive the format from it.

    Args:
        path: the file to write or replace. Its folder must exist.

    Yields:
        the temporary path, in the same folder; no file exists there yet.
    """
    path = Path(path)
    temporary = path.with_name(
        f".{path.stem}.part-{platform.node()}-{os.getpid()}-{threading.get_ident()}{path.suffix}"
    )
    try:
        with naming(path):
            yield temporary
            with open(temporary, "rb") as file:
                os.fsync(file.fileno())
            os.replace(temporary, path)
            sync_folder(path.parent)
    finally:
        temporary.unlink(missing_ok=True)


@contextlib.contextmanager
def naming(path: str | os.PathLike[str]) -> Iterator[None]:
    """Add the path of a file to an OSError that lacks it, such as that of a full disk while writing."""
    try:
        yield
    except OSError as error:
        if error.errno is None or error.filename is not None:
            raise
        raise OSError(error.errno, os.strerror(error.errno), os.fspath(path)) from error


@contextlib.contextmanager
def replace_folder_when_complete(folder: str | os.PathLike[str]) -> Iterator[Path]:
    """Write a folder of files under a temporary name, and rename it when the block succeeds.

    An existing folder is moved aside first, so that for a moment no folder of this name exists.

    Args:
        folder: the folder to write or replace; its parents are created.

    Yields:
        the temporary folder, which is empty.
    """
    folder = Path(folder).absolute()
    folder.parent.mkdir(parents=True, exist_ok=True)
    ending = f"part-{platform.node()}-{os.getpid()}-{threading.get_ident()}"
    temporary, old = (folder.with_name(f".{folder.name}{kind}.{ending}") for kind in ("", "-old"))
    temporary.mkdir()
    try:
        yield temporary
        for path in temporary.iterdir():
            with open(path, "rb") as file:
                os.fsync(file.fileno())
        sync_folder(temporary)
        if folder.exists():
            os.replace(folder, old)
        try:
            os.replace(temporary, folder)
        except OSError:
            if old.exists():
                os.replace(old, folder)
            raise
        sync_folder(folder.parent)
    finally:
        for path in (temporary, old):
            shutil.rmtree(path, ignore_errors=True)


def drop_leftovers(folder: str | os.PathLike[str]) -> None:
    """Delete the temporary files of killed processes; those of running processes of this machine are kept."""
    for path in Path(folder).glob(".*.part-*"):
        node, _, ids = path.name.partition(".part-")[2].rpartition("-")[0].rpartition("-")
        if not (node == platform.node() and ids.isdecimal() and _runs(int(ids))):
            shutil.rmtree(path, ignore_errors=True) if path.is_dir() else path.unlink(missing_ok=True)


def _runs(pid: int) -> bool:
    """Return whether the process is running; a zombie is not."""
    try:
        os.kill(pid, 0)
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except PermissionError:
        return True
    except OSError:
        return False
    return state not in "ZX"


def sync_folder(folder: str | os.PathLike[str]) -> None:
    """Synchronise a folder to the disk, so that renames in it survive a power failure."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def write_text(path: str | os.PathLike[str], text: str) -> None:
    """Write a UTF-8 text file atomically."""
    with replace_when_complete(path) as temporary:
        temporary.write_text(text, encoding="utf-8", newline="")


def copy(source: str | os.PathLike[str], path: str | os.PathLike[str]) -> None:
    """Copy a file atomically."""
    with replace_when_complete(path) as temporary:
        shutil.copyfile(source, temporary)


def write_json(path: str | os.PathLike[str], value: object) -> None:
    """Write a JSON file atomically.

    Raises:
        ValueError: a number is NaN or infinite, which JSON cannot represent.
    """
    write_text(path, json.dumps(value, indent=1, allow_nan=False, ensure_ascii=False) + "\n")


def read_json(path: str | os.PathLike[str], *, made_by: str) -> Any:
    """Read a JSON file.

    Args:
        path: the file.
        made_by: the command that creates it, for the message, for example 'make train'.

    Returns:
        the parsed value.

    Raises:
        FileNotFoundError: the file does not exist.
        ValueError: the file is not valid JSON.
    """
    require(path, made_by=made_by)
    try:
        return json.loads(Path(path).read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{path} is not a JSON file ({error}). Make it again: {made_by}.") from error


def require(path: str | os.PathLike[str], *, made_by: str) -> None:
    """Check that a file exists and is a regular file, not a pipe or a device.

    Args:
        path: the file, or a link to it.
        made_by: the command that creates it, for the messages.

    Raises:
        FileNotFoundError: it does not exist.
        ValueError: it is not a regular file; reading a pipe could block for ever, reading a device fill the memory.
    """
    path = Path(path)
    if not path.exists():
        raise FileNotFoundError(f"{path} is missing. Make it first: {made_by}.")
    if not path.is_file():
        raise ValueError(f"{path} must be a regular file. Make it again: {made_by}.")


def check_regular(path: str | os.PathLike[str]) -> None:
    """Check that what exists at a path is a regular file: a pipe could block for ever, a device fill the memory.

    Raises:
        ValueError: it is something else. A missing file is not reported here.
    """
    if os.path.exists(path) and not os.path.isfile(path):
        raise ValueError(f"{path} must be a regular file. Make it again.")


def sha256(path: str | os.PathLike[str]) -> str:
    """Return the SHA-256 checksum of a file as hexadecimal digits.

    Raises:
        FileNotFoundError: it does not exist.
        ValueError: it is not a regular file.
    """
    check_regular(path)
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def fingerprint(path: str | os.PathLike[str]) -> str:
    """Compute a checksum of a large file from its size and three samples of its content.

    Args:
        path: the file; its name and folder do not enter the checksum.

    Returns:
        the first 32 hexadecimal digits of the SHA-256 of the size and of FINGERPRINT_BYTES at the start, in the middle
        and at the end of the file.
    """
    size = os.stat(path).st_size
    digest = hashlib.sha256(str(size).encode())
    with open(path, "rb") as file:
        for start in (0, (size - FINGERPRINT_BYTES) // 2, size - FINGERPRINT_BYTES):
            file.seek(max(0, start))
            digest.update(file.read(FINGERPRINT_BYTES))
    return digest.hexdigest()[:32]
