"""Splitting of a decoded frame into YUV 4:2:0 planes, in the decoder process."""

from typing import Any

import av
import numpy as np
from av.video.reformatter import ColorRange, Colorspace, VideoReformatter


def split(frame: av.VideoFrame, convert: VideoReformatter) -> tuple[int, list[np.ndarray]]:
    """Split a decoded frame into its planes.

    The luma of every YUV or grey format keeps its values; other chroma formats are resampled to 4:2:0, and RGB is
    converted to BT.601 limited range.

    Args:
        frame: the decoded frame.
        convert: the same object for all frames, because its creation costs as much as decoding a small frame.

    Returns:
        bits per sample, and Y, U and V, uint8 or uint16, shapes as in `planes.Planes`.
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
