"""HDF5 files that are written whole or not at all, on a full disk too."""

import contextlib
import os

import h5py

from nr_vqm import files


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
        with files.replacing(path) as beside, h5py.File(beside, "w", rdcc_nbytes=0, **options) as file:
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
