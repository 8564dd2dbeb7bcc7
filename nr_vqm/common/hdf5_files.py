"""Atomic writing, checked reading and memory mapping of HDF5 files."""

import contextlib
import os
from collections.abc import Iterator
from typing import Any

import h5py
import numpy as np

from nr_vqm.common import atomic_files

MAX_OBJECTS = 200  # data sets and groups of one file; the files of nr-vqm have some dozen
MAX_COMPRESSION = 1100  # uncompressed bytes per stored byte; deflate reaches 1,032, LZ4 255


@contextlib.contextmanager
def writing(path: str | os.PathLike[str], **options: Any) -> Iterator[h5py.File]:
    """Open an HDF5 file for atomic writing: it replaces `path` when the block succeeds.

    Args:
        path: the file to write or replace. Its folder must exist.
        options: further arguments of h5py.File.

    Yields:
        the open h5py.File.

    Raises:
        OSError: the file could not be written, for example on a full disk.
    """
    try:
        with (
            atomic_files.replace_when_complete(path) as temporary,
            h5py.File(temporary, "w", rdcc_nbytes=0, **options) as file,
        ):
            try:
                yield file
                file.flush()
            except (OSError, RuntimeError):
                # HDF5 crashes when the process exits if a file could not be closed. Closing needs some space on the
                # disk; without a chunk cache it needs little, and truncating provides it.
                os.truncate(temporary, 0)
                raise
    except RuntimeError as error:  # h5py raises it where a file cannot be closed
        raise OSError(f"{path} could not be written: {error}") from error


@contextlib.contextmanager
def reading(path: str | os.PathLike[str]) -> Iterator[h5py.File]:
    """Open an HDF5 file for reading, after checking that it holds nothing but data of plausible size.

    An HDF5 file can name other files whose content is read in its place, and can declare any shape in a few bytes.

    Args:
        path: the file.

    Yields:
        the open h5py.File.

    Raises:
        ValueError: it is no regular file, not HDF5 or damaged, a data set is missing, the file refers to other files or
            objects by links, or a data set declares far more values than are stored.
    """
    atomic_files.check_regular(path)
    try:
        file = h5py.File(path, "r")
    except OSError as error:
        raise ValueError(f"An HDF5 file is needed, {path} is damaged or another file: {error}") from error
    with file:
        try:
            _check_members(file, path, {_address(file)})
            yield file
        except (KeyError, RuntimeError, TypeError) as error:  # h5py raises these for missing and damaged parts
            raise ValueError(f"A complete HDF5 file of nr-vqm is needed, {path} is not one: {error}") from error
        except OSError as error:
            if "read data" not in str(error):  # of the block, which may write another file
                raise
            raise ValueError(f"{path} is damaged: {error}. Make the file again.") from error


def _check_members(group: h5py.Group, path: str | os.PathLike[str], seen: set[int]) -> None:
    """Check the links and data sets below a group; `seen` has the addresses of the objects that were found."""
    for name in group:
        if not isinstance(group.get(name, getlink=True), h5py.HardLink):
            raise ValueError(f"{path} must hold its own data, {name!r} is a link. Make the file again.")
        member = group[name]
        if _address(member) in seen or len(seen) > MAX_OBJECTS:
            raise ValueError(f"{path} must hold each object once and at most {MAX_OBJECTS}. Make the file again.")
        seen.add(_address(member))
        if isinstance(member, h5py.Group):
            _check_members(member, path, seen)
        elif isinstance(member, h5py.Dataset):
            _check_dataset(member, path)


def _check_dataset(dataset: h5py.Dataset, path: str | os.PathLike[str]) -> None:
    if dataset.external or dataset.is_virtual:
        raise ValueError(f"{path} must hold its own data, {dataset.name!r} refers to other files. Make the file again.")
    stored = dataset.id.get_storage_size()
    declared = dataset.size * dataset.id.get_type().get_size() if dataset.size else 0
    if dataset.id.get_create_plist().get_layout() == h5py.h5d.CHUNKED:
        stored *= MAX_COMPRESSION
    if declared > stored:
        raise ValueError(
            f"{path} must store the values that it declares, {dataset.name!r} of shape {dataset.shape} has "
            f"{dataset.id.get_storage_size():,} bytes. Make the file again."
        )


def _address(member: Any) -> int:
    address: int = h5py.h5o.get_info(member.id).addr
    return address


def memory_map(path: str | os.PathLike[str], name: str) -> np.ndarray:
    """Memory-map an uncompressed, contiguous dataset, so that only the rows that are read take memory.

    Args:
        path: the HDF5 file.
        name: the dataset, stored without chunks and filters.

    Returns:
        read-only np.memmap with the shape and dtype of the dataset.

    Raises:
        ValueError: the dataset is chunked, compressed or empty, or `reading` refuses the file.
    """
    with reading(path) as file:
        dataset = file[name]
        offset = dataset.id.get_offset()
        if offset is None:
            raise ValueError(f"{name!r} must be stored contiguously and uncompressed in {path}. Create the file again.")
        return np.memmap(path, dataset.dtype, "r", offset, dataset.shape)
