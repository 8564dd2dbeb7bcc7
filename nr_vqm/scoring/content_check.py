"""Warn about content that no training video has: black and uniform frames, video that stands still, undefined features.

Docs: docs/decisions/0020-warnings-about-content.md has the thresholds and what they were tried on.
"""

from collections.abc import Iterable, Iterator

import numpy as np

SAMPLES = 64  # pixels measured along each side of a frame: finer detail does not decide whether it is black
LUMA = np.array([0.299, 0.587, 0.114], np.float32)  # ITU-R BT.601
BLACK = 8.0  # highest mean luma of a black frame, 0-255; real night scenes are as dark, but with lights
BLACK_SPREAD = 4.0  # highest standard deviation of the luma of a black frame
UNIFORM = 2.0  # highest standard deviation of the luma of a uniform frame
STILL = 0.05  # highest mean absolute change of luma between two frames of a still video
SHARE = 0.5  # lowest share of black or uniform frames that gives a warning
STILL_SHARE = 0.9  # of repeated frames: a video of 15 frames per second in a file of 30 repeats half of them


class ContentCheck:
    """Measures the frames of one video while they pass.

    Attributes:
        num_frames: frames measured so far.
    """

    def __init__(self) -> None:
        self.num_frames = 0
        self._black = self._uniform = self._still = 0
        self._last: np.ndarray | None = None

    def watch(self, frames: Iterable[np.ndarray]) -> Iterator[np.ndarray]:
        """Yield the frames unchanged, uint8 RGB, shape (height, width, 3), and measure each."""
        for frame in frames:
            self._measure(frame)
            yield frame

    def warnings(self) -> list[str]:
        """Return at most one warning: a black video is uniform and still as well."""
        for count, of, share, what in (
            (self._black, self.num_frames, SHARE, "of the frames are black"),
            (self._uniform, self.num_frames, SHARE, "of the frames show one uniform colour"),
            (self._still, self.num_frames - 1, STILL_SHARE, "of the frames repeat the previous frame"),
        ):
            if of > 0 and count >= share * of:
                return [f"{100 * count / of:.0f} % {what}: unlike the videos the model was trained on"]
        return []

    def _measure(self, frame: np.ndarray) -> None:
        height, width = frame.shape[:2]
        rows, columns = (np.linspace(0, length - 1, min(SAMPLES, length)).astype(int) for length in (height, width))
        luma = frame[np.ix_(rows, columns)] @ LUMA
        self.num_frames += 1
        spread = luma.std()
        self._black += bool(luma.mean() <= BLACK and spread <= BLACK_SPREAD)
        self._uniform += bool(spread <= UNIFORM)
        if self._last is not None:
            self._still += bool(np.abs(luma - self._last).mean() <= STILL)
        self._last = luma


def undefined_features(features: np.ndarray | None) -> list[str]:
    """Return a warning if hand-crafted features of a video are NaN; None if there are none."""
    missing = 0 if features is None else int(np.isnan(features).sum())
    if features is None or not missing:
        return []
    return [f"{missing} of {features.size} features are undefined; the training means replace them"]
