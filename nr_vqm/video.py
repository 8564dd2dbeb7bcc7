"""A video file -> RGB frames, and what was wrong with it. Decoding runs in a process of its own (`decoding`)."""

import os
from pathlib import Path

from nr_vqm import decoder_worker, raw_video
from nr_vqm.decoding import Frames

EXTENSIONS = frozenset(
    [
        ".264",
        ".3gp",
        ".avi",
        ".flv",
        ".h264",
        ".h265",
        ".hevc",
        ".m4v",
        ".mkv",
        ".mov",
        ".mp4",
        ".mpeg",
        ".mpg",
        ".mts",
        ".ogv",
        ".ts",
        ".webm",
        ".wmv",
        ".y4m",
        ".yuv",
    ]
)


def read_frames(path, raw=None, *, stall_seconds=decoder_worker.STALL_SECONDS):
    """Open a video and decode it ahead of the reader, sequentially, once, in bounded memory.

    Args:
        path: the file.
        raw: the raw_video.RawFormat of a .yuv file; here and below it is not looked at for any other.
        stall_seconds: a decoder that gives no sign of life for so long has failed.

    Returns:
        decoding.Frames: an iterator of uint8 RGB, shape (height, width, 3), values 0-255, at the video's own
        resolution, with what the file declares and, at the end, warnings.

    Raises:
        FileNotFoundError: no such file.
        ValueError: not one frame can be decoded; while iterating also: the picture's size changes, or every decoder
            crashes or hangs.
    """
    return Frames(path, raw=raw, stall_seconds=stall_seconds)


def read_planes(
    path: str | os.PathLike,
    raw: raw_video.RawFormat | None = None,
    *,
    stall_seconds: float = decoder_worker.STALL_SECONDS,
) -> Frames:
    """Open a video as `read_frames`, for the decoder's own luma and chroma instead of RGB.

    Returns:
        decoding.Frames: an iterator of planes.Planes: y, u and v in the range of the file, 0-255, 4:2:0. More than
        8 bits are divided by 2^(bits - 8) and not rounded. RGB files are converted to BT.601, limited range.

    Raises:
        FileNotFoundError, ValueError: as `read_frames`; PyAV alone decodes here.
    """
    return Frames(path, raw=raw, stall_seconds=stall_seconds, as_planes=True)


def probe(path, raw=None):
    """Open a video, decode its first frame and say what it declares, as a decoding.VideoInfo.

    Raises:
        FileNotFoundError, ValueError: as `read_frames`.
    """
    with read_frames(path, raw) as frames:
        return frames.info


def count_frames(path, raw=None):
    """The number of frames that can be decoded; slower than the declared number, and true."""
    with read_frames(path, raw) as frames:
        return frames.info.frames if raw_video.is_raw(path) else sum(1 for _ in frames)


def list_videos(folder):
    """Every file below `folder` with a video's extension, sorted by path."""
    return sorted(path for path in Path(folder).rglob("*") if path.suffix.lower() in EXTENSIONS and path.is_file())
