"""Synthetic test videos whose pixels, order and orientation are known."""

from fractions import Fraction

import av
import cv2
import numpy as np
import stand_ins


def place_frame(time, height, width):
    """Return a frame whose red is the time, green the row and blue the column, modulo 256."""
    frame = np.empty((height, width, 3), np.uint8)
    frame[..., 0] = time
    frame[..., 1] = (np.arange(height) % 256)[:, None]
    frame[..., 2] = (np.arange(width) % 256)[None, :]
    return frame


def write_ffv1(path, frames, *, fps=25):
    """Write RGB frames losslessly: OpenCV decodes exactly these pixels."""
    height, width = frames[0].shape[:2]
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*"FFV1"), fps, (width, height))
    assert writer.isOpened()
    for frame in frames:
        writer.write(cv2.cvtColor(frame, cv2.COLOR_RGB2BGR))
    writer.release()
    return path


def bar_frame(number, height, width):
    """Return a frame, bright above and dark below, with a bar that moves right: it shows order and orientation."""
    frame = np.full((height, width, 3), 60, np.uint8)
    frame[: height // 2] = 160
    frame[:, 4 * number : 4 * number + 8] = 230
    return frame


def write_bars(
    path, *, encoder, pixel_format="yuv420p", size=(96, 128), num_frames=20, times=None, trc=None, options=None
):
    """Write `bar_frame`s with PyAV; `times` are in hundredths of a second."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream(encoder, rate=Fraction(25), options=options or {})
        stream.height, stream.width = size
        stream.pix_fmt, tick = pixel_format, Fraction(1, 100 if times else 25)
        stream.codec_context.time_base = tick
        if trc:
            stream.codec_context.color_trc = trc
        for number in range(num_frames):
            frame = av.VideoFrame.from_ndarray(bar_frame(number, *size), format="rgb24")
            frame.pts, frame.time_base = times[number] if times else number, tick
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


def write_trimmed(path, *, first, count, num_frames=40, fps=25):
    """Write an MP4 whose edit list shows `count` of its `num_frames` frames, from frame `first`."""
    stand_ins.write_h264(path, (bar_frame(t % 25, 96, 128) for t in range(num_frames)), fps=fps)
    data = bytearray(path.read_bytes())
    start = data.index(b"elst") + 12  # after version, flags and the number of entries: duration, start, rate
    (scale,) = np.frombuffer(data, ">u4", 1, data.index(b"mvhd") + 16)
    (media_scale,) = np.frombuffer(data, ">u4", 1, data.index(b"mdhd") + 16)
    data[start : start + 8] = np.array([count * scale // fps, first * media_scale // fps], ">u4").tobytes()
    path.write_bytes(data)
    return path


def write_planes(path, frames, pixel_format, *, encoder="ffv1", color_range=0, options=None):
    """Write frames, each as Y, U and V, with PyAV."""
    height, width = frames[0][0].shape
    with av.open(str(path), "w") as container:
        stream = container.add_stream(encoder, rate=Fraction(25), options=options or {})
        stream.height, stream.width, stream.pix_fmt = height, width, pixel_format
        stream.codec_context.color_range = color_range
        for number, parts in enumerate(frames):
            frame = av.VideoFrame(width, height, pixel_format)
            for plane, part in zip(frame.planes, parts, strict=True):
                rows = np.frombuffer(memoryview(plane), np.uint8).reshape(plane.height, plane.line_size)
                data = part.view(np.uint8)
                rows[:, : data.shape[1]] = data
            frame.pts = number
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path
