"""Decoding of a file with PyAV or the raw reader. It runs in the decoder process, because it may crash or hang.

Files are read sequentially, because seeking is inexact in files with a variable frame rate.
"""

import contextlib
import os
import sys
from collections.abc import Callable, Generator, Sequence
from typing import Any

import av
import cv2
import numpy as np
from av.codec.context import Flags
from av.sidedata.sidedata import Type
from av.stream import Disposition
from av.video.reformatter import VideoReformatter

from nr_vqm.video import interlacing, planes, raw_video

SQUARE_TOLERANCE = 0.02  # of the sample aspect ratio: rounding of the frame size gives such deviations
MAX_PIXELS = 2**26  # per frame, twice 8K: a larger size means a damaged header
THREADS = 4  # of the decoder: every thread needs memory for frames
# Demuxers of files that hold the video themselves. Playlists (hls, dash, concat, ...), image sequences and session
# descriptions (sdp, rtsp) are missing on purpose: they make FFmpeg open other files and connections.
DEMUXERS = (
    "amv asf avi av1 cavsvideo dhav dirac dnxhd dv evc flv gif gxf h261 h263 h264 hevc ivf lxf m4v matroska mjpeg "
    "mjpeg_2000 mov mp4 mpeg mpegts mpegvideo mxf nsv nut obu ogg rm vc1 vvc webm wtv yuv4mpegpipe"
).split()
HDR = {16: "PQ", 18: "HLG"}  # transfer characteristics of ITU-T H.273


class Refusal(ValueError):
    """A readable video that cannot be scored, for example because its frame size changes."""


def inspect(
    path: str, raw: raw_video.RawFormat | None, *, stream: int | None, progress: Callable[[], None]
) -> dict[str, Any]:
    """Read the properties that the container declares, without decoding.

    Args:
        path: the file.
        raw: format of a raw file, else None.
        stream: index of a video stream among those of the file, or None for the one that FFmpeg would choose.
        progress: called for every packet that is read.

    Returns:
        declared: number of frames in the header, 0 if not declared.
        expected: number of frames that decoding will probably give, 0 if unknown.
        fps: frames per second, 0 if not declared.
        hdr: 'PQ', 'HLG' or ''.
        streams, stream: number of video streams, and the index of the one that is read.
        aspect: sample aspect ratio, such as '4:3', of pixels that are not square; else ''.
        alpha: whether the video has an alpha channel.

    Raises:
        Refusal: the file has no such video stream.
    """
    found: dict[str, Any] = {"declared": 0, "expected": 0, "fps": 0.0, "hdr": "", "streams": 1, "stream": 0}
    found |= {"aspect": "", "alpha": False}
    if raw:
        frames = raw_video.count_frames(path, raw)
        return {**found, "declared": frames, "expected": frames, "fps": raw.fps}
    try:
        with _open(path) as container:
            streams = _video_streams(container)
            chosen = _choose(streams, stream)
            rate = float(chosen.guessed_rate or 0)
            found.update(
                declared=_declared(container, chosen, rate),
                fps=rate if 0 < rate < 1000 else 0.0,
                hdr=HDR.get(chosen.codec_context.color_trc, ""),
                streams=len(streams),
                stream=streams.index(chosen),
                aspect=_aspect(chosen),
                alpha=_has_alpha(chosen),
            )
            found["expected"] = found["declared"]
            found["expected"] = _expected(container, chosen, found["declared"], progress)
    except Refusal:
        raise
    except (av.FFmpegError, IndexError, ValueError):
        pass  # decoding reports the error
    return found


def _open(path: str) -> Any:
    """Open a file with one of DEMUXERS; Refusal if its content has another format."""
    try:
        return av.open(path, options={"format_whitelist": ",".join(DEMUXERS)})
    except av.ArgumentError as error:
        with open(path, "rb") as file:
            start = file.read(12)
        if start[:4] == b"RIFF" and start[8:] == b"WEBP":
            raise Refusal(
                f"{path} is a WebP image, whose animations the decoder cannot read. Convert it to another format, such "
                "as .webm."
            ) from error
        raise Refusal(
            f"A file that holds the video itself is needed, {path} has another format, for example that of a playlist."
        ) from error


def _aspect(stream: Any) -> str:
    """Return the aspect ratio of pixels that are clearly not square, such as '4:3', else an empty string."""
    ratio = stream.sample_aspect_ratio
    return f"{ratio.numerator}:{ratio.denominator}" if ratio and abs(ratio - 1) > SQUARE_TOLERANCE else ""


def _has_alpha(stream: Any) -> bool:
    """Return whether a stream has an alpha channel. WebM stores it apart; in packed RGB it is usually a filler."""
    pixels = stream.codec_context.format
    return stream.metadata.get("alpha_mode") == "1" or bool(pixels and pixels.name.startswith(("yuva", "gbrap")))


def _expected(container: Any, stream: Any, declared: int, progress: Callable[[], None]) -> int:
    """Count the coded frames that are shown; the file may be truncated, and VP8 and VP9 have hidden frames."""
    packets = 0
    for packet in container.demux(stream):
        packets += packet.size > 0 and not packet.is_discard
        progress()
    exact = stream.frames or stream.codec_context.name.startswith("vp")
    return min(packets, declared) if declared and exact else packets


def _video_streams(container: Any) -> list[Any]:
    """Return the decodable video streams, without cover images of audio files."""
    return [
        one for one in container.streams.video if one.codec_context and not one.disposition & Disposition.attached_pic
    ]


def _choose(streams: Sequence[Any], wanted: int | None) -> Any:
    """Return a stream by its index, else the one that FFmpeg would choose: the default, or that with the most pixels.

    Raises:
        Refusal: there is no such stream.
        ValueError: there is no video stream.
    """
    if wanted is not None and streams:
        if wanted < len(streams):
            return streams[wanted]
        sizes = ", ".join(f"{number}: {one.width}x{one.height}" for number, one in enumerate(streams))
        raise Refusal(f"Video stream {wanted} is needed, the file has {sizes}. Choose one of these or omit the option.")
    return max(
        streams, key=lambda one: 5_000_000 * bool(one.disposition & Disposition.default) + one.width * one.height
    )


def _declared(container: Any, stream: Any, rate: float) -> int:
    """Return the declared number of frames; 0 if the header declares only the duration of several streams together."""
    if stream.frames:
        return _presented(container, stream)
    if stream.duration:
        seconds = float(stream.duration * stream.time_base)
    elif "DURATION" in stream.metadata:  # Matroska files of FFmpeg and other muxers
        hours, minutes, seconds = stream.metadata["DURATION"].split(":")
        seconds = 3600 * int(hours) + 60 * int(minutes) + float(seconds)
    else:
        seconds = (container.duration or 0) / av.time_base if len(container.streams) == 1 else 0
    return max(0, round(seconds * rate))


def _presented(container: Any, stream: Any) -> int:
    """Return the number of frames that the container presents, out of those that its header counts.

    An edit list hides frames: those before its start serve for decoding only, those after its end are not read. An AVI
    file may have empty index entries, during which the previous frame remains visible.
    """
    index = stream.index_entries
    if len(index) and "mov" in container.format.name:
        return sum(not entry.is_discard for entry in index)
    if len(index) and container.format.name == "avi" and stream.time_base * stream.guessed_rate == 1:
        return stream.frames - (index[-1].timestamp + 1 - len(index))
    return stream.frames


def read(
    path: str, *, raw: raw_video.RawFormat | None, stream: int | None, deinterlace: bool, warnings: list[str]
) -> Generator[np.ndarray, None, None]:
    """Decode a file and yield its RGB frames.

    Args:
        path: absolute path of the file; FFmpeg would read 'a:b' as a protocol.
        raw: format of a raw file, else None.
        stream: see `inspect`.
        deinterlace: reconstruct the missing rows of interlaced frames.
        warnings: problems are appended during the iteration, each once.

    Yields:
        uint8 RGB, shape (height, width, 3), values 0-255.

    Raises:
        ValueError: the file cannot be opened as a video.
        Refusal: the frame size changes or is above MAX_PIXELS.
    """
    if raw:
        yield from raw_video.read_frames(path, raw)
        return
    shape = None
    with contextlib.closing(_read_pyav(path, stream, deinterlace, warnings)) as frames:
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
        frames = (raw_video.to_av_frame(data, raw) for data in raw_video.map_frames(path, raw))
    else:
        frames = _pyav_frames(path, stream, deinterlace, warnings)
    with contextlib.closing(frames):
        for frame in frames:
            bits, parts = planes.split(frame, convert)
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
        with _open(path) as container:
            chosen = _choose(_video_streams(container), stream)
            chosen.thread_type = "AUTO"
            chosen.codec_context.thread_count = min(THREADS, os.cpu_count() or 1)
            # Otherwise the left edge is cropped to a multiple of 32 or 64.
            chosen.codec_context.flags |= Flags.unaligned
            frames = _decode(container, chosen)
            yield from interlacing.to_progressive(frames, deinterlace=deinterlace, warnings=warnings)
    except Refusal:
        raise
    except (av.FFmpegError, ValueError) as error:
        reason = getattr(error, "strerror", None) or "it has no video stream"
        raise ValueError(f"A video file is needed, {path} cannot be opened as one: {reason}.") from error


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
