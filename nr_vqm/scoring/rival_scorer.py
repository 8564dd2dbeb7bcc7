"""Score videos with a head on hand-crafted features. It needs neither the 3D-CNN nor TensorFlow."""

import os
from pathlib import Path

import numpy as np

from nr_vqm.dataset import mos_scale
from nr_vqm.handcrafted import cornia, methods
from nr_vqm.models import head_table
from nr_vqm.runs import export_folder, rival_inputs, shallow_heads
from nr_vqm.runs.export_folder import ExportFolder
from nr_vqm.runs.run_folder import RunFolder
from nr_vqm.scoring import head_model
from nr_vqm.scoring.feature_scorer import FeatureScorer, with_notes
from nr_vqm.scoring.head_model import HeadModel
from nr_vqm.video import raw_video
from nr_vqm.video.work_limits import WorkLimits


class RivalScorer(FeatureScorer):
    """A run or an export, loaded to score with a head on hand-crafted features; create it with `nr_vqm.load`."""

    def __init__(self, model: HeadModel, *, codebook: cornia.Codebook | None, limits: WorkLimits | None = None) -> None:
        """Combine a head and the codebook of its method.

        Args:
            model: the head.
            codebook: of `cornia`, or None for a method without one.
            limits: on the work for one video file; None for the defaults of WorkLimits.
        """
        self.run_dir, self.head, self.model_id = model.folder, model.row.name, model.model_id
        self.labels, self.mos_range, self._spread = model.labels, model.mos_range, model.intervals
        self.limits = limits or WorkLimits()
        self._model, self._method, self._codebook = model, methods.get(self.head), codebook

    def _predict(self, path: str | os.PathLike[str], raw: raw_video.RawFormat | str | None) -> tuple[float, list[str]]:
        def compute() -> np.ndarray:
            found = self._method.compute(path, raw=raw, codebook=self._codebook, video_id=Path(path).stem)
            return rival_inputs.as_missing(found)

        features, notes = with_notes(compute, path)
        return float(mos_scale.to_score(self._model.quality(features), *self.mos_range)), notes


def load_scorer(folder: str | os.PathLike[str], head: str, *, limits: WorkLimits | None = None) -> RivalScorer:
    """Load one head of a run or of an export, and the codebook if its method needs one.

    Args:
        folder: a run folder that the stages train and compare have written, or an export.
        head: one of `head_table.RIVALS`.
        limits: on the work for one video file; None for the defaults of WorkLimits.

    Raises:
        FileNotFoundError: a file is missing.
        ValueError: a file is damaged or was not written by nr-vqm, or the head was fitted on another version of the
            features.
    """
    row = head_table.get(head)
    if export_folder.is_export(folder):
        export = ExportFolder(folder)
        _check_version(row, export.head(head).get("version"), folder)
        return RivalScorer(head_model.of_export(export, head), codebook=None, limits=limits)
    run = RunFolder(folder)
    model = head_model.of_run(folder, head, lambda run: shallow_heads.LOAD[row.method](run, row).predict)
    _check_version(row, run.stage_settings(row.stage).get("version"), run.head(head))
    codebook = cornia.load_codebook(run.codebook) if methods.get(head).needs_codebook else None
    return RivalScorer(model, codebook=codebook, limits=limits)


def _check_version(row: head_table.HeadRow, fitted_on: object, where: str | os.PathLike[str]) -> None:
    """Raise ValueError if a head was fitted on another version of its features than this nr-vqm computes."""
    version = methods.get(row.name).version
    if fitted_on != version:
        raise ValueError(
            f"{os.fspath(where)} was fitted on version {fitted_on} of the features of {row.label}, this nr-vqm "
            f"computes version {version}. Compute and fit again: make rivals, then {row.made_by}."
        )
