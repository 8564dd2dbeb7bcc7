"""How far a score may be from the MOS: the spread that a run's own validation videos show at that score.

Decision 0012 has the method and what it promises.
"""

import math
import os

import numpy as np

from nr_vqm.common import atomic_files
from nr_vqm.dataset import mos_scale
from nr_vqm.models import head_table
from nr_vqm.runs.run_folder import STAGES, RunFolder

CONFIDENCE = 0.95
MIN_VIDEOS = 20  # with 19 the interval reaches as far as the largest error seen; one more to measure the spread by


def write(run_dir, values):
    """Store what the heads said of the validation videos.

    Args:
        run_dir: the run folder.
        values: {head: (outputs, mos)}, both of shape (num_videos,) on 1-5, of videos that the head was not fitted on.
            All heads of one stage at once. Outputs beyond the scale are stored as the scores that they become.
    """
    table = {
        head: {"scores": _rounded(mos_scale.to_score(outputs, 1.0, 5.0)), "mos": _rounded(mos)}
        for head, (outputs, mos) in values.items()
    }
    (stage,) = {head_table.get(head).stage for head in values}
    atomic_files.write_json(RunFolder(run_dir).intervals(stage), table)


def _rounded(values):
    return [round(float(value), 4) for value in values]


def stored(run_dir):
    """{head: {'scores', 'mos'}} of every head as `write` stored them; empty where the run has none yet."""
    run = RunFolder(run_dir)
    tables = (_of_stage(run, stage) for stage in sorted({row.stage for row in head_table.HEADS.values()}))
    return {head: spread for table in tables for head, spread in table.items()}


def _of_stage(run, stage):
    path = run.intervals(stage)
    if not path.exists():
        return {}
    run.check_sum(path)
    table = atomic_files.read_json(path, made_by=STAGES[stage].target)
    if not isinstance(table, dict):
        raise ValueError(f"{path} must hold a JSON object with an entry for each head. Make it again: make compare.")
    return table


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
    run, row = RunFolder(run_dir), head_table.get(head)
    table = _of_stage(run, row.stage)
    if head not in table:
        return None
    try:
        scores, mos = (np.array(table[head][name], dtype=np.float64) for name in ("scores", "mos"))
        if scores.ndim != 1 or scores.shape != mos.shape or not np.isfinite([scores, mos]).all():
            raise ValueError("scores and mos must be lists of finite numbers of one length")
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(
            f"{run.intervals(row.stage)} has no usable spread of head {head!r} ({error}). Make it again: {row.made_by}."
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
