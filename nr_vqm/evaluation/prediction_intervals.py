"""Prediction intervals: the range in which the MOS of a video is expected, given the score of a head.

The intervals come from the errors of the head on validation videos with similar scores. Decision 0012 has the method
and its coverage.
"""

import math

import numpy as np

CONFIDENCE = 0.95
MIN_VIDEOS = 20  # with 19 the interval reaches as far as the largest error; one more is needed to estimate the spread
MIN_SPREAD = 1e-6  # on the 1-5 scale: errors are divided by the spread


class PredictionIntervals:
    """Prediction intervals of a head, estimated from its errors on validation videos.

    Attributes:
        scores: float (num_videos,), the scores on 1-5 in rising order.
        errors: float (num_videos,), MOS - score of the same videos.
        num_videos: number of validation videos.
    """

    def __init__(
        self, scores: np.ndarray, mos: np.ndarray, *, neighbours: float, min_neighbours: int, floor: float
    ) -> None:
        """Estimate the spread of the errors.

        Args:
            scores, mos: float, shape (num_videos,), on 1-5, of videos that the head was not fitted on.
            neighbours: share of the videos, those nearest in score, that determines the spread at a score, in (0, 1].
            min_neighbours: lowest number of these videos.
            floor: lowest spread at a score, as a share of the spread of all errors, 0-1.
        """
        order = np.argsort(scores, kind="stable")
        self.scores, self.errors = np.asarray(scores)[order], np.asarray(mos)[order] - np.asarray(scores)[order]
        self.num_videos = len(self.scores)
        self._num_neighbours, self._floor = max(min_neighbours, round(self.num_videos * neighbours)), floor
        if self.num_videos >= MIN_VIDEOS:
            # The spread at a video's score is estimated without the video itself, as it will be for a new video.
            spreads = [self._spread(score, excluded=row) for row, score in enumerate(self.scores)]
            ratios = np.sort(np.abs(self.errors) / spreads)
            self._reach = float(ratios[math.ceil(CONFIDENCE * (self.num_videos + 1)) - 1])

    def interval(self, score: float) -> tuple[float, float] | None:
        """Return the 95 % prediction interval of the MOS at a score.

        Args:
            score: on 1-5.

        Returns:
            (low, high), within 1-5; None with fewer than MIN_VIDEOS validation videos.
        """
        if self.num_videos < MIN_VIDEOS:
            return None
        half = self._reach * self._spread(score)
        return max(1.0, score - half), min(5.0, score + half)

    def percentile(self, score: float) -> float | None:
        """Return the share of the validation videos with a lower score.

        Args:
            score: on 1-5.

        Returns:
            0-100, videos with the same score counted by half; None without validation videos.
        """
        if not self.num_videos:
            return None
        lower, not_higher = (int(np.searchsorted(self.scores, score, side=side)) for side in ("left", "right"))
        return round(50 * (lower + not_higher) / self.num_videos, 1)

    def _spread(self, score: float, excluded: int | None = None) -> float:
        """Return the root mean square error of the videos nearest in score, without one excluded video."""
        distances = np.abs(self.scores - score)
        if excluded is not None:
            distances[excluded] = np.inf
        nearest = np.argsort(distances, kind="stable")[: self._num_neighbours]
        spread = math.sqrt(np.mean(self.errors[nearest] ** 2))
        return max(spread, self._floor * math.sqrt(np.mean(self.errors**2)), MIN_SPREAD)
