"""Decoded YUV 4:2:0 planes: packed by the decoder process, unpacked by the reader.

Luma computed from RGB deviates by up to two levels from the decoded luma, so methods that measure luma read planes.
"""

from typing import Any, NamedTuple

import av
import numpy as np
from av.video.reformatter import ColorRange, Colorspace, VideoReformatter


class Planes(NamedTuple):
    """Luma and chroma of one decoded frame, in the range of the file (16-235 or 0-255).

    Attributes:
        y: luma, shape (height, width), values 0-255; uint8 for 8 bits, float32 in steps of 2^(8 - bits) for more.
        u, v: chroma, shape (ceil(height/2), ceil(width/2)), the same dtype; 128 is neutral.
    """

    y: np.ndarray
    u: np.ndarray
    v: np.ndarray


def split(frame: av.VideoFrame, convert: VideoReformatter) -> tuple[int, list[np.ndarray]]:
    """Split a decoded frame into its planes.

    The luma of every YUV or grey format keeps its values; other chroma formats are resampled to 4:2:0, and RGB is
    converted to BT.601 limited range.

    Args:
        frame: the decoded frame.
        convert: the same object for all frames, because its creation costs as much as decoding a small frame.

    Returns:
        bits per sample, and Y, U and V, uint8 or uint16, shapes as in `Planes`.
    """
    frame = _as_420(frame, convert)
    bits = frame.format.components[0].bits
    return bits, [_samples(plane, bits) for plane in frame.planes]


def _as_420(frame: av.VideoFrame, convert: VideoReformatter) -> av.VideoFrame:
    name, bits = frame.format.name, min(frame.format.components[0].bits, 16)
    wanted = f"yuv420p{bits}le" if bits > 8 else "yuvj420p" if name.startswith("yuvj") else "yuv420p"
    if name == wanted:
        return frame
    ranges: dict[str, Any]
    if frame.format.is_rgb or frame.format.has_palette:
        ranges = {"dst_colorspace": Colorspace.ITU601, "dst_color_range": ColorRange.MPEG}
    else:  # equal ranges, full because libswscale treats grey as full range: the luma is then not changed
        ranges = {"src_color_range": ColorRange.JPEG, "dst_color_range": ColorRange.JPEG}
    return convert.reformat(frame, format=wanted, interpolation="BICUBIC", **ranges)


def _samples(plane: av.video.plane.VideoPlane, bits: int) -> np.ndarray:
    width = plane.width * (1 if bits <= 8 else 2)
    # Not a reshape: a cropped plane starts within the first row of its memory, so its last row is shorter.
    used = np.frombuffer(memoryview(plane), np.uint8, (plane.height - 1) * plane.line_size + width)
    rows = np.lib.stride_tricks.as_strided(used, (plane.height, width), (plane.line_size, 1))
    return rows if bits <= 8 else rows.view("<u2")


def pack(parts: list[np.ndarray]) -> np.ndarray:
    """Concatenate the planes of `split` into a uint8 vector of length `packed_bytes`."""
    return np.concatenate([part.ravel() for part in parts]).view(np.uint8)


def packed_bytes(height: int, width: int, bits: int) -> int:
    """Return the size of one packed frame, in bytes."""
    return sum(rows * columns for rows, columns in _shapes(height, width)) * (1 if bits <= 8 else 2)


def _shapes(height: int, width: int) -> list[tuple[int, int]]:
    chroma = (-(-height // 2), -(-width // 2))
    return [(height, width), chroma, chroma]


def unpack(packed: np.ndarray, height: int, width: int, bits: int) -> Planes:
    """Unpack the planes of a frame and scale them to 0-255.

    Args:
        packed: uint8, shape (packed_bytes(height, width, bits),).
        height, width: frame size in pixels.
        bits: bits per sample.

    Returns:
        the planes; views of `packed` for 8 bits.
    """
    samples = packed if bits <= 8 else packed.view("<u2").astype(np.float32) / np.float32(2 ** (bits - 8))
    planes, start = [], 0
    for rows, columns in _shapes(height, width):
        planes.append(samples[start : start + rows * columns].reshape(rows, columns))
        start += rows * columns
    return Planes(*planes)
