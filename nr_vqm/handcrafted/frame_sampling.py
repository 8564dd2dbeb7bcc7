"""Sample one frame per second of a video, and average features over the sampled frames."""

import collections
import os
import warnings
from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

import numpy as np

from nr_vqm.video import reader
from nr_vqm.video.planes import Planes
from nr_vqm.video.raw_video import RawFormat

LAST_FRAMES = 3  # number of frames at the end that are never sampled
Frame = TypeVar("Frame")


def sampled_frames(num_frames: int, fps: float) -> list[int]:
    """Return the numbers of the sampled frames, one per second.

    Args:
        num_frames: number of frames of the video, at least 1.
        fps: frames per second, above 0.

    Returns:
        Ascending zero-based frame numbers: with R = round(fps), frame R/2 - 1 and every R-th frame after it, up to
        num_frames - 4. A video too short for that gives its middle frame.

    Raises:
        ValueError: fps is not above 0.

    Source: vztu/BVQA_Benchmark, whose published BRISQUE rows these frames reproduce; the middle frame is our choice.
    """
    first, step = _first_and_step(fps)
    return list(range(first, num_frames - LAST_FRAMES, step)) or [num_frames // 2]


def _first_and_step(fps: float) -> tuple[int, int]:
    """Return the first sampled frame number and the step between sampled frames (fps rounded half up, at least 1)."""
    if not fps > 0:
        raise ValueError(f"A frame rate above 0 is needed to sample one frame per second. Received: {fps:g}.")
    step = max(1, int(fps + 0.5))
    return max(step // 2 - 1, 0), step


def sample(frames: Iterable[Frame], fps: float) -> Iterator[Frame]:
    """Yield the frames selected by `sampled_frames` from a stream of unknown length.

    Args:
        frames: all frames, in order. At most half a second of them is held in memory.
        fps: frames per second, above 0.

    Yields:
        The selected frames, in order; at least one unless `frames` is empty.

    Raises:
        ValueError: fps is not above 0.
    """
    first, step = _first_and_step(fps)
    held: collections.deque[tuple[int, Frame]] = collections.deque()
    number, found = -1, False
    for number, frame in enumerate(frames):
        held.append((number, frame))
        candidate = number - LAST_FRAMES
        needed = (
            candidate if found else min(candidate, (number + 1) // 2)
        )  # until one is found the middle frame may be needed
        while held[0][0] < needed:
            held.popleft()
        if candidate >= first and (candidate - first) % step == 0:
            yield held[candidate - held[0][0]][1]
            found = True
    if held and not found:
        yield held[(number + 1) // 2 - held[0][0]][1]


def read_sampled(path: str | os.PathLike[str], raw: RawFormat | str | None = None) -> Iterator[Planes]:
    """Decode a video and yield one frame per second.

    Args:
        path: the video file.
        raw: format of a headerless .yuv file, as a `RawFormat` or its text form; None for all other files.

    Yields:
        The luma and chroma planes of each sampled frame, 0-255, in the value range of the file.

    Raises:
        FileNotFoundError: the file does not exist.
        ValueError: the video cannot be decoded, or declares no frame rate.

    Warns:
        UserWarning: the decoder reports a problem with the frames, for example a damaged file.
    """
    with reader.read_planes(path, raw) as frames:
        if not frames.info.fps:
            raise ValueError(f"A frame rate is needed to sample one frame per second, {path} declares none.")
        yield from sample(frames, frames.info.fps)
        for message in frames.warnings:
            warnings.warn(f"{path}: {message}", stacklevel=2)


def average(
    path: str | os.PathLike[str], raw: RawFormat | str | None, compute: Callable[[Planes, int], np.ndarray]
) -> np.ndarray:
    """Compute a feature vector of each sampled frame of a video and average them, ignoring NaN.

    Args:
        path: the video file.
        raw: format of a headerless .yuv file, as a `RawFormat` or its text form; None for all other files.
        compute: function of a frame and its zero-based number among the sampled frames; returns float64, shape
            (num_features,).

    Returns:
        float64, shape (num_features,); NaN where a value is NaN in every frame.

    Raises:
        FileNotFoundError: the file does not exist.
        ValueError: the video cannot be decoded or declares no frame rate, or `compute` raised ValueError; the path then
            precedes its message.
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
        rows: at least one vector, float64, shape (num_features,).

    Returns:
        float64, shape (num_features,); NaN where a value is NaN in every frame.
    """
    table = np.array(list(rows))
    defined = ~np.isnan(table)
    with np.errstate(invalid="ignore"):
        return np.where(defined, table, 0).sum(axis=0) / defined.sum(axis=0)


def require_defined(features: np.ndarray, method: str, source: str | os.PathLike[str]) -> np.ndarray:
    """Return the features unchanged if all are finite.

    Args:
        features: float64, shape (num_features,).
        method: name of the method, for the error message.
        source: path of the video, for the error message.

    Raises:
        ValueError: a feature is NaN or infinite, because the frames lack the texture that the method measures.
    """
    bad = np.count_nonzero(~np.isfinite(features))
    if bad:
        raise ValueError(
            f"{method} needs at least one sampled frame with texture, {source} has none: {bad} of {features.size} "
            "features are undefined. Leave it out of the comparison."
        )
    return features
