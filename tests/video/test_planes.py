"""Decoded luma and chroma are returned unchanged, for every range, bit depth and frame size."""

import av
import numpy as np
import pytest
from sample_videos import write_ffv1, write_planes

from nr_vqm.video import backends, containers, decoded_planes, raw_video, reader


def random_planes(seed, height, width, bits, *, full):
    """Y, U and V in the legal values of the range, smooth enough for nothing to be clipped by a lossy encoder."""
    rng = np.random.default_rng(seed)
    scale = 2 ** (bits - 8)
    low, high = (0, 256 * scale) if full else (16 * scale, 235 * scale + 1)
    chroma = (-(-height // 2), -(-width // 2))
    return [
        rng.integers(low, high, size, "<u2" if bits > 8 else np.uint8) for size in ((height, width), chroma, chroma)
    ]


@pytest.mark.parametrize("size", [(30, 44), (31, 45)])
@pytest.mark.parametrize(
    ("pixel_format", "color_range", "bits"),
    [("yuv420p", 1, 8), ("yuv420p", 2, 8), ("yuv420p10le", 1, 10), ("yuv420p10le", 2, 10)],
)
def test_lossless_planes_are_exact(tmp_path, pixel_format, color_range, bits, size):
    wanted = [random_planes(seed, *size, bits, full=color_range == 2) for seed in range(5)]
    path = write_planes(tmp_path / "a.mkv", wanted, pixel_format, color_range=color_range)
    frames = list(reader.read_planes(path))
    assert len(frames) == 5
    for parts, found in zip(wanted, frames, strict=True):
        for part, plane in zip(parts, found, strict=True):
            assert plane.dtype == (np.uint8 if bits == 8 else np.float32)
            np.testing.assert_array_equal(plane, part / 2 ** (bits - 8))


@pytest.mark.parametrize(
    ("encoder", "pixel_format", "color_range", "options"),
    [
        ("libx264", "yuv420p", 1, {}),
        ("libx264", "yuvj420p", 2, {}),
        ("libx265", "yuv420p10le", 1, {"x265-params": "log-level=none"}),
        ("libx265", "yuv420p", 2, {"x265-params": "log-level=none:range=full"}),
        ("mjpeg", "yuvj420p", 2, {}),
    ],
)
def test_lossy_planes_are_those_of_ffmpeg(tmp_path, encoder, pixel_format, color_range, options):
    full, bits = color_range == 2, 10 if "10" in pixel_format else 8
    wanted = [random_planes(seed, 64, 80, bits, full=full) for seed in range(4)]
    path = tmp_path / "a.mkv"
    write_planes(path, wanted, pixel_format, encoder=encoder, color_range=color_range, options=options)
    with av.open(str(path)) as container:
        decoded = [frame.to_ndarray() for frame in container.decode(video=0)]  # Y, U, V below each other, untouched
    frames = list(reader.read_planes(path))
    assert len(frames) == len(decoded) == 4
    for layout, found in zip(decoded, frames, strict=True):
        np.testing.assert_array_equal(found.y, layout[:64] / 2 ** (bits - 8))
        np.testing.assert_array_equal(found.v, layout[80:].reshape(32, 40) / 2 ** (bits - 8))


@pytest.mark.parametrize("pixel_format", ["yuv422p", "yuvj422p", "yuv444p", "nv12", "gray", "yuv422p10le", "gray10le"])
def test_other_layouts_keep_their_luma(pixel_format):
    bits = 10 if "10" in pixel_format else 8
    frame = av.VideoFrame(44, 30, pixel_format)
    luma, *_ = random_planes(3, 30, 44, bits, full=True)
    for number, plane in enumerate(frame.planes):
        rows = np.frombuffer(memoryview(plane), np.uint8).reshape(plane.height, plane.line_size)
        rows[:] = 0 if bits > 8 else 128
        if number == 0:
            rows[:, : luma.view(np.uint8).shape[1]] = luma.view(np.uint8)
    found_bits, parts = decoded_planes.split(frame, decoded_planes.VideoReformatter())
    assert found_bits == bits
    np.testing.assert_array_equal(parts[0], luma)
    assert parts[1].shape == (15, 22)
    if pixel_format.startswith("gray"):
        assert (parts[1] == 2 ** (bits - 1)).all()


def test_rgb_becomes_bt601_limited(tmp_path):
    colors = np.array([[255, 255, 255], [0, 0, 0], [255, 0, 0], [0, 0, 255]], np.uint8)
    frame = np.repeat(np.repeat(colors[None], 32, axis=0), 16, axis=1)
    (found,) = reader.read_planes(write_ffv1(tmp_path / "a.mkv", [frame]))
    luma, u, v = found.y[16, 8::16], found.u[8, 4::8], found.v[8, 4::8]
    np.testing.assert_allclose(luma, [235, 16, 81, 41], atol=1)
    np.testing.assert_allclose(u, [128, 128, 90, 240], atol=1)
    np.testing.assert_allclose(v, [128, 128, 240, 110], atol=1)


@pytest.mark.parametrize("pixel_format", sorted(raw_video.PIXEL_FORMATS))
def test_raw_video(tmp_path, pixel_format):
    raw = raw_video.RawFormat(width=31, height=22, pixel_format=pixel_format, fps=25)
    bits = 10 if "10" in pixel_format else 8
    values = np.random.default_rng(1).integers(0, 2**bits, (3, raw.frame_bytes // (2 if bits > 8 else 1)))
    values.astype("<u2" if bits > 8 else np.uint8).tofile(tmp_path / "a.yuv")
    frames = list(reader.read_planes(tmp_path / "a.yuv", raw))
    assert len(frames) == 3
    for data, found in zip(values, frames, strict=True):
        np.testing.assert_array_equal(found.y.ravel(), data[: 31 * 22] / 2 ** (bits - 8))
        assert found.u.shape == (11, 16)


def test_a_change_of_bit_depth_is_refused(tmp_path, monkeypatch):
    eight, ten = (av.VideoFrame(16, 16, name) for name in ("yuv420p", "yuv420p10le"))
    monkeypatch.setattr(backends, "_pyav_frames", lambda *_: (frame for frame in (eight, ten)))
    with pytest.raises(containers.Refusal, match="A constant bit depth is needed, a.mkv changes from 8 to 10 bits"):
        list(backends.read_planes("a.mkv", raw=None, stream=None, deinterlace=False, warnings=[]))


def test_no_video(tmp_path):
    (tmp_path / "a.mkv").write_bytes(b"not a video")
    with pytest.raises(ValueError, match="Cannot read .*: "):
        reader.read_planes(tmp_path / "a.mkv")
