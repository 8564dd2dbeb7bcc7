"""A file -> RGB frames, with PyAV, OpenCV or our raw reader. For the decoder process: what runs here may crash or hang.

Nothing ever seeks: on variable-frame-rate files a seek lands elsewhere.
"""

import contextlib
import os
import sys
from collections.abc import Iterator

import av
import cv2
import numpy as np
from av.stream import Disposition
from av.video.reformatter import VideoReformatter

from nr_vqm import planes, raw_video

MAX_PIXELS = 2**26  # of one picture, twice 8K: more is a damaged header
HDR = {16: "PQ", 18: "HLG"}  # transfer characteristics of ITU-T H.273


class Refusal(ValueError):
    """The file could be read, and is no video to score: another decoder would not help."""


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
    """The coded pictures in the file, which may end early; of VP8 and VP9 some are never shown."""
    packets = 0
    for packet in container.demux(stream):
        packets += packet.size > 0
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
        return stream.frames
    if stream.duration:
        seconds = float(stream.duration * stream.time_base)
    elif "DURATION" in stream.metadata:  # Matroska, by FFmpeg and others
        hours, minutes, seconds = stream.metadata["DURATION"].split(":")
        seconds = 3600 * int(hours) + 60 * int(minutes) + float(seconds)
    else:
        seconds = (container.duration or 0) / av.time_base if len(container.streams) == 1 else 0
    return max(0, round(seconds * rate))


def read(path, *, decoder, raw):
    """Yield a file's frames.

    Args:
        path: the file, absolute: else FFmpeg takes 'a:b' for a protocol.
        decoder: 'PyAV', 'OpenCV' or 'raw'.
        raw: for 'raw', its raw_video.RawFormat.

    Yields:
        uint8 RGB, shape (height, width, 3).

    Raises:
        ValueError: it cannot be opened as a video.
        Refusal: its picture size changes or is absurd.
    """
    if decoder == "raw":
        yield from raw_video.read_frames(path, raw)
        return
    shape = None
    with contextlib.closing({"PyAV": read_pyav, "OpenCV": read_opencv}[decoder](path)) as frames:
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


def read_planes(path: str, *, raw: raw_video.RawFormat | None) -> Iterator[tuple[int, int, int, np.ndarray]]:
    """Yield the decoder's own planes, with PyAV or our raw reader.

    Args:
        path: the file, absolute.
        raw: of a headerless file, else None.

    Yields:
        height, width and bits of a sample, the same for all frames, and the frame as `planes.pack` gives it.

    Raises:
        ValueError, Refusal: as `read`.
    """
    convert, first = VideoReformatter(), None
    if raw:
        frames = (raw_video.to_av_frame(data, raw) for data in raw_video.map_frames(path, raw))
    else:
        frames = _pyav_frames(path)
    with contextlib.closing(frames):
        for frame in frames:
            bits, parts = planes.split(frame, convert)
            parts = [_upright(part, frame) for part in parts]
            shape = (*parts[0].shape, bits)
            first = first or shape
            _check_shape(path, shape[:2], first[:2])
            if bits != first[2]:
                raise Refusal(f"One bit depth is needed, {path} changes from {first[2]} to {bits} bits.")
            yield *shape, planes.pack(parts)


def read_pyav(path):
    """Yield a file's frames as PyAV decodes them; skips what cannot be decoded, and says so as FFmpeg does."""
    convert = VideoReformatter()  # one for all frames: setting it up costs as much as decoding a small frame
    with contextlib.closing(_pyav_frames(path)) as frames:
        for frame in frames:
            # Bicubic and by way of BGR, as OpenCV and raw_video do: libswscale rounds otherwise on its way to RGB.
            picture = convert.reformat(frame, format="bgr24", interpolation="BICUBIC").to_ndarray()
            yield _upright(cv2.cvtColor(picture, cv2.COLOR_BGR2RGB, picture), frame)


def _upright(picture, frame):
    """As the file asks; PyAV does not apply it."""
    return np.rot90(picture, frame.rotation // 90 % 4)


def _pyav_frames(path):
    """Yield a file's frames, av.VideoFrame, as decoded."""
    try:
        with av.open(path) as container:
            stream = _video_streams(container)[0]
            stream.thread_type = "AUTO"
            stream.codec_context.thread_count = int(os.environ.get("OPENCV_FFMPEG_THREADS", 1))
            yield from _decode(container, stream)
    except (av.FFmpegError, IndexError) as error:
        reason = getattr(error, "strerror", None) or "it has no video stream"
        raise ValueError(f"A video file is needed, {path} cannot be opened as one: {reason}.") from error


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
        except av.InvalidDataError as error:
            _complain(stream, error.strerror)


def _complain(stream, message):
    print(f"[{stream.name} @ 0x0] {message}", file=sys.stderr, flush=True)


def read_opencv(path):
    """Yield a file's frames as OpenCV decodes them: with the same pixels, HDR apart.

    It does not say where damage ends a file, and scales pictures whose size changes on the way.
    """
    capture = cv2.VideoCapture(path, cv2.CAP_FFMPEG)
    try:
        if not capture.isOpened():
            raise ValueError(f"A video file is needed, {path} cannot be opened as one.")
        while True:
            found, frame = capture.read()
            if not found or frame is None:
                return
            yield cv2.cvtColor(frame, cv2.COLOR_BGR2RGB, frame)
    finally:
        capture.release()
