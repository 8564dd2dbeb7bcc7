"""A file -> RGB frames, with PyAV or our raw reader. For the decoder process: what runs here may crash or hang.

Nothing ever seeks: on variable-frame-rate files a seek lands elsewhere.
"""

import contextlib
import os
import sys
from collections.abc import Iterator

import av
import cv2
import numpy as np
from av.sidedata.sidedata import Type
from av.stream import Disposition
from av.video.reformatter import VideoReformatter

from nr_vqm.video import planes, raw_video

MAX_PIXELS = 2**26  # of one picture, twice 8K: more is a damaged header
THREADS = 4  # of the decoder: each holds frames
INTERLACED = "interlaced video, read as if it were progressive: moving edges are torn, which changes the score"
HDR = {16: "PQ", 18: "HLG"}  # transfer characteristics of ITU-T H.273


class Refusal(ValueError):
    """The file can be read, and is no video to score."""


def inspect(path, raw, progress):
    """What the container says, without decoding.

    Args:
        path: the file.
        raw: raw_video.RawFormat of a headerless file, else None.
        progress: function() called again and again while the file is read.

    Returns:
        dict of declared (frames; 0 where it does not say), expected (the frames that decoding will probably give; 0
        where nothing tells), fps (0 where it does not say), hdr ('PQ', 'HLG' or ''), streams (of video).
    """
    found = {"declared": 0, "expected": 0, "fps": 0.0, "hdr": "", "streams": 1}
    if raw:
        frames = raw_video.count_frames(path, raw)
        return {**found, "declared": frames, "expected": frames, "fps": raw.fps}
    try:
        with av.open(path) as container:
            streams = _video_streams(container)
            stream, rate = streams[0], float(streams[0].guessed_rate or 0)
            found.update(
                declared=_declared(container, stream, rate),
                fps=rate if 0 < rate < 1000 else 0.0,
                hdr=HDR.get(stream.codec_context.color_trc, ""),
                streams=len(streams),
            )
            found["expected"] = found["declared"]
            found["expected"] = _expected(container, stream, found["declared"], progress)
    except (av.FFmpegError, IndexError, ValueError):
        pass  # the decoder will say what is wrong
    return found


def _expected(container, stream, declared, progress):
    """The coded frames in the file that are shown; the file may end early, and VP8 and VP9 have hidden frames."""
    packets = 0
    for packet in container.demux(stream):
        packets += packet.size > 0 and not packet.is_discard
        progress()
    exact = stream.frames or stream.codec_context.name.startswith("vp")
    return min(packets, declared) if declared and exact else packets


def _video_streams(container):
    """Those that can be decoded, without the cover pictures of music."""
    return [
        one for one in container.streams.video if one.codec_context and not one.disposition & Disposition.attached_pic
    ]


def _declared(container, stream, rate):
    """Frames by the header; 0 where it tells only how long the longest stream is, and there are others."""
    if stream.frames:
        return _presented(container, stream)
    if stream.duration:
        seconds = float(stream.duration * stream.time_base)
    elif "DURATION" in stream.metadata:  # Matroska, by FFmpeg and others
        hours, minutes, seconds = stream.metadata["DURATION"].split(":")
        seconds = 3600 * int(hours) + 60 * int(minutes) + float(seconds)
    else:
        seconds = (container.duration or 0) / av.time_base if len(container.streams) == 1 else 0
    return max(0, round(seconds * rate))


def _presented(container, stream) -> int:
    """Frames that the container presents out of those that its header counts.

    An edit list hides frames: those before its start are needed for decoding only, those after its end are not read.
    An AVI file may have empty index entries, where the frame before is shown on.
    """
    index = stream.index_entries
    if len(index) and "mov" in container.format.name:
        return sum(not entry.is_discard for entry in index)
    if len(index) and container.format.name == "avi" and stream.time_base * stream.guessed_rate == 1:
        return stream.frames - (index[-1].timestamp + 1 - len(index))
    return stream.frames


def read(path: str, *, raw: raw_video.RawFormat | None, warnings: list[str]) -> Iterator[np.ndarray]:
    """Yield a file's frames.

    Args:
        path: the file, absolute: else FFmpeg takes 'a:b' for a protocol.
        raw: the format of a headerless file, else None.
        warnings: what makes the frames doubtful is added while they are read, each warning once.

    Yields:
        uint8 RGB, shape (height, width, 3).

    Raises:
        ValueError: it cannot be opened as a video.
        Refusal: its frame size changes or is absurd.
    """
    if raw:
        yield from raw_video.read_frames(path, raw)
        return
    shape = None
    with contextlib.closing(_read_pyav(path, warnings)) as frames:
        for frame in frames:
            shape = shape or frame.shape
            _check_shape(path, frame.shape, shape)
            yield frame


def _check_shape(path, found, first):
    if found != first:
        raise Refusal(f"One picture size is needed, {path} changes from {_size(first)} to {_size(found)}.")
    if found[0] * found[1] > MAX_PIXELS:
        raise Refusal(f"Pictures of at most {MAX_PIXELS} pixels are read, {path} has {_size(found)}.")


def _size(shape):
    return f"{shape[1]}x{shape[0]}"


def read_planes(
    path: str, *, raw: raw_video.RawFormat | None, warnings: list[str]
) -> Iterator[tuple[int, int, int, np.ndarray]]:
    """Yield the decoder's own planes, with PyAV or our raw reader.

    Args:
        path: the file, absolute.
        raw: of a headerless file, else None.
        warnings: as in `read`.

    Yields:
        height, width and bits of a sample, the same for all frames, and the frame as `planes.pack` gives it.

    Raises:
        ValueError, Refusal: as `read`.
    """
    convert, first, matrix = VideoReformatter(), None, None
    if raw:
        frames = (raw_video.to_av_frame(data, raw) for data in raw_video.map_frames(path, raw))
    else:
        frames = _pyav_frames(path, warnings)
    with contextlib.closing(frames):
        for frame in frames:
            bits, parts = planes.split(frame, convert)
            matrix = _display_matrix(frame) if first is None else matrix
            parts = [turn(part, matrix) for part in parts]
            shape = (*parts[0].shape, bits)
            first = first or shape
            _check_shape(path, shape[:2], first[:2])
            if bits != first[2]:
                raise Refusal(f"One bit depth is needed, {path} changes from {first[2]} to {bits} bits.")
            yield *shape, planes.pack(parts)


def _read_pyav(path: str, warnings: list[str]) -> Iterator[np.ndarray]:
    """Yield a file's frames in RGB as PyAV decodes them."""
    convert = VideoReformatter()  # one for all frames: setting it up costs as much as decoding a small frame
    matrix = None
    with contextlib.closing(_pyav_frames(path, warnings)) as frames:
        for number, frame in enumerate(frames):
            matrix = _display_matrix(frame) if number == 0 else matrix
            # Bicubic and by way of BGR, as raw_video does: libswscale rounds otherwise on its way to RGB.
            picture = convert.reformat(frame, format="bgr24", interpolation="BICUBIC").to_ndarray()
            yield turn(cv2.cvtColor(picture, cv2.COLOR_BGR2RGB, picture), matrix)


def _pyav_frames(path: str, warnings: list[str]) -> Iterator[av.VideoFrame]:
    """Yield a file's frames as decoded; skips what cannot be decoded, and reports it as FFmpeg does."""
    try:
        with av.open(path) as container:
            stream = _video_streams(container)[0]
            stream.thread_type = "AUTO"
            stream.codec_context.thread_count = min(THREADS, os.cpu_count() or 1)
            for frame in _decode(container, stream):
                if frame.interlaced_frame and INTERLACED not in warnings:
                    warnings.append(INTERLACED)
                yield frame
    except (av.FFmpegError, IndexError) as error:
        reason = getattr(error, "strerror", None) or "it has no video stream"
        raise ValueError(f"A video file is needed, {path} cannot be opened as one: {reason}.") from error


def _display_matrix(frame: av.VideoFrame) -> np.ndarray | None:
    """The 2x2 matrix that takes a coded position (x, y) to a displayed one; None where the file has none.

    To be asked of the first frame only: PyAV frees a frame whose side data were asked for when garbage is collected,
    and a gigabyte of frames would wait for that.
    """
    found = frame.side_data.get(Type.DISPLAYMATRIX)
    if found is None:
        return None
    a, b, _, c, d = np.frombuffer(found, np.int32, count=5) / 2**16  # rows of a matrix that stands left of it: (x, y) M
    return np.array([[a, c], [b, d]])


def turn(frame: np.ndarray, matrix: np.ndarray | None) -> np.ndarray:
    """Reflect and rotate a frame as its file asks; by quarter turns, rounded, and no other change.

    Args:
        frame: shape (height, width) or (height, width, channels).
        matrix: float64, shape (2, 2): coded (x, y) to displayed (x, y), y downwards. None, and one without an area,
            change nothing.

    Returns:
        A view of the frame.
    """
    if matrix is None:
        return frame
    (a, c), (b, d) = matrix
    if a * d - b * c < 0:  # a reflection: left and right are exchanged, then it is a rotation
        frame, a, b = frame[:, ::-1], -a, -b
    clockwise = round(np.arctan2(b - c, a + d) / (np.pi / 2))
    return np.rot90(frame, -clockwise)


def _decode(container, stream):
    packets = container.demux(stream)
    while True:
        try:
            for packet in packets:
                for frame in packet.decode():
                    if frame.is_corrupt:
                        _complain(stream, "corrupt picture")
                    yield frame
            return
        except (av.InvalidDataError, av.BlockingIOError) as error:  # damage; some decoders then want the next packet
            _complain(stream, error.strerror)


def _complain(stream, message):
    print(f"[{stream.name} @ 0x0] {message}", file=sys.stderr, flush=True)
