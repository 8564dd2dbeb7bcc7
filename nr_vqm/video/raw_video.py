"""Formats of raw planar YUV video (.yuv), which has no header. `raw_frames` reads it."""

import dataclasses
import os
import re
from pathlib import Path

SUFFIX = ".yuv"
# FFmpeg's pixel format: (bytes per sample, rows of luma per row of chroma). The chroma has half the width in all.
PIXEL_FORMATS = {"yuv420p": (1, 2), "yuv422p": (1, 1), "yuv420p10le": (2, 2), "yuv422p10le": (2, 1)}
MAX_SIZE = 16384  # pixels; a larger height or width is a mistake and would need gigabytes per frame


@dataclasses.dataclass(frozen=True)
class RawFormat:
    """Format of a raw video.

    Attributes:
        width, height: frame size in pixels, 1 to MAX_SIZE.
        pixel_format: a key of PIXEL_FORMATS.
        fps: frames per second, above 0 and below 1000.
    """

    width: int
    height: int
    pixel_format: str
    fps: float

    def __post_init__(self) -> None:
        if self.pixel_format not in PIXEL_FORMATS:
            raise ValueError(
                f"Unknown pixel format {self.pixel_format!r} of raw video. Choose from: {', '.join(PIXEL_FORMATS)}."
            )
        if not (0 < self.width <= MAX_SIZE and 0 < self.height <= MAX_SIZE):
            raise ValueError(f"Raw video needs 1 to {MAX_SIZE} pixels a side. Received: {self.width}x{self.height}.")
        if not 0 < self.fps < 1000:
            raise ValueError(f"Raw video needs a rate between 0 and 1000 frames per second. Received: {self.fps:g}.")

    @property
    def plane_shapes(self) -> list[tuple[int, int]]:
        """Rows, and bytes per row, of Y, U and V; chroma sizes are rounded up."""
        sample, step = PIXEL_FORMATS[self.pixel_format]
        chroma = (-(-self.height // step), -(-self.width // 2) * sample)
        return [(self.height, self.width * sample), chroma, chroma]

    @property
    def frame_bytes(self) -> int:
        """Size of one frame, in bytes."""
        return sum(rows * columns for rows, columns in self.plane_shapes)


def parse(text: str) -> RawFormat:
    """Parse a raw format 'WIDTHxHEIGHT:PIXEL_FORMAT:FPS', for example '1920x1080:yuv420p:30'.

    Raises:
        ValueError: the text has another form, or a value is not supported.
    """
    match = re.fullmatch(r"(\d{1,6})x(\d{1,6}):(\w+):(\d+(?:\.\d+)?)", text, re.ASCII)
    if not match:
        raise ValueError(f"Raw video is described as WIDTHxHEIGHT:PIXEL_FORMAT:FPS. Received: {text!r}.")
    width, height, pixel_format, fps = match.groups()
    return RawFormat(int(width), int(height), pixel_format, float(fps))


def is_raw(path: str | os.PathLike[str]) -> bool:
    """Return whether a file is raw video, by its suffix."""
    return Path(path).suffix.lower() == SUFFIX


def count_frames(path: str | os.PathLike[str], raw: RawFormat | None) -> int:
    """Return the number of frames in a raw file.

    Args:
        path: the file.
        raw: format of the file.

    Raises:
        FileNotFoundError: the file does not exist.
        ValueError: the format is missing, or the file is empty or does not contain a whole number of frames.
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
