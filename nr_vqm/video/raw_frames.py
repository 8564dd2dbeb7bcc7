"""Reading of the frames of raw planar YUV video (.yuv), in the decoder process.

Frames are converted to RGB by libswscale with the settings of OpenCV, so that a raw file gives the same pixels as
OpenCV decodes from a lossless file of the same frames.
"""

import os
from collections.abc import Iterator

import av
import cv2
import numpy as np

from nr_vqm.video.raw_video import RawFormat, count_frames


def read_frames(path: str | os.PathLike[str], raw: RawFormat) -> Iterator[np.ndarray]:
    """Yield the frames of a raw file in order; the file is memory-mapped.

    Args:
        path: the file.
        raw: format of the file.

    Yields:
        uint8 RGB, shape (raw.height, raw.width, 3), values 0-255.

    Raises:
        FileNotFoundError, ValueError: see `raw_video.count_frames`.
    """
    for data in map_frames(path, raw):
        yield to_rgb(data, raw)


def map_frames(path: str | os.PathLike[str], raw: RawFormat) -> np.ndarray:
    """Memory-map the frames of a raw file.

    Returns:
        uint8, shape (num_frames, raw.frame_bytes): Y, U and V of each frame, concatenated.

    Raises:
        FileNotFoundError, ValueError: see `raw_video.count_frames`.
    """
    return np.memmap(path, np.uint8, mode="r", shape=(count_frames(path, raw), raw.frame_bytes))


def to_rgb(data: np.ndarray, raw: RawFormat) -> np.ndarray:
    """Convert one raw frame to RGB, as BT.601 limited range, which OpenCV assumes for undeclared colours.

    Args:
        data: uint8, shape (raw.frame_bytes,): Y, U and V, concatenated.
        raw: format of the frame.

    Returns:
        uint8 RGB, shape (raw.height, raw.width, 3), values 0-255.
    """
    return cv2.cvtColor(to_av_frame(data, raw).to_ndarray(format="bgr24", interpolation="BICUBIC"), cv2.COLOR_BGR2RGB)


def to_av_frame(data: np.ndarray, raw: RawFormat) -> av.VideoFrame:
    """Convert one raw frame to a PyAV frame. Arguments: see `to_rgb`."""
    frame, start = av.VideoFrame(raw.width, raw.height, raw.pixel_format), 0
    for plane, (rows, columns) in zip(frame.planes, raw.plane_shapes, strict=True):
        target = np.frombuffer(memoryview(plane), np.uint8).reshape(rows, plane.line_size)
        target[:, :columns] = data[start : start + rows * columns].reshape(rows, columns)
        start += rows * columns
    return frame
