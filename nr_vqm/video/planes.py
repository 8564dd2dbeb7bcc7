"""Decoded YUV 4:2:0 planes: packed by the decoder process, unpacked by the reader.

Luma computed from RGB deviates by up to two levels from the decoded luma, so methods that measure luma read planes.
"""

from typing import NamedTuple

import numpy as np


class Planes(NamedTuple):
    """Luma and chroma of one decoded frame, in the range of the file (16-235 or 0-255).

    Attributes:
        y: luma, shape (height, width), values 0-255; uint8 for 8 bits, float32 in steps of 2^(8 - bits) for more.
        u, v: chroma, shape (ceil(height/2), ceil(width/2)), the same dtype; 128 is neutral.
    """

    y: np.ndarray
    u: np.ndarray
    v: np.ndarray


def pack(parts: list[np.ndarray]) -> np.ndarray:
    """Concatenate the planes of `decoded_planes.split` into a uint8 vector of length `packed_bytes`."""
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
