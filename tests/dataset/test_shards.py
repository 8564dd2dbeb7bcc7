import h5py
import numpy as np
import pytest
from sample_videos import write_ffv1

from nr_vqm.common import atomic_files
from nr_vqm.dataset import manifest, shards
from nr_vqm.dataset.data_folder import DataFolder
from nr_vqm.video import clips, reader

GRID = {"num_groups": 3, "block_grid": (2, 3), "clip_frames": 5, "clip_size": 16, "stride": 4, "downscale": False}


def make_video(path, video_id="v", content="c", mos=2.5):
    return manifest.Video(video_id=video_id, path=str(path), content=content, mos=mos, mos_low=1, mos_high=5)


def write_shard(data_dir, path, number=0, **changes):
    one, grid = make_video(path, **changes), clips.plan_grid(21, 30, 44, **GRID)
    target = DataFolder(data_dir).shard(number)
    with shards.writing(target, clip_frames=5, clip_size=16) as add:
        add(one, grid, clips.iter_groups(reader.read_frames(path), grid))
    return target


def test_round_trip(tmp_path, place_video):
    path = write_shard(tmp_path, place_video())
    with h5py.File(path) as file:
        assert file["clips"].shape == (18, 5, 16, 16, 3)
        assert file["clips"].chunks == (1, 5, 16, 16, 3)
        for row in (0, 7, 17):
            red, green, blue = file["clips"][row][0, 0, 0]
            assert (red, green, blue) == (file["frame"][row], file["top"][row], file["left"][row])
        assert file["group"][:].tolist() == [0] * 6 + [1] * 6 + [2] * 6
        assert file["block"][:].tolist() == [0, 1, 2, 3, 4, 5] * 3
        assert set(file["video_id"].asstr()[:]) == {"v"}
        assert set(file["mos"][:]) == {2.5}
    assert shards.stored_bytes(path)[1] == 18 * 5 * 16 * 16 * 3


def test_clips_are_compressed(tmp_path):
    flat = write_ffv1(tmp_path / "flat.mkv", [np.full((30, 44, 3), 90, np.uint8)] * 21)
    stored, raw = shards.stored_bytes(write_shard(tmp_path, flat))
    assert stored < raw / 10


def test_the_same_clips_give_the_same_bytes(tmp_path, place_video):
    source = place_video()
    assert atomic_files.sha256(write_shard(tmp_path, source, 0)) == atomic_files.sha256(
        write_shard(tmp_path, source, 1)
    )


def test_a_failed_writer_leaves_nothing(tmp_path, place_video):
    source = place_video(num_frames=20)  # the grid needs 21
    with pytest.raises(ValueError, match="needs 21 frames"):
        write_shard(tmp_path, source)
    assert sorted(one.suffix for one in tmp_path.iterdir()) == [".mkv"]


@pytest.mark.parametrize(
    ("counts", "plan"),
    [
        ([], []),
        ([5], [range(0, 1)]),
        ([2, 2, 2], [range(0, 2), range(2, 3)]),
        ([9, 9], [range(0, 1), range(1, 2)]),  # larger than a shard: one each, never divided
        ([1, 3, 4], [range(0, 2), range(2, 3)]),
    ],
)
def test_plan_shards(counts, plan):
    assert shards.plan_shards(counts, clip_bytes=10, shard_bytes=45) == plan


@pytest.fixture
def noisy(tmp_path):
    """The table of a folder with one shard, whose clips LZ4 can and cannot make smaller."""
    rng = np.random.default_rng(0)
    frames = [np.full((30, 44, 3), 90, np.uint8) for _ in range(21)]
    frames[8:12] = [rng.integers(0, 256, (30, 44, 3), np.uint8) for _ in range(4)]
    write_shard(tmp_path, write_ffv1(tmp_path / "noisy.mkv", frames))
    atomic_files.write_json(tmp_path / "index.json", {"shards": ["x"]})
    return shards.read_table(tmp_path)


def read(table, number):
    clip = np.empty(table.clip_shape, np.uint8)
    table.read_into(number, clip, table.scratch())
    return clip


def test_clips_read_past_h5py_are_the_same(noisy):
    with h5py.File(noisy.paths[0]) as file:
        assert len(noisy) == len(file["clips"]) == 18
        for number, clip in enumerate(file["clips"]):
            np.testing.assert_array_equal(read(noisy, number), clip)
    assert noisy.size.min() < 200 < 1000 < noisy.size.max()


def test_a_damaged_or_vanished_shard_is_said(noisy):
    with open(noisy.paths[0], "r+b") as file:
        file.seek(int(noisy.start[7]))
        file.write(bytes(16))
    with pytest.raises(ValueError, match=r"clips-00000\.h5 is damaged at byte \d+ .*python -m data_prep verify"):
        read(noisy, 7)
    noisy.paths[0].unlink()
    with pytest.raises(FileNotFoundError, match=r"clips-00000\.h5"):
        read(noisy, 7)


def test_read_table(tmp_path, place_video):
    source = place_video()
    write_shard(tmp_path, source, 0, video_id="a", mos=1.5)
    write_shard(tmp_path, source, 1, video_id="b", mos=4.5)
    with pytest.raises(FileNotFoundError, match=r"index\.json is missing. Make it first: make prep"):
        shards.read_table(tmp_path)
    atomic_files.write_json(tmp_path / "index.json", {"shards": ["x", "y"]})
    table = shards.read_table(tmp_path)
    assert len(table) == 36
    assert table.clip_shape == (5, 16, 16, 3)
    assert table.shard.tolist() == [0] * 18 + [1] * 18
    assert table.video_ids.tolist() == ["a", "b"]
    assert table.video.tolist() == [0] * 18 + [1] * 18
    with h5py.File(DataFolder(tmp_path).shard(1), "a") as file:
        file.attrs["schema"] = 99
    with pytest.raises(ValueError, match="has schema 99, 1 is needed"):
        shards.read_table(tmp_path)


def test_a_shard_that_refers_to_another_file_is_refused(tmp_path, place_video):
    write_shard(tmp_path, place_video(), 0)
    atomic_files.write_json(tmp_path / "index.json", {"shards": ["x"]})
    with h5py.File(DataFolder(tmp_path).shard(0), "a") as file:
        del file["video_id"]
        file["video_id"] = h5py.ExternalLink("/etc/passwd", "x")
    with pytest.raises(ValueError, match=r"clips-00000\.h5 must hold its own data, 'video_id' is a link"):
        shards.read_table(tmp_path)
