"""Score videos with a head on hand-crafted features. It needs neither the 3D-CNN nor TensorFlow."""

import os
from pathlib import Path

import numpy as np

from nr_vqm.dataset import mos_scale
from nr_vqm.handcrafted import cornia, methods
from nr_vqm.models import head_table
from nr_vqm.runs import interval_file, model_check, rival_inputs, shallow_heads
from nr_vqm.runs.run_folder import RunFolder
from nr_vqm.scoring.feature_scorer import FeatureScorer, with_notes
from nr_vqm.video import raw_video
from nr_vqm.video.work_limits import WorkLimits


class RivalScorer(FeatureScorer):
    """A run that is loaded for scoring with a head on hand-crafted features; create it with `nr_vqm.load`."""

    def __init__(self, run_dir: str | os.PathLike[str], *, head: str, limits: WorkLimits | None = None) -> None:
        """Load one head, and the codebook if its method needs one.

        Args:
            run_dir: a run folder that the stages train and compare have written.
            head: one of `head_table.RIVALS`.
            limits: on the work for one video file; None for the defaults of WorkLimits.

        Raises:
            FileNotFoundError: a file is missing.
            ValueError: a file is damaged or was not written by nr-vqm, or the head was fitted on another version of
                the features.
        """
        self.model_id = model_check.check_run(run_dir, head)
        self.run_dir, self.head, self.limits = os.fspath(run_dir), head, limits or WorkLimits()
        run, row, self._method = RunFolder(run_dir), head_table.get(head), methods.get(head)
        fitted_on = run.stage_settings(row.stage).get("version")
        if fitted_on != self._method.version:
            raise ValueError(
                f"{run.head(head)} was fitted on version {fitted_on} of the features of {row.label}, this nr-vqm "
                f"computes version {self._method.version}. Compute and fit again: make rivals, then {row.made_by}."
            )
        self.mos_range, (_, self.labels) = run.read_mos_range(), run.read_labels()
        self._spread = interval_file.read(run_dir, head, **run.read_preset().interval)
        self._codebook = cornia.load_codebook(run.codebook) if self._method.needs_codebook else None
        self._head = shallow_heads.LOAD[row.method](run, row)

    def _predict(self, path: str | os.PathLike[str], raw: raw_video.RawFormat | str | None) -> tuple[float, list[str]]:
        def compute() -> np.ndarray:
            found = self._method.compute(path, raw=raw, codebook=self._codebook, video_id=Path(path).stem)
            return rival_inputs.as_missing(found)

        features, notes = with_notes(compute, path)
        return float(mos_scale.to_score(float(self._head.predict(features[None])[0]), *self.mos_range)), notes
