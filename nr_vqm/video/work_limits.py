"""Limits on the work that one video may cause, against uploads that would occupy or end a service."""

import contextlib
import contextvars
import dataclasses
import math
import reprlib
import time
from collections.abc import Iterator
from typing import Any

import numpy as np

from nr_vqm.common import memory

# Measured with `python -m benchmarks.memory`, decision 0011: of each pixel of a frame, the frames of the decoder, the
# ring buffer and the copies of the reader.
BYTES_PER_PIXEL = 110
LARGEST = 1e30  # of a limit that is not infinite: every float type holds it


class LimitExceeded(ValueError):
    """A video needs more work than `WorkLimits` allow."""


@dataclasses.dataclass(frozen=True)
class WorkLimits:
    """Limits for each video; one that exceeds them fails alone.

    Attributes:
        max_pixels: height x width x number of frames. The default is 27 minutes of 1080p at 30 frames per second.
        max_seconds: wall time of decoding and computing.
        max_memory: bytes that a video may need in addition to the loaded models, as estimated from its frame size; None
            for what the machine and its control group have available when the video is started.
    """

    max_pixels: float = 1e11
    max_seconds: float = 3600.0
    max_memory: float | None = None

    def __post_init__(self) -> None:
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            if not _is_limit(value) and not (value is None and field.name == "max_memory"):
                raise ValueError(f"A limit must be above 0. Received: {field.name}={reprlib.repr(value)}.")

    @contextlib.contextmanager
    def enforced(self) -> Iterator[None]:
        """Apply the limits to the videos that this thread reads in the block, together."""
        token = _current.set((self, time.monotonic() + self.max_seconds))
        try:
            yield
        finally:
            _current.reset(token)


def _is_limit(value: Any) -> bool:
    """Return whether a value is a number from 0 to LARGEST, without 0, or infinite."""
    if not isinstance(value, (int, float, np.integer, np.floating)) or isinstance(value, bool):
        return False
    return bool(value > 0 and (value == math.inf or value <= LARGEST))


_current: contextvars.ContextVar[tuple[WorkLimits, float] | None] = contextvars.ContextVar("work limits", default=None)


def check_start(width: int, height: int, num_frames: int, *, model_bytes: float = 0.0) -> None:
    """Check, before the work starts, the limits that apply in this thread.

    Args:
        width, height: frame size in pixels.
        num_frames: number of frames that the file declares; 0 if unknown.
        model_bytes: `needed_bytes` of the 3D-CNN and of the head that run over the frames, if they do.

    Raises:
        LimitExceeded: the video has too many pixels, or its frames probably do not fit in memory.
    """
    check_progress(width, height, num_frames)
    current = _current.get()
    if current is None:
        return
    limit, source = current[0].max_memory, "allowed"
    if limit is None:
        limit, source = memory.available_bytes(), "available"
    needed = needed_bytes(width, height, model_bytes=model_bytes)
    if limit is not None and needed > limit:
        raise LimitExceeded(
            f"A video of {width}x{height} needs about {needed / 1e9:.2g} GB of memory, {limit / 1e9:.2g} GB are "
            f"{source}. Free memory, raise the limit max_memory, or scale the video down."
        )


def needed_bytes(width: int, height: int, *, model_bytes: float = 0.0) -> float:
    """Estimate the memory for one video, in bytes, in addition to the loaded models; arguments as in `check_start`."""
    return BYTES_PER_PIXEL * width * height + model_bytes


def check_progress(width: int, height: int, num_frames: int) -> None:
    """Check the limits on pixels and time that apply in this thread.

    Args:
        width, height: frame size in pixels.
        num_frames: number of frames that were read.

    Raises:
        LimitExceeded: one of them is exceeded.
    """
    current = _current.get()
    if current is None:
        return
    limits, _ = current
    if width * height * num_frames > limits.max_pixels:
        raise LimitExceeded(
            f"A video may have {limits.max_pixels:.4g} pixels in all, this one has {num_frames} frames of "
            f"{width}x{height}. Raise the limit max_pixels, or score a part of it."
        )
    if is_late():
        raise LimitExceeded(
            f"A video may take {limits.max_seconds:g} seconds, this one has taken longer for {num_frames} frames of "
            f"{width}x{height}. Raise the limit max_seconds, or score a part of it."
        )


def is_late() -> bool:
    """Return whether the time for the current videos of this thread is over."""
    current = _current.get()
    return current is not None and time.monotonic() > current[1]
