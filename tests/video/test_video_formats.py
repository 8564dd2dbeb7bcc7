"""Every supported format is decoded with the right number, order and orientation of frames."""

import os
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from av.stream import Disposition
from sample_videos import bar_frame, place_frame, write_bars, write_ffv1

from nr_vqm.video import raw_video, reader


def assert_bar_frames(frames, *, size=(96, 128), num_frames=20):
    assert len(frames) == num_frames
    for number, frame in enumerate(frames):
        difference = np.abs(frame.astype(int) - bar_frame(number, *size))
        assert frame.shape == (*size, 3)
        assert difference.mean() < 8, number


QUIET = {"x265-params": "log-level=none"}
FILES = {
    "H.264": ("a.mp4", {"encoder": "libx264"}),
    "H.264, elementary": ("a.264", {"encoder": "libx264"}),
    "H.264, transport stream": ("a.ts", {"encoder": "libx264"}),
    "H.264, odd size": ("a.mkv", {"encoder": "libx264", "pixel_format": "yuv444p", "size": (95, 127)}),
    "H.265": ("a.mp4", {"encoder": "libx265", "options": QUIET}),
    "H.265, 10 bit": ("a.mkv", {"encoder": "libx265", "pixel_format": "yuv420p10le", "options": QUIET}),
    "AV1": ("a.mkv", {"encoder": "libsvtav1"}),
    "VP8": ("a.webm", {"encoder": "libvpx", "options": {"b": "2M"}}),
    "VP9": ("a.webm", {"encoder": "libvpx-vp9"}),
    "VP9, odd size": ("a.webm", {"encoder": "libvpx-vp9", "size": (95, 127)}),
    "MJPEG": ("a.avi", {"encoder": "mjpeg", "pixel_format": "yuvj420p"}),
    "MPEG-4": ("a.avi", {"encoder": "mpeg4", "options": {"b": "2M"}}),
    "MPEG-2": ("a.mpg", {"encoder": "mpeg2video", "options": {"b": "2M"}}),
    "ProRes, 10 bit": ("a.mov", {"encoder": "prores_ks", "pixel_format": "yuv422p10le"}),
    "FFV1, odd size": ("a.mkv", {"encoder": "ffv1", "pixel_format": "bgr0", "size": (95, 127)}),
    "uncompressed BGR": ("a.avi", {"encoder": "rawvideo", "pixel_format": "bgr24"}),
    "uncompressed BGR, odd size": ("a.avi", {"encoder": "rawvideo", "pixel_format": "bgr24", "size": (95, 127)}),
    "y4m": ("a.y4m", {"encoder": "wrapped_avframe"}),
    "grey": ("a.mkv", {"encoder": "ffv1", "pixel_format": "gray"}),
}


@pytest.mark.parametrize("kind", FILES)
def test_formats(tmp_path, kind, monkeypatch):
    monkeypatch.setenv("SVT_LOG", "1")
    name, settings = FILES[kind]
    frames = reader.read_frames(write_bars(tmp_path / name, **settings))
    assert_bar_frames(list(frames), size=settings.get("size", (96, 128)))
    assert frames.warnings == []
    assert frames.info.expected == 20


def test_variable_frame_rate_gives_every_frame_once(tmp_path):
    times = [4 * n + 30 * (n > 7) - (n % 3 == 1) for n in range(20)]
    for name in ("vfr.mkv", "vfr.mp4"):
        frames = reader.read_frames(write_bars(tmp_path / name, encoder="libx264", times=times))
        assert_bar_frames(list(frames))
        assert (frames.info.frames, frames.info.expected, frames.warnings) == (20, 20, [])


def test_a_truncated_matroska_file_lacks_frames(tmp_path):
    path = write_bars(tmp_path / "cut.mkv", encoder="libx264", num_frames=40)
    path.write_bytes(path.read_bytes()[: int(0.6 * path.stat().st_size)])
    frames = reader.read_frames(path)
    decoded = sum(1 for _ in frames)
    assert 0 < decoded < 36
    assert frames.info.frames == 40
    assert f"only {decoded} of 40 declared frames could be decoded" in frames.warnings


def write_two_streams(path, sizes, *, default=None):
    """Write a file with sound and two video streams of 20 frames."""
    with av.open(str(path), "w") as container:
        sound = container.add_stream("aac", rate=8000, layout="mono")
        streams = [container.add_stream("libx264", rate=25) for _ in range(2)]
        for index, (stream, size) in enumerate(zip(streams, sizes, strict=True)):
            stream.height, stream.width = size
            stream.pix_fmt = "yuv420p"
            stream.disposition = Disposition.default if index == default else Disposition(0)
        for number in range(20):
            silence = av.AudioFrame.from_ndarray(np.zeros((1, 320), np.float32), format="fltp", layout="mono")
            silence.sample_rate = 8000
            container.mux(sound.encode(silence))
            for stream in streams:
                frame = av.VideoFrame.from_ndarray(bar_frame(number, stream.height, stream.width), format="rgb24")
                container.mux(stream.encode(frame))
        for stream in (sound, *streams):
            container.mux(stream.encode(None))
    return path


@pytest.mark.parametrize(
    ("sizes", "default", "wanted", "shown"),
    [
        (((48, 64), (96, 128)), None, None, 1),
        (((96, 128), (48, 64)), 1, None, 1),
        (((48, 64), (96, 128)), None, 0, 0),
        (((96, 128), (48, 64)), None, 1, 1),
    ],
)
@pytest.mark.parametrize("read", [reader.read_frames, reader.read_planes])
def test_the_largest_default_or_named_video_stream_is_read(tmp_path, sizes, default, wanted, shown, read):
    frames = read(write_two_streams(tmp_path / "two.mkv", sizes, default=default), stream=wanted)
    height, width = sizes[shown]
    assert [getattr(frame, "y", frame).shape[:2] for frame in frames] == [(height, width)] * 20
    read = f"stream {shown} of {width}x{height} is read; nr-vqm score --stream reads another"
    assert frames.warnings == [f"2 video streams: {read}"]


def test_a_default_stream_that_is_far_smaller_is_not_read(tmp_path):
    """As in FFmpeg, the default stream counts as 5,000,000 pixels larger."""
    path = write_two_streams(tmp_path / "two.mkv", ((48, 64), (2000, 2600)), default=0)
    with reader.read_frames(path) as frames:
        assert (frames.info.width, frames.info.height, frames.info.streams) == (2600, 2000, 2)


def test_a_missing_stream_is_refused_with_those_there_are(tmp_path):
    path = write_two_streams(tmp_path / "two.mkv", ((96, 128), (48, 64)))
    with pytest.raises(ValueError, match="Video stream 2 is needed, the file has 0: 128x96, 1: 64x48"):
        reader.read_frames(path, stream=2)


def test_pixels_that_are_not_square_and_an_alpha_channel_are_warned_about(tmp_path):
    path = tmp_path / "wide.mp4"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=25)
        stream.height, stream.width, stream.pix_fmt = 96, 128, "yuv420p"
        stream.codec_context.sample_aspect_ratio = Fraction(4, 3)
        for number in range(20):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(bar_frame(number, 96, 128), format="rgb24")))
        container.mux(stream.encode(None))
    frames = reader.read_frames(path)
    assert_bar_frames(list(frames))
    assert frames.warnings == ["non-square pixels, 4:3: read as they are stored, without stretching"]
    frames = reader.read_frames(write_bars(tmp_path / "alpha.mkv", encoder="ffv1", pixel_format="yuva420p"))
    assert_bar_frames(list(frames))
    assert frames.warnings == ["an alpha channel, which is ignored: transparent areas show their stored colours"]


def test_an_animated_webp_is_refused_with_the_reason(tmp_path):
    with av.open(str(tmp_path / "a.webp"), "w") as container:
        stream = container.add_stream("libwebp_anim", rate=25)
        stream.height, stream.width, stream.pix_fmt = 96, 128, "yuv420p"
        for number in range(20):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(bar_frame(number, 96, 128), format="rgb24")))
        container.mux(stream.encode(None))
    with pytest.raises(
        ValueError, match=r"a\.webp is a WebP image, whose animations the decoder cannot read\. Convert"
    ):
        reader.read_frames(tmp_path / "a.webp")


@pytest.mark.parametrize(("trc", "name"), [(16, "PQ"), (18, "HLG")])
def test_hdr_is_flagged(tmp_path, trc, name):
    settings = {"encoder": "libx265", "pixel_format": "yuv420p10le", "options": QUIET}
    info = reader.probe(write_bars(tmp_path / "hdr.mp4", trc=trc, **settings))
    assert info.warnings == (f"HDR video ({name}), read as if it were not: out of the model's range",)


@pytest.mark.parametrize(
    "name", ["a b.mkv", "ü 視.mkv", "line\nbreak.mkv", "-v.mkv", "http:.mkv", "a:b|c'd\".mkv", "%03d.mkv"]
)
def test_names(tmp_path, name, monkeypatch):
    write_ffv1(tmp_path / "plain.mkv", [place_frame(t, 30, 44) for t in range(4)]).rename(tmp_path / name)
    monkeypatch.chdir(tmp_path)
    for path in (name, tmp_path / name):
        assert reader.count_frames(path) == 4


def test_a_changing_frame_size_is_refused(tmp_path):
    parts = [write_bars(tmp_path / f"{size[0]}.ts", encoder="libx264", size=size) for size in ((96, 128), (48, 64))]
    (tmp_path / "both.ts").write_bytes(b"".join(part.read_bytes() for part in parts))
    with pytest.raises(ValueError, match="A constant frame size is needed, .* changes from 128x96 to 64x48"):
        list(reader.read_frames(tmp_path / "both.ts"))


def test_raw_video_needs_its_format(tmp_path):
    path = tmp_path / "a.yuv"
    path.write_bytes(bytes(44 * 30 * 3 // 2 * 5))
    with pytest.raises(ValueError, match="is raw video without a header"):
        reader.read_frames(path)
    raw = raw_video.parse("44x30:yuv420p:25")
    frames = reader.read_frames(path, raw)
    assert [frame.shape for frame in frames] == [(30, 44, 3)] * 5
    assert (frames.info.frames, frames.info.fps, frames.warnings) == (5, 25, [])
    assert reader.count_frames(path, raw) == 5
    path.write_bytes(bytes(44 * 30 * 3 // 2 * 5 + 7))
    with pytest.raises(ValueError, match="It is cut off, or has another size or pixel format"):
        reader.read_frames(path, raw)


REAL = {  # file: (frames, (height, width), start of the warning)
    "edge/rot_decord_video_90.mov": (3, (568, 320), None),
    "edge/androidx_bear-vp9-odd.webm": (30, (121, 161), None),
    "edge/torchcodec_av1_video.mkv": (125, (360, 640), None),
    "edge/torchcodec_h265_10bits.mp4": (30, (200, 200), None),
    "edge/torchcodec_var_fps_video.mp4": (300, (128, 128), None),
    "edge/moviepy_no_duration.webm": (74, (720, 1280), "an alpha channel"),
    "edge/edge_decord_corrupted.mp4": (49, (720, 1280), "damaged: the decoder reports"),
    "special/androidx_hdr10-av1.mp4": (127, (1280, 720), "HDR video (PQ)"),
    "special/androidx_rotate_reflect.mp4": (30, (1080, 720), None),
    "special/photoprism_quicktime-hvc1.mov": (35, (1280, 720), None),
    "special/siti_fall-hlg.mov": (5, (1080, 1920), "HDR video (HLG)"),
    "mdn_flower.webm": (150, (540, 960), None),
    "siti_foreman_cif.y4m": (10, (288, 352), "non-square pixels, 128:117"),
}


@pytest.mark.skipif(not os.environ.get("NR_VQM_DATA"), reason="NR_VQM_DATA names no folder with videos/")
@pytest.mark.parametrize("name", REAL)
def test_real_files(name):
    num_frames, size, warning = REAL[name]
    frames = reader.read_frames(Path(os.environ["NR_VQM_DATA"]) / "videos" / name)
    shapes = [frame.shape for frame in frames]
    assert shapes == [(*size, 3)] * num_frames
    assert [text[: len(warning or "")] for text in frames.warnings] == ([warning] if warning else [])
