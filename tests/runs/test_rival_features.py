"""Hand-crafted features are stored and read without change, and an outdated row is never used."""

import dataclasses

import h5py
import numpy as np
import pytest

from nr_vqm.dataset import manifest
from nr_vqm.runs import features, rival_features
from nr_vqm.runs.rival_features import RivalFile
from nr_vqm.runs.run_folder import RunFolder


@pytest.fixture
def videos():
    """Three videos, one with an id that is not a file name."""
    ids = ["one", "../../two\n", "three"]
    return [manifest.Video(name, "x.mp4", f"scene {name}", 2.0, 1.0, 5.0, fingerprint=name) for name in ids]


@pytest.fixture
def file(tmp_path):
    return RivalFile(tmp_path, "brisque", version=3, num_features=5)


def values(number):
    return np.random.default_rng(number).random(5)


def write_parts(file, videos, start=0):
    for number, one in enumerate(videos, start=start):
        file.write_part(one, values(number), seconds=number + 0.5)


def test_features_are_the_same_after_writing_and_reading(file, videos):
    write_parts(file, videos[:2])
    file.write_part(videos[2], None, reason="too short: ü", seconds=0.25)
    file.join(videos)
    found = rival_features.read(file.run_dir, "brisque")
    assert list(found.video_id) == [one.video_id for one in videos]
    np.testing.assert_array_equal(found.features, [values(0), values(1), [np.nan] * 5])
    assert list(found.reason) == ["", "", "too short: ü"]
    np.testing.assert_array_equal(found.seconds, [0.5, 1.5, 0.25])
    assert (found.features.dtype, found.version) == (np.float64, 3)
    with h5py.File(file.path) as stored:
        assert stored.attrs["videos_sha256"] == features.videos_sha256(videos)
        assert stored.attrs["method"] == "brisque"
        assert "codebook_sha256" not in stored.attrs
    file.drop_parts()
    assert [path.name for path in RunFolder(file.run_dir).rivals.iterdir()] == ["brisque.h5"]


def test_videos_are_selected_in_the_given_order(file, videos):
    write_parts(file, videos)
    file.join(videos)
    found = rival_features.read(file.run_dir, "brisque").select(["three", "one"])
    np.testing.assert_array_equal(found.features, [values(2), values(0)])
    np.testing.assert_array_equal(found.seconds, [2.5, 0.5])
    assert (list(found.video_id), list(found.reason)) == (["three", "one"], ["", ""])
    with pytest.raises(ValueError, match=r"No hand-crafted features of video 'four' \(1 missing\)"):
        found.select(["one", "four"])


def test_rows_of_unchanged_videos_are_kept(file, videos):
    write_parts(file, videos)
    file.join(videos)
    file.drop_parts()
    relabelled = [dataclasses.replace(one, mos=4.0, path="moved.mp4") for one in videos]
    assert file.missing(relabelled) == []
    changed = dataclasses.replace(videos[1], fingerprint="another file")
    added = dataclasses.replace(videos[0], video_id="four")
    assert file.missing([added, relabelled[2], changed]) == [added, changed]
    write_parts(file, [added, changed], start=7)
    file.join([added, relabelled[2], changed])
    found = rival_features.read(file.run_dir, "brisque")
    np.testing.assert_array_equal(found.features, [values(7), values(2), values(8)])


@pytest.mark.parametrize("change", [{"version": 4}, {"codebook_sha256": "other"}, {"name": "niqe"}])
def test_rows_of_another_version_codebook_or_method_are_not_used(file, videos, change):
    write_parts(file, videos)
    file.join(videos)
    other = dataclasses.replace(file, **change)
    assert file.missing(videos) == []
    assert other.missing(videos) == videos
    assert other.keys_sha256(videos) != file.keys_sha256(videos)


def test_a_damaged_file_is_computed_again(file, videos):
    write_parts(file, videos)
    file.join(videos)
    file.drop_parts()
    file.path.write_bytes(b"damaged")
    assert file.missing(videos) == videos


def test_missing_features_and_another_schema_are_refused(file, videos):
    with pytest.raises(FileNotFoundError, match=r"brisque\.h5 is missing. Make it first: make rivals RIVALS=brisque"):
        rival_features.read(file.run_dir, "brisque")
    write_parts(file, videos)
    file.join(videos)
    with h5py.File(file.path, "a") as stored:
        stored.attrs["schema"] = 0
    assert file.missing(videos) == []  # the parts are of this schema
    file.drop_parts()
    assert file.missing(videos) == videos
    with pytest.raises(ValueError, match="has schema 0, 1 is needed. Run: make rivals RIVALS=brisque"):
        rival_features.read(file.run_dir, "brisque")


def test_only_complete_methods_count_as_computed(file, videos):
    run = RunFolder(file.run_dir)
    write_parts(file, videos)
    with run.stage("rivals_brisque", videos="checksum"):
        file.join(videos)
        assert rival_features.computed(run) == []
    assert rival_features.computed(run) == ["brisque"]
    file.path.write_bytes(b"changed")
    assert rival_features.computed(run) == []


def test_a_file_without_one_row_per_video_is_refused(file, videos):
    write_parts(file, videos)
    file.join(videos)
    with h5py.File(file.path, "r+") as stored:
        del stored["seconds"]
        stored["seconds"] = np.zeros(2)
    with pytest.raises(ValueError, match=r"brisque\.h5 needs one row per video in every data set"):
        rival_features.read(file.run_dir, "brisque")
