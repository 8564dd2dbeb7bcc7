"""Reading of video files: frames, declared properties and warnings. A separate process decodes the video."""

import dataclasses
import os
from pathlib import Path

import numpy as np

from nr_vqm.video import decoder_processes, planes, raw_video
from nr_vqm.video.decoder_client import Frames, VideoInfo

# Containers and elementary streams that FFmpeg demuxes, without formats of still images and of audio.
EXTENSIONS = frozenset(
    """.264 .265 .3g2 .3gp .amv .asf .avc .avi .dav .divx .dv .f4v .flv .gif .gxf .h261 .h263 .h264 .h265 .hevc .ivf
    .m1v .m2p .m2t .m2ts .m2v .m4v .mj2 .mjpeg .mjpg .mk3d .mkv .mov .mp4 .mpe .mpeg .mpg .mpv .mts .mxf .nut
    .obu .ogm .ogv .qt .rm .rmvb .tod .trp .ts .vob .webm .wmv .wtv .y4m .yuv""".split()
)


@dataclasses.dataclass(frozen=True)
class ReadOptions:
    """How files are read that leave a choice; the arguments of `read_frames`.

    Attributes:
        raw: format of .yuv files.
        stream: index of a video stream.
        deinterlace: reconstruct the missing rows of interlaced frames.
    """

    raw: raw_video.RawFormat | str | None = None
    stream: int | None = None
    deinterlace: bool = False

    def __post_init__(self) -> None:
        if self.stream is not None and (type(self.stream) is not int or self.stream < 0):
            raise ValueError(f"A video stream is named by its number, from 0. Received: {self.stream!r}.")


def read_frames(
    path: str | os.PathLike[str],
    raw: raw_video.RawFormat | str | None = None,
    *,
    stream: int | None = None,
    deinterlace: bool = False,
    stall_seconds: float = decoder_processes.STALL_SECONDS,
) -> Frames[np.ndarray]:
    """Open a video and iterate over its RGB frames, which are decoded ahead in bounded memory.

    Args:
        path: the file.
        raw: format of a .yuv file, as RawFormat or as text, '1920x1080:yuv420p:30'; ignored for other files.
        stream: index of a video stream among those of the file; None for the one that FFmpeg would choose, which is
            the default one, otherwise the largest.
        deinterlace: reconstruct the missing rows of interlaced frames; progressive frames are not changed.
        stall_seconds: time without a response after which the decoder is considered to hang.

    Returns:
        iterator of uint8 RGB, shape (height, width, 3), values 0-255, in the resolution of the video. Its attribute
        `info` has the declared properties; `warnings` is complete at the end of the iteration.

    Raises:
        FileNotFoundError: the file does not exist.
        ValueError: no frame can be decoded, or the file has no such stream. While iterating: the frame size changes, or
            the decoder crashes or hangs again after one restart.
    """
    _refuse_folder(path)
    return Frames(path, raw=raw, stream=stream, deinterlace=deinterlace, stall_seconds=stall_seconds)


def read_planes(
    path: str | os.PathLike[str],
    raw: raw_video.RawFormat | str | None = None,
    *,
    stream: int | None = None,
    deinterlace: bool = False,
    stall_seconds: float = decoder_processes.STALL_SECONDS,
) -> Frames[planes.Planes]:
    """Open a video and iterate over its decoded YUV 4:2:0 planes, without conversion to RGB.

    Args:
        path, raw, stream, deinterlace, stall_seconds: see `read_frames`.

    Returns:
        iterator of Planes, values 0-255 in the range of the file. Samples of more than 8 bits are divided by
        2^(bits - 8) and not rounded; RGB files are converted to BT.601, limited range.

    Raises:
        FileNotFoundError, ValueError: see `read_frames`; also if the bit depth changes.
    """
    _refuse_folder(path)
    return Frames(path, raw=raw, stream=stream, deinterlace=deinterlace, stall_seconds=stall_seconds, as_planes=True)


def probe(path: str | os.PathLike[str], raw: raw_video.RawFormat | str | None = None) -> VideoInfo:
    """Return the declared properties of a video; its first frame must be decodable.

    Args:
        path, raw: see `read_frames`.

    Raises:
        FileNotFoundError, ValueError: see `read_frames`.
    """
    with read_frames(path, raw) as frames:
        return frames.info


def count_frames(path: str | os.PathLike[str], raw: raw_video.RawFormat | str | None = None) -> int:
    """Count the frames of a video by decoding it.

    Args:
        path, raw: see `read_frames`.

    Raises:
        FileNotFoundError, ValueError: see `read_frames`.
    """
    with read_frames(path, raw) as frames:
        return frames.info.frames if raw_video.is_raw(path) else sum(1 for _ in frames)


def list_videos(folder: str | os.PathLike[str]) -> list[Path]:
    """List the video files below a folder, by their extensions, sorted by path. Links are followed."""
    return [path for path in _list_files(folder) if path.suffix.lower() in EXTENSIONS]


def list_skipped(folder: str | os.PathLike[str]) -> list[Path]:
    """List the files below a folder that are no videos, sorted by path, without hidden files."""
    return [
        path
        for path in _list_files(folder)
        if path.suffix.lower() not in EXTENSIONS
        and not any(part.startswith(".") for part in path.relative_to(folder).parts)
    ]


def _refuse_folder(path: str | os.PathLike[str]) -> None:
    if os.path.isdir(path):
        has_videos = bool(list_videos(path))
        raise FileNotFoundError(
            f"{path} is a folder. Name a video in it." if has_videos else f"No video in the folder {path}."
        )


def _list_files(folder: str | os.PathLike[str]) -> list[Path]:
    """List all files below a folder, sorted by path; a folder that is reached again by a link is visited once."""
    found: list[Path] = []
    visited = set()
    for parent, folders, names in os.walk(folder, followlinks=True):
        status = os.stat(parent)
        if (status.st_dev, status.st_ino) in visited:
            folders.clear()
            continue
        visited.add((status.st_dev, status.st_ino))
        folders.sort()
        found += [path for path in (Path(parent, name) for name in names) if path.is_file()]
    return sorted(found)
