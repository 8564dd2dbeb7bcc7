"""The videos that can be scored, files and arrays of frames, and their validation before any work starts."""

import os
import reprlib
from collections.abc import Iterable, Iterator
from typing import Any, Self

import numpy as np

from nr_vqm.video import decoder_client, raw_video, reader
from nr_vqm.video.reader import ReadOptions

Source = str | os.PathLike[str] | np.ndarray
Raw = raw_video.RawFormat | str | None
FPS = (0.01, 10_000.0)  # lowest and highest frame rate: time lapse and high-speed cameras
MIN_SIDE = 16  # pixels, a macroblock: smaller frames come from damaged headers, and hold no quality to predict


def open_source(source: Source, options: ReadOptions, fps: float) -> Any:
    """Open a video as an iterator of frames with the interface of `decoder_client.Frames`.

    Args:
        source: path of a video, or its frames: uint8 RGB, shape (num_frames, height, width, 3), values 0-255.
        options: how a file is read; ignored for an array.
        fps: frames per second of an array, 0 if unknown; ignored for files.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: the source is neither, it is damaged, or its frames are smaller than MIN_SIDE.
    """
    if not isinstance(source, (str, os.PathLike, np.ndarray)):
        raise ValueError(
            "A video is a path or an array of frames, uint8 RGB, shape (num_frames, height, width, 3). "
            f"Received: {_described(source)}. Stack frames by numpy.stack(list_of_frames)."
        )
    if isinstance(source, np.ndarray):
        frames: Any = _ArrayFrames(source, fps)
    else:
        frames = reader.read_frames(source, options.raw, stream=options.stream, deinterlace=options.deinterlace)
    height, width = frames.info.height, frames.info.width
    if min(height, width) < MIN_SIDE:
        frames.close()
        raise ValueError(f"Frames of {width} x {height} pixels are too small; {MIN_SIDE} x {MIN_SIDE} are needed.")
    return frames


def listed(paths: Iterable[str | os.PathLike[str]]) -> Iterable[str | os.PathLike[str]]:
    """Return the paths of a batch.

    Raises:
        ValueError: a single video was given, whose letters or frames would be taken for paths, or no iterable.
    """
    if isinstance(paths, (str, bytes, os.PathLike, np.ndarray)) or not isinstance(paths, Iterable):
        raise ValueError(f"A list of paths is needed. Received: {_described(paths)}. Score a single video by score().")
    return paths


class _ArrayFrames:
    """An array of frames with the interface of decoder_client.Frames."""

    def __init__(self, frames: np.ndarray, fps: float) -> None:
        _check_frames(frames, fps)
        num_frames, height, width = frames.shape[:3]
        self.info = decoder_client.VideoInfo(
            width=width, height=height, frames=num_frames, fps=float(fps), expected=num_frames
        )
        self.decoded = num_frames
        self.warnings: list[str] = []
        self._frames = iter(frames)

    def __iter__(self) -> Iterator[np.ndarray]:
        return self._frames

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def close(self) -> None:
        """Do nothing: an array needs no closing."""


def _check_frames(frames: np.ndarray, fps: float) -> None:
    if frames.dtype != np.uint8 or frames.ndim != 4 or frames.shape[3] != 3:
        raise ValueError(
            "A video array must be uint8 RGB, shape (num_frames, height, width, 3). "
            f"Received: {frames.dtype}, shape {frames.shape}."
        )
    if isinstance(frames, np.ma.MaskedArray):
        raise ValueError("Masked pixels have no quality. Received: a masked array. Fill it first: frames.filled(0).")
    if not frames.size:
        raise ValueError(f"A video array must have frames and pixels. Received: shape {frames.shape}.")
    is_number = isinstance(fps, (int, float, np.integer, np.floating)) and not isinstance(fps, bool)
    if not is_number or not (fps == 0 or FPS[0] <= fps <= FPS[1]):
        raise ValueError(
            f"fps is the number of frames per second, 0 if unknown, else {FPS[0]:g} to {FPS[1]:,.0f}. "
            f"Received: {reprlib.repr(fps)}."
        )


def _described(value: object) -> str:
    text = repr(value) if isinstance(value, (str, bytes, os.PathLike)) else ""
    return f"{type(value).__name__} {text:.100}".rstrip()
