"""What this machine has and can decode: `nr-vqm doctor`."""

import dataclasses
import os
import shutil
import tempfile
from fractions import Fraction
from pathlib import Path

import numpy as np

import nr_vqm
from nr_vqm.common import devices, provenance
from nr_vqm.video import reader

# Name: (encoder, container, pixel format). Every decoder is tried on a stream made here and now.
CODECS = {
    "H.264": ("libx264", "mp4", "yuv420p"),
    "H.265, 10 bit": ("libx265", "mp4", "yuv420p10le"),
    "AV1": ("libsvtav1", "mkv", "yuv420p"),
    "VP9": ("libvpx-vp9", "webm", "yuv420p"),
    "MPEG-4": ("mpeg4", "avi", "yuv420p"),
    "MJPEG": ("mjpeg", "avi", "yuvj420p"),
    "FFV1": ("ffv1", "mkv", "yuv420p"),
}
LEVELS = range(40, 190, 15)  # the grey of each frame of the test video
HEIGHT, WIDTH = 96, 128
MIN_FREE = 4e9  # bytes; the demo leaves 2.9 GB


@dataclasses.dataclass(frozen=True)
class Finding:
    """One line of the doctor: what was looked at, whether it is well, and what was found."""

    name: str
    ok: bool
    text: str


def examine(folder):
    """Yield a Finding for versions, devices, memory, disk and each codec.

    Args:
        folder: where runs or data will be written; its disk is looked at.
    """
    yield Finding("versions", True, ", ".join(f"{name} {version}" for name, version in _versions().items()))
    yield Finding("devices", True, _devices())
    yield Finding("memory", True, f"{os.sysconf('SC_PAGE_SIZE') * os.sysconf('SC_PHYS_PAGES') / 1e9:.1f} GB")
    yield _disk(folder)
    with tempfile.TemporaryDirectory() as temporary:
        for name, (encoder, container, pixel_format) in CODECS.items():
            path = Path(temporary) / f"test.{container}"
            yield check_codec(name, path, encoder=encoder, pixel_format=pixel_format)


def _versions():
    return {"nr-vqm": nr_vqm.__version__, **provenance.versions()}


def _devices():
    """In words."""
    import tensorflow as tf

    details = map(tf.config.experimental.get_device_details, devices.visible_gpus())
    gpus = [one.get("device_name", "GPU") for one in details]
    names = ", ".join(gpus) or "no GPU"
    return f"{devices.cores()} CPU cores, {names}; scores are computed in {devices.best_precision()}"


def _disk(folder):
    free = shutil.disk_usage(folder).free
    text = f"{free / 1e9:.1f} GB free at {os.path.abspath(folder)}"
    return Finding("disk", free >= MIN_FREE, text if free >= MIN_FREE else f"{text}; the demo needs {MIN_FREE / 1e9:g}")


def check_codec(name, path, *, encoder, pixel_format):
    """Encode a few frames, decode them as scoring does, and compare their number and brightness.

    Args:
        name: of the codec, for people.
        path: the file to write.
        encoder, pixel_format: as FFmpeg calls them.
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


def write_test_video(path, *, encoder, pixel_format):
    """Write grey frames that grow brighter; ValueError where PyAV lacks the encoder."""
    os.environ.setdefault("SVT_LOG", "1")  # errors only
    import av

    try:
        with av.open(str(path), "w") as container:
            stream = container.add_stream(encoder, rate=Fraction(25))
            stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, pixel_format
            stream.options = {"x265-params": "log-level=none"} if encoder == "libx265" else {}
            for level in LEVELS:
                picture = np.full((HEIGHT, WIDTH, 3), level, np.uint8)
                container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
            container.mux(stream.encode(None))
    except av.FFmpegError as error:
        raise ValueError(f"cannot be tested: PyAV cannot encode with {encoder}: {error}") from error
