"""The decoder's own planes, YUV 4:2:0: packed in the decoder process, unpacked by the reader.

Luma computed back from RGB is off by up to two levels, so methods that measure luma read these.
"""

from typing import NamedTuple

import av
import numpy as np
from av.video.reformatter import ColorRange, Colorspace, VideoReformatter


class Planes(NamedTuple):
    """One frame as its decoder gives it, in the range of the file (16-235 or 0-255), which is not touched.

    Attributes:
        y: shape (height, width); uint8, or float32 in steps of 2^(8 - bits) for more than 8 bits: 0-255 either way.
        u, v: of the same type, shape (ceil(height/2), ceil(width/2)); 128 is neutral.
    """

    y: np.ndarray
    u: np.ndarray
    v: np.ndarray


def split(frame: av.VideoFrame, convert: VideoReformatter) -> tuple[int, list[np.ndarray]]:
    """Take a decoded frame apart.

    The luma of every YUV or grey format keeps its values; other chroma formats are resampled to 4:2:0, and RGB is
    converted to BT.601 limited range.

    Args:
        frame: as decoded.
        convert: one for all frames: setting it up costs as much as decoding a small frame.

    Returns:
        bits of a sample, and Y, U and V, uint8 or uint16.
    """
    frame = _as_420(frame, convert)
    bits = frame.format.components[0].bits
    return bits, [_samples(plane, bits) for plane in frame.planes]


def _as_420(frame, convert):
    name, bits = frame.format.name, min(frame.format.components[0].bits, 16)
    wanted = f"yuv420p{bits}le" if bits > 8 else "yuvj420p" if name.startswith("yuvj") else "yuv420p"
    if name == wanted:
        return frame
    if frame.format.is_rgb or frame.format.has_palette:
        ranges = {"dst_colorspace": Colorspace.ITU601, "dst_color_range": ColorRange.MPEG}
    else:  # the same on both sides, and full because grey counts as full: libswscale then leaves the luma as it is
        ranges = {"src_color_range": ColorRange.JPEG, "dst_color_range": ColorRange.JPEG}
    return convert.reformat(frame, format=wanted, interpolation="BICUBIC", **ranges)


def _samples(plane, bits):
    data = np.frombuffer(memoryview(plane), np.uint8)[: plane.height * plane.line_size]
    rows = data.reshape(plane.height, plane.line_size)
    return rows[:, : plane.width] if bits <= 8 else rows[:, : 2 * plane.width].view("<u2")


def pack(parts: list[np.ndarray]) -> np.ndarray:
    """Y, U and V of `split` as one uint8 vector of `packed_bytes`."""
    return np.concatenate([part.ravel() for part in parts]).view(np.uint8)


def packed_bytes(height: int, width: int, bits: int) -> int:
    """Bytes of one packed frame."""
    return sum(rows * columns for rows, columns in _shapes(height, width)) * (1 if bits <= 8 else 2)


def _shapes(height, width):
    chroma = (-(-height // 2), -(-width // 2))
    return [(height, width), chroma, chroma]


def unpack(packed: np.ndarray, height: int, width: int, bits: int) -> Planes:
    """Undo `pack`, and scale to 0-255.

    Args:
        packed: uint8, shape (packed_bytes(height, width, bits),).
        height, width: of the frame.
        bits: of a sample.

    Returns:
        Planes; of 8 bits they are views.
    """
    samples = packed if bits <= 8 else packed.view("<u2").astype(np.float32) / np.float32(2 ** (bits - 8))
    planes, start = [], 0
    for rows, columns in _shapes(height, width):
        planes.append(samples[start : start + rows * columns].reshape(rows, columns))
        start += rows * columns
    return Planes(*planes)
