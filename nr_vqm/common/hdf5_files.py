"""HDF5 files that are written whole or not at all, on a full disk too."""

import contextlib
import os

import h5py
import numpy as np

from nr_vqm.common import atomic_files


@contextlib.contextmanager
def writing(path, **options):
    """Write an HDF5 file, atomically: it appears under its name when the block ends well.

    Args:
        path: the file to write or replace. Its folder must exist.
        options: of h5py.File.

    Yields:
        the open h5py.File.

    Raises:
        OSError: it could not be written.
    """
    try:
        with atomic_files.replacing(path) as beside, h5py.File(beside, "w", rdcc_nbytes=0, **options) as file:
            try:
                yield file
                file.flush()
            except (OSError, RuntimeError):
                # HDF5 crashes as the process ends if it could not close a file: closing needs some room on the disk,
                # little without a cache of chunks.
                os.truncate(beside, 0)
                raise
    except RuntimeError as error:  # what HDF5 raises where it cannot close
        raise OSError(f"{path} could not be written: {error}") from error


def memory_map(path: str | os.PathLike, name: str) -> np.ndarray:
    """Map a dataset that is stored uncompressed in one piece, so that only the rows that are read take memory.

    Args:
        path: the HDF5 file.
        name: the dataset, written without chunks and filters.

    Returns:
        np.memmap with the dataset's shape and dtype, read-only.

    Raises:
        ValueError: the dataset is chunked, compressed, external or empty.
    """
    with h5py.File(path) as file:
        dataset = file[name]
        offset = dataset.id.get_offset()
        if offset is None or dataset.external:
            raise ValueError(f"{name!r} must be stored in {path} in one piece, without compression. Write it again.")
        return np.memmap(path, dataset.dtype, "r", offset, dataset.shape)
