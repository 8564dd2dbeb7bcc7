import numpy as np
import pytest
from sample_videos import place_frame

from nr_vqm.video import clips, reader


def test_pixels_and_order_through_a_lossless_file(place_video):
    path = place_video(num_frames=6, height=30, width=44)
    frames = list(reader.read_frames(path))
    assert len(frames) == 6
    for time, frame in enumerate(frames):
        np.testing.assert_array_equal(frame, place_frame(time, 30, 44))


def test_clips_through_a_lossless_file(place_video):
    sizes = {"clip_frames": 5, "clip_size": 16, "stride": 4, "downscale": False}
    grid = clips.plan_grid(21, 30, 44, num_groups=3, block_grid=(2, 3), **sizes)
    groups = list(clips.iter_groups(reader.read_frames(place_video()), grid))
    assert groups[2][5, 4, 15, 15].tolist() == [20, grid.tops[1] + 15, grid.lefts[2] + 15]


def test_probe_and_count(place_video):
    path = place_video(num_frames=9, height=30, width=44)
    info = reader.probe(path)
    assert (info.width, info.height, info.frames, info.fps) == (44, 30, 9, 25)
    assert reader.count_frames(path) == 9


def test_missing_file(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"No video file at .*none\.mp4"):
        reader.probe(tmp_path / "none.mp4")


@pytest.mark.parametrize("read", [reader.read_frames, reader.read_planes])
def test_a_folder(tmp_path, read):
    folder = tmp_path / "folder.mp4"
    folder.mkdir()
    with pytest.raises(FileNotFoundError, match=f"^No video in the folder {folder}.$"):
        read(folder)
    (folder / "a.mp4").touch()
    with pytest.raises(FileNotFoundError, match=f"^{folder} is a folder. Name a video in it.$"):
        read(folder)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "the file is empty"),
        (b"\0" * 5000, r"it is damaged or not a video \(FFmpeg: Invalid data found when processing input\)"),
        (b"not a video", r"it is damaged or not a video \(FFmpeg: .*\)"),
    ],
)
def test_not_a_video(tmp_path, content, reason):
    path = tmp_path / "bad.mp4"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=f"Cannot read .*: {reason}.$"):
        reader.probe(path)


def test_a_truncated_file_gives_fewer_frames_than_declared(place_video):
    path = place_video("cut.avi", num_frames=40, height=64, width=64)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    assert 0 < reader.count_frames(path) < 40


def test_list_videos(tmp_path):
    (tmp_path / "in" / ".cache").mkdir(parents=True)
    for name in ("b.MP4", "a.txt", "in/a.mkv", ".hidden", "in/.cache/c.txt"):
        (tmp_path / name).touch()
    assert [path.name for path in reader.list_videos(tmp_path)] == ["b.MP4", "a.mkv"]
    assert [path.name for path in reader.list_skipped(tmp_path)] == ["a.txt"]


def test_list_videos_follows_links_and_visits_a_folder_once(tmp_path):
    (tmp_path / "store").mkdir()
    (tmp_path / "store" / "a.mkv").touch()
    (tmp_path / "farm").mkdir()
    (tmp_path / "farm" / "videos").symlink_to(tmp_path / "store")
    (tmp_path / "farm" / "b.mkv").symlink_to(tmp_path / "store" / "a.mkv")
    (tmp_path / "farm" / "again").symlink_to(tmp_path / "farm")
    (tmp_path / "farm" / "dangling.mkv").symlink_to(tmp_path / "none.mkv")
    found = reader.list_videos(tmp_path / "farm")
    assert [path.relative_to(tmp_path / "farm").as_posix() for path in found] == ["b.mkv", "videos/a.mkv"]
