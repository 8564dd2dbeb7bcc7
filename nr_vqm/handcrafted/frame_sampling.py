"""The frames of a video that the hand-crafted methods look at, and what becomes of their features."""

import collections
import os
import warnings
from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

import numpy as np

from nr_vqm.video import reader
from nr_vqm.video.planes import Planes
from nr_vqm.video.raw_video import RawFormat

LAST_FRAMES = 3  # that are never sampled
Frame = TypeVar("Frame")


def sampled_frames(num_frames: int, fps: float) -> list[int]:
    """Choose one frame a second.

    Args:
        num_frames: frames of the video, at least 1.
        fps: frames per second, above 0.

    Returns:
        ascending frame numbers, counted from 0: with R = round(fps), R/2 - 1 and every R-th after it, up to
        num_frames - 4; the middle frame where that gives none.

    Raises:
        ValueError: no frame rate.

    Source: vztu/BVQA_Benchmark, whose published BRISQUE rows these frames reproduce; the middle frame is our choice.
    """
    first, second = _rule(fps)
    return list(range(first, num_frames - LAST_FRAMES, second)) or [num_frames // 2]


def _rule(fps):
    """The first frame, and the frames of a second: fps rounded half up, at least 1."""
    if not fps > 0:
        raise ValueError(f"A frame rate above 0 is needed to sample one frame a second. Received: {fps:g}.")
    second = max(1, int(fps + 0.5))
    return max(second // 2 - 1, 0), second


def sample(frames: Iterable[Frame], fps: float) -> Iterator[Frame]:
    """Yield the frames that `sampled_frames` chooses from a video whose length shows only at its end.

    Args:
        frames: all frames, in order. At most half a second of them is held in memory.
        fps: frames per second, above 0.

    Yields:
        the chosen frames, in order; at least one, unless there are no frames.

    Raises:
        ValueError: no frame rate.
    """
    first, second = _rule(fps)
    held, number, found = collections.deque(), -1, False
    for number, frame in enumerate(frames):
        held.append((number, frame))
        candidate = number - LAST_FRAMES
        needed = candidate if found else min(candidate, (number + 1) // 2)  # before the first: any middle frame
        while held[0][0] < needed:
            held.popleft()
        if candidate >= first and (candidate - first) % second == 0:
            yield held[candidate - held[0][0]][1]
            found = True
    if held and not found:
        yield held[(number + 1) // 2 - held[0][0]][1]


def read_sampled(path: str | os.PathLike, raw: RawFormat | str | None = None) -> Iterator[Planes]:
    """Decode a video once and yield its sampled frames.

    All methods that look at one frame a second share these: BRISQUE, NIQE and CORNIA take `y`, FRIQUEE converts y, u
    and v to RGB.

    Args:
        path: the file.
        raw: the format of a headerless .yuv file, or its text.

    Yields:
        planes.Planes, values 0-255 in the range of the file.

    Raises:
        FileNotFoundError: no such file.
        ValueError: it cannot be decoded, or has no frame rate.

    Warns:
        UserWarning: what makes the frames doubtful, for example damage.
    """
    with reader.read_planes(path, raw) as frames:
        if not frames.info.fps:
            raise ValueError(f"A frame rate is needed to sample one frame a second, {path} declares none.")
        yield from sample(frames, frames.info.fps)
        for message in frames.warnings:
            warnings.warn(f"{path}: {message}", stacklevel=2)


def average(
    path: str | os.PathLike, raw: RawFormat | str | None, compute: Callable[[Planes, int], np.ndarray]
) -> np.ndarray:
    """Compute the features of a video: the mean over its sampled frames, ignoring NaN.

    Args:
        path: the file.
        raw: the format of a headerless .yuv file, or its text.
        compute: function from a frame and its number among the sampled ones to float64, shape (num_features,).

    Returns:
        float64, shape (num_features,); NaN where every frame has NaN.

    Raises:
        FileNotFoundError, ValueError: as `read_sampled`; of `compute`, with the path before its message.
    """
    rows = []
    for number, frame in enumerate(read_sampled(path, raw)):
        try:
            rows.append(compute(frame, number))
        except ValueError as error:
            raise ValueError(f"{path}: {error}") from error
    return mean_of_frames(rows)


def mean_of_frames(rows: Iterable[np.ndarray]) -> np.ndarray:
    """Average feature vectors over frames, ignoring NaN.

    Args:
        rows: float64, shape (num_features,) each, at least one.

    Returns:
        float64, shape (num_features,); NaN where every frame has NaN.
    """
    rows = np.array(list(rows))
    defined = ~np.isnan(rows)
    with np.errstate(invalid="ignore"):
        return np.where(defined, rows, 0).sum(axis=0) / defined.sum(axis=0)


def require_defined(features: np.ndarray, method: str, source: str | os.PathLike) -> np.ndarray:
    """Return features that are all finite.

    Raises:
        ValueError: one is NaN or infinite: the frames lack the texture that the method measures.
    """
    bad = np.count_nonzero(~np.isfinite(features))
    if bad:
        raise ValueError(
            f"{method} needs at least one sampled frame with texture, {source} has none: {bad} of {features.size} "
            "features are undefined. Leave it out of the comparison."
        )
    return features
