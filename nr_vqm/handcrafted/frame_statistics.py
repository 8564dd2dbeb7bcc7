"""Frame statistics: features of BRISQUE and VIDEVAL that a few frames of a video give, in a fortieth of the time.

VIDEVAL describes every second frame, and pools averages and standard deviations over windows of a second. Its averages
change little when a few frames stand for all; the standard deviations need them all and are not used. Each sampled
frame gives all 36 features of BRISQUE, the 35 averages of VIDEVAL, of which five describe the motion between the frame
and its two neighbours, and VIDEVAL's six of colour and sharpness.

Unlike the methods they come from, they are computed from RGB frames, so that scoring computes them from the frames that
the 3D-CNN reads. Sources: those of `brisque` and `videval`; the choice of features and frames is ours, decision 0022.
"""

import math
import os
import warnings
from collections.abc import Iterable, Sequence

import cv2
import numpy as np

from nr_vqm.handcrafted import brisque, frame_sampling, videval
from nr_vqm.video import reader
from nr_vqm.video.planes import Planes
from nr_vqm.video.raw_video import RawFormat

SECONDS_PER_FRAME = 4  # of the video, for each sampled frame
MIN_SAMPLES, MAX_SAMPLES = 2, 8  # frames sampled from short and from long videos
DEFAULT_FPS = 30.0  # of a video that declares none
MAX_PIXELS = 1920 * 1080  # of a frame; a larger one is reduced
BYTES_PER_PIXEL = 300  # of a frame: 240 to 270 measured, with the planes of the frames that wait
VIDEVAL_NAMES = tuple(name for name in videval.feature_names() if not name.endswith("_variation"))
NUM_FEATURES = brisque.NUM_FEATURES + len(VIDEVAL_NAMES)


def feature_names() -> list[str]:
    """Return the names of the 77 features: 'brisque_' or 'videval_' and the name that the method gives it."""
    return [f"brisque_{name}" for name in brisque.feature_names()] + [f"videval_{name}" for name in VIDEVAL_NAMES]


def sampled_frames(num_frames: int, fps: float) -> list[int]:
    """Return the numbers of the sampled frames, spread evenly: one for four seconds, at least 2 and at most 8.

    Args:
        num_frames: number of frames of the video.
        fps: frames per second; 0 stands for DEFAULT_FPS.

    Returns:
        Ascending zero-based frame numbers, each with a frame before and after it; none for fewer than three frames.

    >>> sampled_frames(240, 30.0)
    [60, 180]
    """
    wanted = min(num_frames / (float(fps or DEFAULT_FPS) * SECONDS_PER_FRAME), MAX_SAMPLES)
    count = max(round(wanted), MIN_SAMPLES)
    last = num_frames - 2
    if last < 1:
        return []
    return sorted({min(max(int((index + 0.5) * num_frames / count), 1), last) for index in range(count)})


class Neighbours:
    """Holds three consecutive frames of a video, and returns those around a sampled frame."""

    def __init__(self, numbers: Iterable[int]) -> None:
        """Choose the frames in the middle, by their numbers, as of `sampled_frames`."""
        self._middle, self._next = set(numbers), 0
        self._held: list[np.ndarray] = []

    def add(self, frame: np.ndarray) -> list[Planes] | None:
        """Take the next frame, uint8 RGB, shape (height, width, 3).

        Returns:
            The planes of three frames where the one before this is a sampled frame, as of `planes_of`; else None.
        """
        self._held = [*self._held[-2:], frame]
        self._next += 1
        return [planes_of(one) for one in self._held] if self._next - 2 in self._middle else None


def planes_of(frame: np.ndarray) -> Planes:
    """Convert a frame to YUV 4:2:0, BT.601, limited range.

    Args:
        frame: uint8 RGB, shape (height, width, 3).

    Returns:
        The planes, of even height and width: a frame of more than MAX_PIXELS is reduced, and one that is smaller than
        VIDEVAL needs is extended by reflection.
    """
    height, width = frame.shape[:2]
    if (scale := math.sqrt(MAX_PIXELS / (height * width))) < 1:
        size = max(1, round(width * scale)), max(1, round(height * scale))
        frame = cv2.resize(frame, size, interpolation=cv2.INTER_AREA)
    rows, columns = (max(length + length % 2, videval.MIN_SIZE) for length in frame.shape[:2])
    missing = (0, rows - frame.shape[0]), (0, columns - frame.shape[1]), (0, 0)
    packed = cv2.cvtColor(np.pad(frame, missing, mode="symmetric"), cv2.COLOR_RGB2YUV_I420).ravel()
    chroma = packed[rows * columns :].reshape(2, rows // 2, columns // 2)
    return Planes(packed[: rows * columns].reshape(rows, columns), *chroma)


def features(planes: Sequence[Planes]) -> np.ndarray:
    """Compute the features of one sampled frame.

    Args:
        planes: of the frame before it, the frame and the frame after it, as of `planes_of`.

    Returns:
        float64, shape (77,), in the order of `feature_names`; NaN where a value is not defined, as of colour in a grey
        frame.
    """
    of_frame, still = videval.single_frame_features(*planes)
    return np.concatenate([brisque.features(planes[1].y), of_frame, still])


def video_features(path: str | os.PathLike[str], *, raw: RawFormat | str | None = None) -> np.ndarray:
    """Compute the frame statistics of a video: the mean of `features` over the sampled frames.

    Args:
        path: the video file.
        raw: format of a headerless .yuv file, as a `RawFormat` or its text form; None for all other files.

    Returns:
        float64, shape (77,); NaN where a value is not defined in any frame.

    Raises:
        FileNotFoundError: the file does not exist.
        ValueError: the video cannot be decoded, or has fewer than three frames.

    Warns:
        UserWarning: the decoder reports a problem with the frames, for example a damaged file.
    """
    with reader.read_frames(path, raw) as frames:
        expected = frames.info.expected
        found = _features_of(frames, expected, frames.info.fps)
        for message in frames.warnings:
            warnings.warn(f"{path}: {message}", stacklevel=2)
    if frames.decoded != expected:  # the header was wrong, and the sampled frames not spread evenly
        with reader.read_frames(path, raw) as again:
            found = _features_of(again, frames.decoded, again.info.fps)
    if not found:
        raise ValueError(f"Frame statistics need at least three frames, {path} has {frames.decoded}.")
    return frame_sampling.mean_of_frames(found)


def _features_of(frames: Iterable[np.ndarray], num_frames: int, fps: float) -> list[np.ndarray]:
    held = Neighbours(sampled_frames(num_frames, fps))
    return [features(planes) for planes in map(held.add, frames) if planes]


def needed_bytes(width: int, height: int) -> float:
    """Estimate the memory for the statistics of a video whose frames have this size, in bytes."""
    return BYTES_PER_PIXEL * min(width * height, MAX_PIXELS)
