"""Reading of the frames of raw planar YUV video (.yuv), in the decoder process.

Frames are converted to RGB by libswscale with the settings of OpenCV, so that a raw file gives the same pixels as
OpenCV decodes from a lossless file of the same frames.
"""

import os
from collections.abc import Generator

import av
import cv2
import numpy as np

from nr_vqm.video.raw_video import RawFormat, count_frames


def read_frames(path: str | os.PathLike[str], raw: RawFormat) -> Generator[np.ndarray, None, None]:
    """Yield the frames of a raw file in order.

    Args:
        path: the file.
        raw: format of the file.

    Yields:
        uint8 RGB, shape (raw.height, raw.width, 3), values 0-255.

    Raises:
        FileNotFoundError, ValueError: see `iter_frames`.
    """
    for data in iter_frames(path, raw):
        yield to_rgb(data, raw)


def iter_frames(path: str | os.PathLike[str], raw: RawFormat) -> Generator[np.ndarray, None, None]:
    """Yield the planes of the frames of a raw file in order.

    The file is not memory-mapped, because it may be larger than the memory that the decoder process may use.

    Yields:
        uint8, shape (raw.frame_bytes,): Y, U and V of a frame, concatenated.

    Raises:
        FileNotFoundError: see `raw_video.count_frames`.
        ValueError: likewise; or the file becomes shorter while it is read.
    """
    num_frames = count_frames(path, raw)
    with open(path, "rb") as file:
        for number in range(num_frames):
            data = np.fromfile(file, np.uint8, raw.frame_bytes)
            if len(data) != raw.frame_bytes:
                raise ValueError(
                    f"{path} has changed during reading: {num_frames} frames were expected, found {number}."
                )
            yield data


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
