"""HDF5 files are written whole or not at all, on a full disk too."""

import os
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


def _link_outside(file):
    file["x"] = h5py.ExternalLink("/etc/passwd", "x")


def _link_inside(file):
    file["x"] = h5py.SoftLink("/whole")


def _loop(file):
    group = file.create_group("group")
    group["again"] = group


def _store_outside(file):
    file.create_dataset("x", (5,), np.uint8, external=[("/etc/passwd", 0, 5)])


def _virtual(file):
    layout = h5py.VirtualLayout((5,), np.uint8)
    layout[:] = h5py.VirtualSource("/etc/passwd", "x", (5,))
    file.create_virtual_dataset("x", layout)


def _huge(file):
    file.create_dataset("x", (10**12, 10**4), np.float64, chunks=(1, 10**4), compression="gzip")


def _huge_in_one_piece(file):
    file.create_dataset("x", (10**12,), np.float64)


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (_link_outside, "'x' is a link"),
        (_link_inside, "'x' is a link"),
        (_loop, "must hold each object once"),
        (_store_outside, "'/x' refers to other files"),
        (_virtual, "'/x' refers to other files"),
        (_huge, r"'/x' of shape \(1000000000000, 10000\) has 0 bytes"),
        (_huge_in_one_piece, r"'/x' of shape \(1000000000000,\) has 0 bytes"),
    ],
)
def test_a_file_that_refers_to_others_or_declares_too_much_is_refused(tmp_path, damage, message):
    path = tmp_path / "a.h5"
    with h5py.File(path, "w") as file:
        file["whole"] = np.arange(21)
        damage(file)
    with pytest.raises(ValueError, match=message) as refused, hdf5_files.reading(path):
        pass
    assert str(path) in str(refused.value)


def test_compressed_texts_and_empty_data_sets_are_read(tmp_path):
    path = tmp_path / "a.h5"
    with hdf5_files.writing(path) as file:
        file.create_dataset("constant", data=np.zeros((30, 40_000)), compression="gzip")
        file.create_dataset("texts", data=["one", "two"], dtype=h5py.string_dtype())
        file.create_dataset("empty", (0, 7), maxshape=(None, 7), chunks=(1, 7))
        file["group/number"] = 5.0
    with hdf5_files.reading(path) as file:
        assert file["constant"][:].sum() == 0
        assert list(file["texts"].asstr()[:]) == ["one", "two"]
        assert file["empty"].shape == (0, 7)
        assert file["group/number"][()] == 5


def test_damage_that_shows_while_the_file_is_read_names_the_file(tmp_path):
    path = tmp_path / "a.h5"
    with hdf5_files.writing(path) as file:
        file.create_dataset("x", data=np.arange(5000), fletcher32=True, chunks=(5000,))
        offset = file["x"].id.get_chunk_info(0).byte_offset
    content = bytearray(path.read_bytes())
    content[offset + 100] ^= 255
    path.write_bytes(content)
    with (
        pytest.raises(ValueError, match=r"a\.h5 is damaged: .*read data.*Make the file again"),
        hdf5_files.reading(path) as file,
    ):
        file["x"][:]


@pytest.mark.parametrize("content", [b"", b"text", b"\x89HDF\r\n\x1a\n" + bytes(100)])
def test_a_damaged_file_is_refused_by_name(tmp_path, content):
    (tmp_path / "a.h5").write_bytes(content)
    with pytest.raises(ValueError, match=r"An HDF5 file is needed, .*a\.h5 is damaged"):
        hdf5_files.reading(tmp_path / "a.h5").__enter__()


def test_a_pipe_is_refused_instead_of_waiting_for_it(tmp_path):
    os.mkfifo(tmp_path / "a.h5")
    with pytest.raises(ValueError, match=r"a\.h5 must be a regular file"):
        hdf5_files.reading(tmp_path / "a.h5").__enter__()


def test_a_missing_data_set_is_reported_with_the_file(tmp_path):
    with hdf5_files.writing(tmp_path / "a.h5") as file:
        file["x"] = 1
    with (
        pytest.raises(ValueError, match=r"A complete HDF5 file of nr-vqm is needed, .*a\.h5 is not one: .*'y'"),
        hdf5_files.reading(tmp_path / "a.h5") as file,
    ):
        file["y"]
