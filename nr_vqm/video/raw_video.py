"""Raw video without a header (.yuv): planar YUV mapped from the disk, one RGB frame at a time.

The conversion is libswscale's with the settings that OpenCV uses, so a raw file gives the very pixels that OpenCV
decodes from a lossless file of the same frames.
"""

import dataclasses
import os
import re
from pathlib import Path

import av
import cv2
import numpy as np

SUFFIX = ".yuv"
# Pixel format, as ffmpeg calls it: (bytes a sample, rows of luma for one row of chroma). All halve the chroma's width.
PIXEL_FORMATS = {"yuv420p": (1, 2), "yuv422p": (1, 1), "yuv420p10le": (2, 2), "yuv422p10le": (2, 1)}
MAX_SIZE = 16384  # pixels a side: a size beyond is a mistake, and would ask for gigabytes a frame


@dataclasses.dataclass(frozen=True)
class RawFormat:
    """What a header would say: size in pixels, pixel format (a key of PIXEL_FORMATS), frames per second."""

    width: int
    height: int
    pixel_format: str
    fps: float

    def __post_init__(self):
        if self.pixel_format not in PIXEL_FORMATS:
            raise ValueError(
                f"Unknown pixel format {self.pixel_format!r} of raw video. Choose from: {', '.join(PIXEL_FORMATS)}."
            )
        if not (0 < self.width <= MAX_SIZE and 0 < self.height <= MAX_SIZE):
            raise ValueError(f"Raw video needs 1 to {MAX_SIZE} pixels a side. Received: {self.width}x{self.height}.")
        if not 0 < self.fps < 1000:
            raise ValueError(f"Raw video needs a rate between 0 and 1000 frames per second. Received: {self.fps:g}.")

    @property
    def plane_shapes(self):
        """(rows, bytes a row) of Y, U and V; odd sizes round the chroma up."""
        sample, step = PIXEL_FORMATS[self.pixel_format]
        chroma = (-(-self.height // step), -(-self.width // 2) * sample)
        return [(self.height, self.width * sample), chroma, chroma]

    @property
    def frame_bytes(self):
        """Bytes of one frame."""
        return sum(rows * columns for rows, columns in self.plane_shapes)


def parse(text):
    """The RawFormat of 'WIDTHxHEIGHT:PIXEL_FORMAT:FPS', for example '1920x1080:yuv420p:30'.

    Raises:
        ValueError: the text has another form, or asks for what cannot be read.
    """
    match = re.fullmatch(r"(\d{1,6})x(\d{1,6}):(\w+):(\d+(?:\.\d+)?)", text, re.ASCII)
    if not match:
        raise ValueError(f"Raw video is described as WIDTHxHEIGHT:PIXEL_FORMAT:FPS. Received: {text!r}.")
    width, height, pixel_format, fps = match.groups()
    return RawFormat(int(width), int(height), pixel_format, float(fps))


def is_raw(path):
    """True for a file that has no header to read."""
    return Path(path).suffix.lower() == SUFFIX


def count_frames(path, raw):
    """The number of frames in a raw file.

    Args:
        path: the file.
        raw: RawFormat; None is refused, for nothing in the file tells its size.

    Raises:
        FileNotFoundError: no such file.
        ValueError: no format, an empty file, or not a whole number of frames.
    """
    if not Path(path).is_file():
        raise FileNotFoundError(f"No video file at {path}.")
    if raw is None:
        raise ValueError(
            f"{path} is raw video without a header. Give its size, pixel format and rate, "
            "--raw 1920x1080:yuv420p:30, or convert it to .y4m or .mkv."
        )
    size = Path(path).stat().st_size
    frames, rest = divmod(size, raw.frame_bytes)
    if rest or not frames:
        raise ValueError(
            f"A whole number of {raw.width}x{raw.height} {raw.pixel_format} frames of {raw.frame_bytes:,} bytes is "
            f"needed, {path} has {size:,} bytes: {size / raw.frame_bytes:.2f} frames. It is cut off, or has another "
            "size or pixel format."
        )
    return frames


def read_frames(path, raw):
    """Yield the frames of a raw file in order, mapped from the disk: only the frame in hand is in memory.

    Args:
        path: the file.
        raw: its RawFormat.

    Yields:
        uint8 RGB, shape (raw.height, raw.width, 3), values 0-255.

    Raises:
        FileNotFoundError, ValueError: as `count_frames`.
    """
    for data in map_frames(path, raw):
        yield to_rgb(data, raw)


def map_frames(path: str | os.PathLike, raw: RawFormat) -> np.ndarray:
    """The frames of a raw file, mapped from the disk.

    Returns:
        uint8, shape (frames, raw.frame_bytes): Y, U and V of a frame one after another.

    Raises:
        FileNotFoundError, ValueError: as `count_frames`.
    """
    return np.memmap(path, np.uint8, mode="r", shape=(count_frames(path, raw), raw.frame_bytes))


def to_rgb(data, raw):
    """One frame's bytes as RGB: BT.601, limited range, as OpenCV takes what declares nothing.

    Args:
        data: uint8, shape (raw.frame_bytes,): Y, U and V one after another.
        raw: RawFormat.

    Returns:
        uint8, shape (raw.height, raw.width, 3).
    """
    return cv2.cvtColor(to_av_frame(data, raw).to_ndarray(format="bgr24", interpolation="BICUBIC"), cv2.COLOR_BGR2RGB)


def to_av_frame(data: np.ndarray, raw: RawFormat) -> av.VideoFrame:
    """One frame's bytes (as `to_rgb`) as a decoder would give them."""
    frame, start = av.VideoFrame(raw.width, raw.height, raw.pixel_format), 0
    for plane, (rows, columns) in zip(frame.planes, raw.plane_shapes, strict=True):
        target = np.frombuffer(memoryview(plane), np.uint8).reshape(rows, plane.line_size)
        target[:, :columns] = data[start : start + rows * columns].reshape(rows, columns)
        start += rows * columns
    return frame
