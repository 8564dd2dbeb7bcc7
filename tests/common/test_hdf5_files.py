"""HDF5 files are written whole or not at all, on a full disk too."""

import subprocess
import sys

import h5py
import numpy as np
import pytest

from nr_vqm.common import hdf5_files

FILL = """
import resource, sys
import numpy as np
from nr_vqm.common import hdf5_files

resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, 200_000))  # as on a full disk
noise = np.random.default_rng(0).integers(0, 256, (100, 8_000), np.uint8)
try:
    with hdf5_files.writing(sys.argv[1]) as file:
        clips = file.create_dataset("clips", (0, 8_000), maxshape=(None, 8_000), dtype=np.uint8, chunks=(1, 8_000))
        for number in range(len(noise)):
            clips.resize(number + 1, axis=0)
            clips[number] = noise[number]
except OSError as error:
    print("refused", number > 0)
"""


def test_a_full_disk_leaves_no_file_and_no_crash(tmp_path):
    """HDF5 crashed at the end of the process if it could not write the rest of an open file."""
    command = [sys.executable, "-c", FILL, str(tmp_path / "a.h5")]
    ended = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, "refused True\n", "")
    assert not list(tmp_path.iterdir())


def test_a_failing_block_leaves_the_old_file(tmp_path):
    with hdf5_files.writing(tmp_path / "a.h5") as file:
        file["x"] = np.arange(3)
    with pytest.raises(ValueError, match="enough"), hdf5_files.writing(tmp_path / "a.h5") as file:
        file["x"] = np.arange(4)
        raise ValueError("enough")
    with h5py.File(tmp_path / "a.h5") as file:
        assert file["x"].shape == (3,)
    assert [path.name for path in tmp_path.iterdir()] == ["a.h5"]


def test_only_a_dataset_in_one_piece_is_mapped(tmp_path):
    rows = np.arange(21.0).reshape(3, 7)
    with hdf5_files.writing(tmp_path / "a.h5") as file:
        file["whole"] = rows
        file.create_dataset("compressed", data=rows, compression="gzip")
    mapped = hdf5_files.memory_map(tmp_path / "a.h5", "whole")
    assert isinstance(mapped, np.memmap)
    np.testing.assert_array_equal(mapped, rows)
    with pytest.raises(ValueError, match="'compressed' must be stored contiguously and uncompressed in"):
        hdf5_files.memory_map(tmp_path / "a.h5", "compressed")
