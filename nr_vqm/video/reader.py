"""A video file -> RGB frames, and what was wrong with it. Decoding runs in a process of its own (`decoding`)."""

import os
from pathlib import Path

from nr_vqm.video import decoder_processes, raw_video
from nr_vqm.video.decoder_client import Frames

# Containers and elementary streams that FFmpeg's demuxers read. Names of single images and of sound are not among them.
EXTENSIONS = frozenset(
    """.264 .265 .3g2 .3gp .amv .asf .avc .avi .dav .divx .dv .f4v .flv .gif .gxf .h261 .h263 .h264 .h265 .hevc .ivf
    .m1v .m2p .m2t .m2ts .m2v .m4v .mj2 .mjpeg .mjpg .mk3d .mkv .mov .mp4 .mpe .mpeg .mpg .mpv .mts .mxf .nut
    .obu .ogm .ogv .qt .rm .rmvb .tod .trp .ts .vob .webm .wmv .wtv .y4m .yuv""".split()
)


def read_frames(path, raw=None, *, stall_seconds=decoder_processes.STALL_SECONDS):
    """Open a video and decode it ahead of the reader, sequentially, once, in bounded memory.

    Args:
        path: the file.
        raw: the raw_video.RawFormat of a .yuv file, or its text, '1920x1080:yuv420p:30'; other files ignore it.
        stall_seconds: a decoder that gives no sign of life for so long has failed.

    Returns:
        decoder_client.Frames: an iterator of uint8 RGB, shape (height, width, 3), values 0-255, at the video's own
        resolution, with what the file declares and, at the end, warnings.

    Raises:
        FileNotFoundError: no such file.
        ValueError: not one frame can be decoded; while iterating also: the frame size changes, or the decoder crashes
            or hangs again after it was started once more.
    """
    return Frames(path, raw=raw, stall_seconds=stall_seconds)


def read_planes(
    path: str | os.PathLike,
    raw: raw_video.RawFormat | str | None = None,
    *,
    stall_seconds: float = decoder_processes.STALL_SECONDS,
) -> Frames:
    """Open a video as `read_frames`, for the decoder's own luma and chroma instead of RGB.

    Returns:
        decoder_client.Frames: an iterator of planes.Planes: y, u and v in the range of the file, 0-255, 4:2:0.
        More than 8 bits are divided by 2^(bits - 8) and not rounded. RGB files are converted to BT.601, limited range.

    Raises:
        FileNotFoundError, ValueError: as `read_frames`; the bit depth must not change either.
    """
    return Frames(path, raw=raw, stall_seconds=stall_seconds, as_planes=True)


def probe(path, raw=None):
    """Open a video, decode its first frame and say what it declares, as a decoder_client.VideoInfo.

    Raises:
        FileNotFoundError, ValueError: as `read_frames`.
    """
    with read_frames(path, raw) as frames:
        return frames.info


def count_frames(path, raw=None):
    """The number of frames that can be decoded; slower than the declared number, and true."""
    with read_frames(path, raw) as frames:
        return frames.info.frames if raw_video.is_raw(path) else sum(1 for _ in frames)


def list_videos(folder: str | os.PathLike) -> list[Path]:
    """Every file below `folder` with a video's extension, sorted by path; links to files and folders are followed."""
    return [path for path in _list_files(folder) if path.suffix.lower() in EXTENSIONS]


def list_skipped(folder: str | os.PathLike) -> list[Path]:
    """Every other file below `folder`, sorted by path; hidden ones are not listed."""
    return [
        path
        for path in _list_files(folder)
        if path.suffix.lower() not in EXTENSIONS
        and not any(part.startswith(".") for part in path.relative_to(folder).parts)
    ]


def _list_files(folder: str | os.PathLike) -> list[Path]:
    """Every file below `folder`, sorted; a folder that links lead to again is visited once."""
    found, visited = [], set()
    for parent, folders, names in os.walk(folder, followlinks=True):
        status = os.stat(parent)
        if (status.st_dev, status.st_ino) in visited:
            folders.clear()
            continue
        visited.add((status.st_dev, status.st_ino))
        folders.sort()
        found += [path for path in (Path(parent, name) for name in names) if path.is_file()]
    return sorted(found)
