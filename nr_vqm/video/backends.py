"""Decoding of a file with PyAV or the raw reader. It runs in the decoder process, because it may crash or hang.

Files are read sequentially, because seeking is inexact in files with a variable frame rate.
"""

import contextlib
import os
import sys
from collections.abc import Generator
from typing import Any

import av
import cv2
import numpy as np
from av.codec.context import Flags
from av.sidedata.sidedata import Type
from av.video.reformatter import VideoReformatter

from nr_vqm.video import containers, decoded_planes, interlacing, planes, raw_frames, raw_video
from nr_vqm.video.containers import Refusal

MAX_PIXELS = 2**26  # per frame, twice 8K: a larger size means a damaged header
THREADS = 4  # of the decoder: every thread needs memory for frames


def read(
    path: str, *, raw: raw_video.RawFormat | None, stream: int | None, deinterlace: bool, warnings: list[str]
) -> Generator[np.ndarray, None, None]:
    """Decode a file and yield its RGB frames.

    Args:
        path: absolute path of the file; FFmpeg would read 'a:b' as a protocol.
        raw: format of a raw file, else None.
        stream: see `containers.inspect`.
        deinterlace: reconstruct the missing rows of interlaced frames.
        warnings: problems are appended during the iteration, each once.

    Yields:
        uint8 RGB, shape (height, width, 3), values 0-255.

    Raises:
        ValueError: the file cannot be opened as a video.
        Refusal: the frame size changes or is above MAX_PIXELS.
    """
    shape = None
    decoded = raw_frames.read_frames(path, raw) if raw else _read_pyav(path, stream, deinterlace, warnings)
    with contextlib.closing(decoded) as frames:
        for frame in frames:
            shape = shape or frame.shape
            _check_shape(path, frame.shape, shape)
            yield frame


def _check_shape(path: str, found: tuple[int, ...], first: tuple[int, ...]) -> None:
    if found != first:
        raise Refusal(f"A constant frame size is needed, {path} changes from {_size(first)} to {_size(found)}.")
    if found[0] * found[1] > MAX_PIXELS:
        raise Refusal(f"Frames of at most {MAX_PIXELS:,} pixels can be read, {path} has {_size(found)}.")


def _size(shape: tuple[int, ...]) -> str:
    return f"{shape[1]}x{shape[0]}"


def read_planes(
    path: str, *, raw: raw_video.RawFormat | None, stream: int | None, deinterlace: bool, warnings: list[str]
) -> Generator[tuple[int, int, int, np.ndarray], None, None]:
    """Decode a file and yield its packed YUV 4:2:0 planes.

    Args:
        path, raw, stream, deinterlace, warnings: see `read`.

    Yields:
        height, width and bits per sample, which are constant, and the frame packed by `planes.pack`.

    Raises:
        ValueError, Refusal: see `read`; also if the bit depth changes.
    """
    convert = VideoReformatter()
    first: tuple[int, ...] | None = None
    matrix = None
    frames: Generator[av.VideoFrame, None, None]
    if raw:
        frames = (raw_frames.to_av_frame(data, raw) for data in raw_frames.iter_frames(path, raw))
    else:
        frames = _pyav_frames(path, stream, deinterlace, warnings)
    with contextlib.closing(frames):
        for frame in frames:
            bits, parts = decoded_planes.split(frame, convert)
            matrix = _display_matrix(frame) if first is None else matrix
            parts = [turn(part, matrix) for part in parts]
            shape = (*parts[0].shape, bits)
            first = first or shape
            _check_shape(path, shape[:2], first[:2])
            if bits != first[2]:
                raise Refusal(f"A constant bit depth is needed, {path} changes from {first[2]} to {bits} bits.")
            yield shape[0], shape[1], bits, planes.pack(parts)


def _read_pyav(
    path: str, stream: int | None, deinterlace: bool, warnings: list[str]
) -> Generator[np.ndarray, None, None]:
    """Decode a file with PyAV and yield its RGB frames."""
    convert = VideoReformatter()  # the same for all frames: its creation costs as much as decoding a small frame
    matrix = None
    with contextlib.closing(_pyav_frames(path, stream, deinterlace, warnings)) as frames:
        for number, frame in enumerate(frames):
            matrix = _display_matrix(frame) if number == 0 else matrix
            yield turn(_to_rgb(frame, convert), matrix)


def _to_rgb(frame: av.VideoFrame, convert: VideoReformatter) -> np.ndarray:
    """Convert a decoded frame to RGB."""
    if frame.format.name == "bgr24":  # perhaps stored bottom-up; only a conversion to another format reverses the rows
        return convert.reformat(frame, format="rgb24").to_ndarray()
    # Bicubic and via BGR, like raw_video: libswscale rounds differently in a conversion to RGB.
    bgr = convert.reformat(frame, format="bgr24", interpolation="BICUBIC").to_ndarray()
    return cv2.cvtColor(bgr, cv2.COLOR_BGR2RGB, bgr)


def _pyav_frames(
    path: str, stream: int | None, deinterlace: bool, warnings: list[str]
) -> Generator[av.VideoFrame, None, None]:
    """Yield the decoded frames of a file; undecodable packets are skipped and reported like FFmpeg's errors."""
    try:
        with containers.open_file(path) as container:
            chosen = containers.choose(containers.video_streams(container), stream)
            chosen.thread_type = "AUTO"
            chosen.codec_context.thread_count = min(THREADS, os.cpu_count() or 1)
            # Otherwise the left edge is cropped to a multiple of 32 or 64.
            chosen.codec_context.flags |= Flags.unaligned
            frames = _decode(container, chosen)
            yield from interlacing.to_progressive(frames, deinterlace=deinterlace, warnings=warnings)
    except Refusal:
        raise
    except (av.FFmpegError, ValueError) as error:
        raise ValueError(f"Cannot read {path}: {_reason(error)}.") from error


def _reason(error: av.FFmpegError | ValueError) -> str:
    """Say why a file cannot be read; FFmpeg's words for damage say nothing about the file."""
    words = getattr(error, "strerror", None) or "it has no video stream"
    is_damage = isinstance(error, (av.error.InvalidDataError, av.error.EOFError))
    return f"it is damaged or not a video (FFmpeg: {words})" if is_damage else words


def _display_matrix(frame: av.VideoFrame) -> np.ndarray | None:
    """Return the 2x2 matrix that maps a coded position (x, y) to the displayed one; None if the file has none.

    Call it for the first frame only: PyAV frees a frame whose side data were read only at the next garbage
    collection, by which time a gigabyte of frames may have accumulated.
    """
    found: Any = frame.side_data.get(Type.DISPLAYMATRIX)  # type: ignore[call-overload]  # PyAV's stub omits Type
    if found is None:
        return None
    a, b, _, c, d = np.frombuffer(found, np.int32, count=5) / 2**16  # row-vector convention: (x, y) M
    return np.array([[a, c], [b, d]])


def turn(frame: np.ndarray, matrix: np.ndarray | None) -> np.ndarray:
    """Reflect and rotate a frame by the display matrix of its file, rounded to quarter turns.

    Args:
        frame: shape (height, width) or (height, width, channels).
        matrix: float64, shape (2, 2), from coded (x, y) to displayed (x, y), y downwards. None and a singular matrix
            have no effect.

    Returns:
        a view of the frame.
    """
    if matrix is None:
        return frame
    (a, c), (b, d) = matrix
    if a * d - b * c < 0:  # a reflection: after a horizontal flip, a rotation remains
        frame, a, b = frame[:, ::-1], -a, -b
    clockwise = round(np.arctan2(b - c, a + d) / (np.pi / 2))
    return np.rot90(frame, -clockwise)


def _decode(container: Any, stream: Any) -> Generator[av.VideoFrame, None, None]:
    packets = container.demux(stream)
    while True:
        try:
            for packet in packets:
                for frame in packet.decode():
                    if frame.is_corrupt:
                        _report(stream, "corrupt frame")
                    yield frame
            return
        except (
            av.InvalidDataError,
            av.BlockingIOError,
        ) as error:  # damaged data, after which some decoders need the next packet
            _report(stream, error.strerror)


def _report(stream: Any, message: str | None) -> None:
    """Print a message to stderr in the form of FFmpeg; the client reads the output of the decoder process."""
    print(f"[{stream.name} @ 0x0] {message}", file=sys.stderr, flush=True)
