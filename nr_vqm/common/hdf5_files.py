"""Atomic writing and memory mapping of HDF5 files."""

import contextlib
import os
from collections.abc import Iterator
from typing import Any

import h5py
import numpy as np

from nr_vqm.common import atomic_files


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


def memory_map(path: str | os.PathLike[str], name: str) -> np.ndarray:
    """Memory-map an uncompressed, contiguous dataset, so that only the rows that are read take memory.

    Args:
        path: the HDF5 file.
        name: the dataset, stored without chunks and filters.

    Returns:
        read-only np.memmap with the shape and dtype of the dataset.

    Raises:
        ValueError: the dataset is chunked, compressed, external or empty.
    """
    with h5py.File(path) as file:
        dataset = file[name]
        offset = dataset.id.get_offset()
        if offset is None or dataset.external:
            raise ValueError(f"{name!r} must be stored contiguously and uncompressed in {path}. Create the file again.")
        return np.memmap(path, dataset.dtype, "r", offset, dataset.shape)
