"""Properties of containers: edit lists, display matrices, interlacing, and the supported extensions."""

import itertools
import os
from pathlib import Path

import av
import cv2
import numpy as np
import pytest
from sample_videos import bar_frame, write_bars, write_planes, write_trimmed

from nr_vqm.video import interlacing, reader

FPS = 25


@pytest.mark.parametrize(("first", "count"), [(0, 40), (15, 25), (0, 22), (15, 12)])
def test_an_edit_list_shows_some_of_the_frames(tmp_path, first, count):
    frames = reader.read_frames(write_trimmed(tmp_path / "trim.mp4", first=first, count=count))
    shown = list(frames)
    assert (len(shown), frames.info.frames, frames.info.expected) == (count, count, count)
    assert frames.warnings == []
    assert np.abs(shown[0].astype(int) - bar_frame(first, 96, 128)).mean() < 8


def test_a_truncated_file_with_an_edit_list_is_damaged(tmp_path):
    path = write_trimmed(tmp_path / "cut.mp4", first=15, count=25)
    path.write_bytes(path.read_bytes()[: int(0.8 * path.stat().st_size)])
    frames = reader.read_frames(path)
    decoded = sum(1 for _ in frames)
    assert 0 < decoded < 20
    assert f"only {decoded} of 25 declared frames could be decoded" in frames.warnings


def test_repeated_frames_of_an_avi_are_not_missing(tmp_path):
    times = [n + n // 2 for n in range(20)]  # every third place of the index is empty
    path = tmp_path / "gaps.avi"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg4", rate=FPS, options={"b": "2M"})
        stream.height, stream.width, stream.pix_fmt = 96, 128, "yuv420p"
        for number, time in enumerate(times):
            frame = av.VideoFrame.from_ndarray(bar_frame(number, 96, 128), format="rgb24")
            frame.pts = time
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    with av.open(str(path)) as container:
        assert container.streams.video[0].frames == times[-1] + 1  # what the header counts
    frames = reader.read_frames(path)
    assert sum(1 for _ in frames) == 20
    assert (frames.info.frames, frames.warnings) == (20, [])


MATRICES = [*itertools.product((1, -1), (0,), (0,), (1, -1)), *itertools.product((0,), (1, -1), (1, -1), (0,))]


@pytest.mark.parametrize("matrix", MATRICES)
def test_every_pixel_goes_where_the_display_matrix_sends_it(tmp_path, matrix):
    a, b, c, d = matrix
    size = (96, 128)
    rows, columns = np.indices(size)
    x, y = a * columns + c * rows, b * columns + d * rows
    expected = np.empty((size[0], size[1]) if a else size[::-1], np.uint8)
    expected[y - y.min(), x - x.min()] = bar_frame(3, *size)[..., 0]
    path = with_matrix(write_bars(tmp_path / "turned.mp4", encoder="libx264", size=size), matrix)
    frame = list(reader.read_frames(path))[3]
    assert frame.shape == (*expected.shape, 3)
    assert np.abs(frame[..., 0].astype(int) - expected).mean() < 8


@pytest.mark.parametrize(
    ("matrix", "turns"),
    [
        ((0, 0, 0, 0), 0),
        ((0.99985, 0.01745, -0.01745, 0.99985), 0),  # one degree
        ((0.866, 0.5, -0.5, 0.866), 0),  # 30 degrees
        ((0.00002, 1, -1, 0.00002), 3),  # 89.999 degrees
        ((2, 0, 0, 2), 0),
    ],
)
def test_a_display_matrix_is_rounded_to_quarter_turns(tmp_path, matrix, turns):
    path = with_matrix(write_bars(tmp_path / "turned.mp4", encoder="libx264"), matrix)
    expected = np.rot90(bar_frame(0, 96, 128), turns)
    frame = next(reader.read_frames(path))
    assert frame.shape == expected.shape
    assert np.abs(frame.astype(int) - expected).mean() < 8


def with_matrix(path, matrix):
    """Write a display matrix into an MP4's only track: a b u, c d v, x y w."""
    data = bytearray(path.read_bytes())
    start = data.index(b"tkhd") + 4 + 40
    a, b, c, d = (round(value * 65536) for value in matrix)
    data[start : start + 36] = np.array([a, b, 0, c, d, 0, 0, 0, 1 << 30], ">i4").tobytes()
    path.write_bytes(data)
    return path


@pytest.mark.parametrize("read", [reader.read_frames, reader.read_planes])
def test_the_left_and_top_edges_that_a_header_crops_are_not_shown(tmp_path, read):
    options = {"x264-params": "crop-rect=10,20,4,6", "crf": "5"}
    path = write_bars(tmp_path / "cropped.mp4", encoder="libx264", options=options)
    frame = list(read(path))[8]
    expected = bar_frame(8, 96, 128)[20:-6, 10:-4]
    if read is reader.read_planes:
        assert frame.y.shape == expected.shape[:2]
        expected, frame = expected[..., 0] / 255 * 219 + 16, frame.y
    assert frame.shape == expected.shape
    assert np.abs(frame.astype(int) - expected).mean() < 1


def test_uncompressed_rows_from_bottom_to_top_are_reversed(tmp_path):
    path = write_bars(tmp_path / "bottom.avi", encoder="rawvideo", pixel_format="bgr24")
    data = bytearray(path.read_bytes())
    height = data.index(b"strf") + 16
    assert np.frombuffer(data, "<i4", 1, height) == -96  # from top to bottom
    data[height : height + 4] = np.array([96], "<i4").tobytes()
    path.write_bytes(data)
    frames = list(reader.read_frames(path))
    assert len(frames) == 20
    np.testing.assert_array_equal(frames[5], bar_frame(5, 96, 128)[::-1])


@pytest.mark.skipif(not os.environ.get("NR_VQM_DATA"), reason="NR_VQM_DATA names no folder with videos/")
def test_a_real_reflected_video_is_shown_as_ffmpeg_shows_it():
    path = Path(os.environ["NR_VQM_DATA"]) / "videos" / "special" / "androidx_rotate_reflect.mp4"
    grey = list(reader.read_frames(path))[7].astype(np.float32).mean(axis=2)
    # Of `ffmpeg -i FILE -f rawvideo -pix_fmt rgb24 -sws_flags bicubic`, FFmpeg 9.0; all pixels are the same.
    ffmpeg = [[140, 143, 145, 168], [174, 163, 132, 146], [207, 143, 111, 83],
              [221, 74, 72, 43], [240, 238, 126, 83], [236, 235, 130, 103]]  # fmt: skip
    np.testing.assert_allclose(cv2.resize(grey, (4, 6), interpolation=cv2.INTER_AREA), ffmpeg, atol=0.6)


INTERLACING = {"flags": "+ildct+ilme", "b": "2M"}


@pytest.mark.parametrize(("flags", "warnings"), [("+ildct+ilme", [interlacing.INTERLACED]), ("0", [])])
def test_interlaced_video_is_warned_about_once(tmp_path, flags, warnings):
    options = {"flags": flags, "b": "2M"}
    frames = reader.read_frames(write_bars(tmp_path / "a.mpg", encoder="mpeg2video", options=options))
    assert sum(1 for _ in frames) == 20
    assert frames.warnings == warnings


def test_progressive_frames_that_are_flagged_as_interlaced_have_the_chroma_of_progressive_ones(tmp_path):
    grey, chroma = np.full((96, 128), 128, np.uint8), np.full((48, 64), 128, np.uint8)
    stripes = np.where(np.arange(48)[:, None] % 2, 90, 166).repeat(64, axis=1).astype(np.uint8)
    path, options = tmp_path / "a.mpg", INTERLACING | {"b": "9M"}
    write_planes(path, [(grey, stripes, chroma)] * 10, "yuv420p", encoder="mpeg2video", options=options)
    frames = reader.read_frames(path)
    blue = next(frames)[..., 2].astype(int)
    assert np.abs(blue[0::4] - blue[1::4]).mean() < 10  # two rows of the frame share a row of chroma
    assert np.abs(blue[0::4] - blue[2::4]).mean() > 80  # two rows of a field do not
    assert sum(1 for _ in frames) == 9
    assert frames.warnings == [interlacing.INTERLACED]


def combed(number):
    """A frame whose odd rows show a bar half a frame later than the even rows."""
    frame = bar_frame(number, 96, 128)
    frame[1::2] = np.roll(frame, 6, axis=1)[1::2]
    return frame


def combing(frame):
    """The mean difference of neighbouring rows, which are equal but for the combing."""
    rows = frame[2:46].astype(int)
    return np.abs(np.diff(rows, axis=0)).mean()


def write_interlaced(path, frames):
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg2video", rate=FPS, options=INTERLACING | {"b": "9M"})
        stream.height, stream.width, stream.pix_fmt = 96, 128, "yuv420p"
        for frame in frames:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        container.mux(stream.encode(None))
    return path


@pytest.mark.parametrize("read", [reader.read_frames, reader.read_planes])
def test_deinterlacing_removes_the_combing(tmp_path, read):
    path = write_interlaced(tmp_path / "a.mpg", [combed(number) for number in range(20)])
    plain, frames = list(read(path)), read(path, deinterlace=True)
    repaired = list(frames)
    assert len(repaired) == len(plain) == 20
    before, after = (sum(combing(getattr(frame, "y", frame)) for frame in each) for each in (plain, repaired))
    assert after < 0.4 * before
    assert frames.warnings == [interlacing.DEINTERLACED]


def test_deinterlacing_leaves_progressive_video_as_it_is(tmp_path):
    path = write_bars(tmp_path / "a.mp4", encoder="libx264")
    frames = reader.read_frames(path, deinterlace=True)
    np.testing.assert_array_equal(list(frames), list(reader.read_frames(path)))
    assert frames.warnings == []


ENCODERS = {  # extension: (container, encoder) where FFmpeg has no other name for it
    ".3gp": (None, "mpeg4"),
    ".asf": (None, "mpeg4"),
    ".flv": (None, "flv"),
    ".gif": (None, "gif"),
    ".m2ts": (None, "libx264"),
    ".mts": ("mpegts", "libx264"),
    ".mxf": (None, "mpeg2video"),
    ".nut": (None, "libx264"),
    ".ogv": (None, "libvpx"),
    ".ts": (None, "libx264"),
    ".vob": (None, "mpeg2video"),
    ".wmv": ("asf", "wmv2"),
}


@pytest.mark.parametrize("extension", ENCODERS)
def test_containers_are_found_and_read(tmp_path, extension):
    container, encoder = ENCODERS[extension]
    path = tmp_path / f"a{extension}"
    with av.open(str(path), "w", format=container) as output:
        stream = output.add_stream(encoder, rate=FPS)
        stream.height, stream.width = 288, 352
        stream.pix_fmt = "rgb8" if encoder == "gif" else "yuv420p"
        for number in range(20):
            frame = av.VideoFrame.from_ndarray(bar_frame(number, 288, 352), format="rgb24")
            output.mux(stream.encode(frame.reformat(format=stream.pix_fmt)))
        output.mux(stream.encode(None))
    assert reader.list_videos(tmp_path) == [path]
    frames = reader.read_frames(path)
    assert sum(1 for _ in frames) == 20
    assert frames.warnings == []
