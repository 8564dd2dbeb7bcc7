"""How far a score may be from the MOS: the spread that a run's own validation videos show at that score.

Decision 0012 has the method and what it promises.
"""

import math
import os

import numpy as np

from nr_vqm import files
from nr_vqm.run_folder import RunFolder, stage_of

CONFIDENCE = 0.95
MIN_VIDEOS = 20  # with 19 the interval reaches as far as the largest error seen; one more to measure the spread by


def write(run_dir, values):
    """Store what the heads said of the validation videos.

    Args:
        run_dir: the run folder.
        values: {head: (scores, mos)}, both of shape (num_videos,) on 1-5, of videos that the head was not fitted on.
            All heads of one stage at once.
    """
    table = {
        head: {"scores": [round(float(v), 4) for v in scores], "mos": [round(float(v), 4) for v in mos]}
        for head, (scores, mos) in values.items()
    }
    (stage,) = {stage_of(head) for head in values}
    files.write_json(RunFolder(run_dir).intervals(stage), table)


def read(
    run_dir: str | os.PathLike, head: str, *, neighbours: float, min_neighbours: int, floor: float
) -> "Spread | None":
    """Read the Spread of one head; None where the run has none.

    Args:
        run_dir: the run folder.
        head: its name.
        neighbours, min_neighbours, floor: as in `Spread`; a run's preset has them as `interval`.

    Raises:
        ValueError: the file is not of this kind, or has changed since it was written.
    """
    run = RunFolder(run_dir)
    path = run.intervals(stage_of(head))
    if not path.exists():
        return None
    run.check_sum(path)
    try:
        stored = files.read_json(path, made_by="make compare")[head]
        scores, mos = (np.array(stored[name], dtype=np.float64) for name in ("scores", "mos"))
        if scores.ndim != 1 or scores.shape != mos.shape or not np.isfinite([scores, mos]).all():
            raise ValueError("scores and mos must be lists of finite numbers of one length")
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(
            f"{path} has no usable spread of head {head!r} ({error}). Make it again: make compare."
        ) from error
    return Spread(scores, mos, neighbours=neighbours, min_neighbours=min_neighbours, floor=floor)


class Spread:
    """The errors of a head on the validation videos, and intervals from them."""

    def __init__(
        self, scores: np.ndarray, mos: np.ndarray, *, neighbours: float, min_neighbours: int, floor: float
    ) -> None:
        """
        Args:
            scores, mos: float, shape (num_videos,), on 1-5.
            neighbours: share of the videos, the nearest in score, whose errors tell the spread at a score, in (0, 1].
            min_neighbours: at least so many of them.
            floor: no spread is taken to be less than this share of the whole one, 0-1.
        """
        order = np.argsort(scores, kind="stable")
        self.scores, self.errors = np.asarray(scores)[order], np.asarray(mos)[order] - np.asarray(scores)[order]
        self.num_videos = len(self.scores)
        self.neighbours, self.floor = max(min_neighbours, round(self.num_videos * neighbours)), floor
        if self.num_videos >= MIN_VIDEOS:
            # Each video's error in units of what the others beside it show: a video does not vouch for itself.
            units = [self._local(score, leave_out=row) for row, score in enumerate(self.scores)]
            ratios = np.sort(np.abs(self.errors) / units)
            self.reach = float(ratios[math.ceil(CONFIDENCE * (self.num_videos + 1)) - 1])

    def interval(self, score):
        """Where the MOS of a video with this score is to be expected, 19 times of 20.

        Args:
            score: on 1-5.

        Returns:
            (low, high), within 1-5; None where there are too few validation videos to say.
        """
        if self.num_videos < MIN_VIDEOS:
            return None
        half = self.reach * self._local(score)
        return max(1.0, score - half), min(5.0, score + half)

    def _local(self, score, leave_out=None):
        """Root mean square of the errors of the videos nearest in score."""
        distances = np.abs(self.scores - score)
        if leave_out is not None:
            distances[leave_out] = np.inf
        nearest = np.argsort(distances, kind="stable")[: self.neighbours]
        local = math.sqrt(np.mean(self.errors[nearest] ** 2))
        return max(local, self.floor * math.sqrt(np.mean(self.errors**2)), 1e-6)
