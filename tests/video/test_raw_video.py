import dataclasses
import os

import av
import numpy as np
import pytest
from sample_videos import place_frame

from nr_vqm.video import decoder_server, raw_frames, raw_video, reader

FORMATS = {"yuv420p": 1.5, "yuv422p": 2, "yuv420p10le": 3, "yuv422p10le": 4}  # bytes per pixel


def format_of(pixel_format="yuv420p", width=22, height=14):
    return raw_video.RawFormat(width, height, pixel_format, 25.0)


def random_frames(raw, num_frames):
    """Yield random planes of all legal sample values, as bytes of raw frames."""
    rng, top = np.random.default_rng(3), 10 if "10" in raw.pixel_format else 8
    for _ in range(num_frames):
        samples = rng.integers(16 << top - 8, 236 << top - 8, raw.frame_bytes * 8 // (16 if top == 10 else 8))
        yield samples.astype("<u2" if top == 10 else np.uint8).tobytes()


def write_lossless(path, raw, frames):
    """Write the same planes to a lossless file with a header, for decoding with FFmpeg."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("ffv1", rate=25)
        stream.width, stream.height, stream.pix_fmt = raw.width, raw.height, raw.pixel_format
        for data in frames:
            frame, data = av.VideoFrame(raw.width, raw.height, raw.pixel_format), np.frombuffer(data, np.uint8)
            for plane, (rows, columns) in zip(frame.planes, raw.plane_shapes, strict=True):
                target = np.frombuffer(memoryview(plane), np.uint8).reshape(rows, plane.line_size)
                target[:, :columns] = data[: rows * columns].reshape(rows, columns)
                data = data[rows * columns :]
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path


@pytest.mark.parametrize("pixel_format", FORMATS)
@pytest.mark.parametrize("size", [(22, 14), (64, 48), (33, 27)])
def test_the_same_pixels_as_from_a_lossless_file(tmp_path, pixel_format, size):
    raw = format_of(pixel_format, *size)
    frames = list(random_frames(raw, 3))
    (tmp_path / "a.yuv").write_bytes(b"".join(frames))
    expected = list(reader.read_frames(write_lossless(tmp_path / "a.mkv", raw, frames)))
    found = list(reader.read_frames(tmp_path / "a.yuv", raw))
    assert len(found) == len(expected) == 3
    np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("pixel_format", FORMATS)
@pytest.mark.parametrize(
    ("yuv", "rgb"),
    [
        ((16, 128, 128), (0, 0, 0)),
        ((235, 128, 128), (255, 255, 255)),
        ((81, 90, 240), (254, 0, 0)),  # red, green and blue of BT.601
        ((145, 54, 34), (0, 255, 1)),
        ((41, 240, 110), (0, 0, 255)),
    ],
)
def test_colours_by_hand(tmp_path, pixel_format, yuv, rgb):
    raw = format_of(pixel_format)
    scale, dtype = (4, "<u2") if "10" in pixel_format else (1, np.uint8)
    sample = np.dtype(dtype).itemsize
    planes = [np.full(rows * columns // sample, value * scale, dtype)
              for value, (rows, columns) in zip(yuv, raw.plane_shapes, strict=True)]  # fmt: skip
    (tmp_path / "a.yuv").write_bytes(b"".join(plane.tobytes() for plane in planes))
    (frame,) = raw_frames.read_frames(tmp_path / "a.yuv", raw)
    assert frame.shape == (14, 22, 3) and frame.dtype == np.uint8
    np.testing.assert_allclose(frame.reshape(-1, 3), np.tile(rgb, (14 * 22, 1)), atol=3)


def test_rows_columns_and_time_stay_in_place(tmp_path):
    frames = [place_frame(40 * t, 14, 22) for t in range(5)]
    data = [av.VideoFrame.from_ndarray(f, format="rgb24").to_ndarray(format="yuv420p").tobytes() for f in frames]
    (tmp_path / "a.yuv").write_bytes(b"".join(data))
    for time, frame in enumerate(raw_frames.read_frames(tmp_path / "a.yuv", format_of())):
        assert abs(frame[..., 0].mean() - 40 * time) < 3
        assert np.abs(frame[:, 11].astype(int)[:, 1] - np.arange(14)).max() <= 4
        assert np.abs(frame[7].astype(int)[:, 2] - np.arange(22)).max() <= 4


@pytest.mark.parametrize("pixel_format", FORMATS)
def test_probe_and_count(tmp_path, pixel_format):
    raw = format_of(pixel_format)
    assert raw.frame_bytes == FORMATS[pixel_format] * 14 * 22
    (tmp_path / "A.YUV").write_bytes(bytes(7 * raw.frame_bytes))
    assert dataclasses.astuple(reader.probe(tmp_path / "A.YUV", raw)) == (22, 14, 7, 25.0, 7, (), "", 1)
    assert reader.count_frames(tmp_path / "A.YUV", raw) == 7


def test_frames_can_be_written_to(tmp_path):
    (tmp_path / "a.yuv").write_bytes(bytes(462))
    (frame,) = raw_frames.read_frames(tmp_path / "a.yuv", format_of())
    frame[:] = 1
    assert (tmp_path / "a.yuv").read_bytes() == bytes(462)


@pytest.mark.parametrize(("size", "frames"), [(461, "1.00"), (3 * 462 + 100, "3.22")])
def test_a_truncated_file_is_refused(tmp_path, size, frames):
    (tmp_path / "a.yuv").write_bytes(bytes(size))
    message = f"A whole number of 22x14 yuv420p frames of 462 bytes is needed, .*a.yuv has {size:,} bytes: {frames}"
    for read in (reader.probe, reader.count_frames, lambda *args: list(reader.read_frames(*args))):
        with pytest.raises(ValueError, match=message):
            read(tmp_path / "a.yuv", format_of())


@pytest.mark.parametrize("read", [reader.read_frames, reader.read_planes])
def test_a_file_larger_than_the_memory_of_the_decoder_is_read(tmp_path, read):
    """A sparse file, which occupies no space on the disk."""
    raw, path = format_of(), tmp_path / "large.yuv"
    num_frames = decoder_server.MAX_MEMORY // raw.frame_bytes + 1
    path.touch()
    os.truncate(path, num_frames * raw.frame_bytes)
    with read(path, raw) as frames:
        assert frames.info.frames == num_frames
        next(frames)
        assert frames.decoded == 1


def test_a_file_that_becomes_shorter_during_reading(tmp_path):
    raw, path = format_of(), tmp_path / "a.yuv"
    path.write_bytes(bytes(300 * raw.frame_bytes))  # more than Python reads ahead
    frames = raw_frames.iter_frames(path, raw)
    next(frames)
    os.truncate(path, 299 * raw.frame_bytes)
    with pytest.raises(ValueError, match=r"a\.yuv has changed during reading: 300 frames were expected, found 299"):
        list(frames)


@pytest.mark.parametrize("read", [reader.read_frames, reader.read_planes])
def test_frames_above_the_limit_on_pixels_are_refused(tmp_path, read):
    raw = format_of(width=16384, height=4097)
    (tmp_path / "a.yuv").touch()
    os.truncate(tmp_path / "a.yuv", raw.frame_bytes)
    with pytest.raises(ValueError, match=r"Frames of at most 67,108,864 pixels can be read, .*a\.yuv has 16384x4097"):
        read(tmp_path / "a.yuv", raw)


def test_an_empty_file_is_refused(tmp_path):
    (tmp_path / "a.yuv").write_bytes(b"")
    with pytest.raises(ValueError, match=r"a\.yuv: the file is empty"):
        reader.probe(tmp_path / "a.yuv", format_of())


def test_a_file_without_a_format_is_refused(tmp_path):
    (tmp_path / "a.yuv").write_bytes(bytes(462))
    with pytest.raises(ValueError, match="is raw video without a header. Give its size, .*, --raw 1920x"):
        reader.probe(tmp_path / "a.yuv")


def test_no_file(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"No video file at .*a\.yuv"):
        reader.count_frames(tmp_path / "a.yuv", format_of())


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("1920x1080:yuv420p:30", (1920, 1080, "yuv420p", 30.0)),
        ("33x27:yuv422p10le:23.976", (33, 27, "yuv422p10le", 23.976)),
    ],
)
def test_parse(text, expected):
    assert dataclasses.astuple(raw_video.parse(text)) == expected


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "described as WIDTHxHEIGHT:PIXEL_FORMAT:FPS. Received: ''"),
        ("1920x1080", "described as WIDTHxHEIGHT:PIXEL_FORMAT:FPS"),
        ("1920x1080:yuv420p:-30", "described as"),
        ("1920x1080:../yuv:30", "described as"),
        ("1920x1080:rgb24:30", "Unknown pixel format 'rgb24' .* Choose from: yuv420p, yuv422p, yuv420p10le"),
        ("0x1080:yuv420p:30", "needs 1 to 16384 pixels a side. Received: 0x1080"),
        ("99999x99999:yuv420p:30", "needs 1 to 16384 pixels a side"),
        ("64x48:yuv420p:0", "needs a rate between 0 and 1000"),
    ],
)
def test_refused_descriptions(text, message):
    with pytest.raises(ValueError, match=message):
        raw_video.parse(text)
