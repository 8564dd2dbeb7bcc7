"""Score videos with the teacher that gave a run its pseudo-labels. It needs neither the 3D-CNN nor TensorFlow."""

import os

from nr_vqm.models import head_table
from nr_vqm.runs import model_check
from nr_vqm.runs.run_folder import RunFolder
from nr_vqm.scoring.feature_scorer import FeatureScorer, with_notes
from nr_vqm.teacher import teacher
from nr_vqm.video import raw_video
from nr_vqm.video.work_limits import WorkLimits


class TeacherScorer(FeatureScorer):
    """The teacher of a run, loaded for scoring: slow, and the closest to people's MOS. Decision 0018."""

    head, labels, mos_range = head_table.TEACHER, "people", (teacher.MOS_LOW, teacher.MOS_HIGH)

    def __init__(self, run_dir: str | os.PathLike[str], *, limits: WorkLimits | None = None) -> None:
        """Load the teacher of a run.

        Args:
            run_dir: a run folder with a teacher.h5, as one that was trained on contents has.
            limits: on the work for one video file; None for the defaults of WorkLimits.

        Raises:
            FileNotFoundError: the run has no teacher.
            ValueError: the file is damaged.
        """
        self.model_id, self.run_dir = model_check.check_run(run_dir, self.head), os.fspath(run_dir)
        self.limits = limits or WorkLimits()
        self._teacher = teacher.load(RunFolder(run_dir).teacher)
        self._spread = self._teacher.intervals()

    def _predict(self, path: str | os.PathLike[str], raw: raw_video.RawFormat | str | None) -> tuple[float, list[str]]:
        features, notes = with_notes(lambda: self._teacher.measure(path, raw=raw), path)
        return self._teacher.predict(features), notes
