"""Checks of the installation: versions, devices, memory, disk space and decoding of every codec."""

import dataclasses
import importlib.util
import os
import shutil
import tempfile
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np

import nr_vqm
from nr_vqm.common import devices, provenance
from nr_vqm.video import reader

# Name: (encoder, container, pixel format). Every decoder is tested with a newly encoded video.
CODECS = {
    "H.264": ("libx264", "mp4", "yuv420p"),
    "H.265, 10 bit": ("libx265", "mp4", "yuv420p10le"),
    "AV1": ("libsvtav1", "mkv", "yuv420p"),
    "VP9": ("libvpx-vp9", "webm", "yuv420p"),
    "MPEG-4": ("mpeg4", "avi", "yuv420p"),
    "MJPEG": ("mjpeg", "avi", "yuvj420p"),
    "FFV1": ("ffv1", "mkv", "yuv420p"),
}
LEVELS = range(40, 190, 15)  # grey level of each frame of the test video
HEIGHT, WIDTH = 96, 128
MIN_FREE = 4e9  # bytes; the data and the run of the demo take 2.9 GB


@dataclasses.dataclass(frozen=True)
class Finding:
    """Result of one check.

    Attributes:
        name: what was checked.
        ok: whether the check passed.
        text: details for the user.
    """

    name: str
    ok: bool
    text: str


def examine(folder: str | os.PathLike[str]) -> Iterator[Finding]:
    """Check the versions, devices, memory, disk space and codecs of this machine.

    Args:
        folder: folder for runs or data, whose free disk space is checked; it need not exist yet.

    Yields:
        one Finding per check.
    """
    yield Finding("versions", True, ", ".join(f"{name} {version}" for name, version in _versions().items()))
    yield Finding("devices", True, _devices())
    yield Finding("memory", True, f"{os.sysconf('SC_PAGE_SIZE') * os.sysconf('SC_PHYS_PAGES') / 1e9:.1f} GB")
    yield _disk(folder)
    with tempfile.TemporaryDirectory() as temporary:
        for name, (encoder, container, pixel_format) in CODECS.items():
            path = Path(temporary) / f"test.{container}"
            yield check_codec(name, path, encoder=encoder, pixel_format=pixel_format)


def _versions() -> dict[str, str]:
    return {"nr-vqm": nr_vqm.__version__, **provenance.versions()}


def _devices() -> str:
    """Describe CPU cores, GPUs and the precision of scores that Keras computes."""
    if importlib.util.find_spec("tensorflow") is None:
        return f"{devices.cores()} CPU cores; without TensorFlow, which only training and --engine keras need"
    import tensorflow as tf

    details = map(tf.config.experimental.get_device_details, devices.visible_gpus())
    gpus = [one.get("device_name", "GPU") for one in details]
    names = ", ".join(gpus) or "no GPU"
    return f"{devices.cores()} CPU cores, {names}; Keras computes scores in {devices.best_precision()}"


def _disk(folder: str | os.PathLike[str]) -> Finding:
    path = Path(folder).absolute()
    existing = next(one for one in (path, *path.parents) if os.path.exists(one))
    free = shutil.disk_usage(existing).free
    text = f"{free / 1e9:.1f} GB free at {existing}"
    return Finding("disk", free >= MIN_FREE, text if free >= MIN_FREE else f"{text}; the demo needs {MIN_FREE / 1e9:g}")


def check_codec(name: str, path: Path, *, encoder: str, pixel_format: str) -> Finding:
    """Check a codec: encode a few frames, decode them, and compare their number and brightness.

    Args:
        name: name of the codec, for the user.
        path: the file to write.
        encoder, pixel_format: FFmpeg's names.
    """
    try:
        write_test_video(path, encoder=encoder, pixel_format=pixel_format)
        frames = reader.read_frames(path)
        found = [float(frame.mean()) for frame in frames]
    except (ValueError, OSError) as error:
        return Finding(name, False, str(error))
    text = f"{len(found)} of {len(LEVELS)} frames"
    ok = len(found) == len(LEVELS)
    if ok and not np.allclose(found, LEVELS, atol=8):
        ok, text = False, f"{text}, with wrong pixels"
    return Finding(name, ok, "; ".join([text, *frames.warnings]))


def write_test_video(path: Path, *, encoder: str, pixel_format: str) -> None:
    """Write a video of grey frames of increasing brightness.

    Args:
        path: the file to write.
        encoder, pixel_format: FFmpeg's names.

    Raises:
        ValueError: PyAV cannot encode with this encoder.
    """
    os.environ.setdefault("SVT_LOG", "1")  # errors only
    try:
        with av.open(str(path), "w") as container:
            stream: Any = container.add_stream(encoder, rate=Fraction(25))
            stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, pixel_format
            stream.options = {"x265-params": "log-level=none"} if encoder == "libx265" else {}
            for level in LEVELS:
                frame = np.full((HEIGHT, WIDTH, 3), level, np.uint8)
                container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
            container.mux(stream.encode(None))
    except av.FFmpegError as error:
        raise ValueError(f"cannot be tested: PyAV cannot encode with {encoder}: {error}") from error
