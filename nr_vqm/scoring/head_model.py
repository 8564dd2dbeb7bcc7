"""What scoring needs of a run or of an export, besides the 3D-CNN: one head, its scale and its intervals."""

import dataclasses
import functools
import os
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from nr_vqm.evaluation.prediction_intervals import PredictionIntervals
from nr_vqm.models import head_table, numpy_heads
from nr_vqm.runs import interval_file, model_check
from nr_vqm.runs.export_folder import IDENTITY, ExportFolder, Line
from nr_vqm.runs.run_folder import RunFolder

if TYPE_CHECKING:
    from nr_vqm.scoring.fusion import Fusion


@dataclasses.dataclass(frozen=True)
class HeadModel:
    """A head that is loaded for scoring.

    Attributes:
        folder: the run folder or the export.
        row: the head's row in `head_table`.
        model_id: 12 hexadecimal digits that identify the 3D-CNN and the head.
        labels: origin of the training labels, a key of `label_origin.ORIGINS`.
        mos_range: the two ends of the scale of the run's database.
        intervals: prediction intervals, or None.
        clips: arguments of `clips.plan_grid`, except the stride.
        predict: what the head reads of videos, float (num_videos, ...) -> quality, float (num_videos,), on 1-5 but not
            clipped to it, and not aligned.
        line: aligns the predicted quality with people's MOS.
        clip_line: the same for the quality of clips.
        fusion: of the aligned quality with frame statistics, or None.
    """

    folder: str
    row: head_table.HeadRow
    model_id: str
    labels: str
    mos_range: tuple[float, float]
    intervals: PredictionIntervals | None
    clips: Mapping[str, Any]
    predict: Callable[[np.ndarray], np.ndarray]
    line: Line = IDENTITY
    clip_line: Line = IDENTITY
    fusion: "Fusion | None" = None

    def quality(self, inputs: np.ndarray, statistics: np.ndarray | None = None) -> float:
        """Predict the quality of one video, aligned, on 1-5 but not clipped to it.

        Args:
            inputs: what the head reads.
            statistics: frame statistics of the video, for a fusion with them.
        """
        gain, offset = self.line
        quality = gain * float(self.predict(inputs[None])[0]) + offset
        if self.fusion is None:
            return quality
        if statistics is None:
            raise ValueError(f"Head {self.row.name!r} needs the frame statistics of the video. Received: None.")
        return self.fusion.quality(quality, statistics)

    def needed_bytes(self, width: int, height: int) -> float:
        """Estimate the memory that the head needs for a video whose frames have this size, in bytes."""
        return self.fusion.needed_bytes(width, height) if self.fusion else 0.0

    def aligned_clips(self, clip_quality: np.ndarray) -> np.ndarray:
        """Return clip qualities, float32, as the page of a score shows them, on 1-5."""
        if self.clip_line == IDENTITY:
            return clip_quality
        gain, offset = self.clip_line
        return np.clip(gain * clip_quality + offset, 1, 5).astype(np.float32)


def of_run(
    run_dir: str | os.PathLike[str], head: str, load: Callable[[RunFolder], Callable[[np.ndarray], np.ndarray]]
) -> HeadModel:
    """Return a head of a run.

    Args:
        run_dir: the run folder.
        head: a head of `head_table`.
        load: returns the function `predict`; called after all files are checked.

    Raises:
        FileNotFoundError: a file is missing.
        ValueError: a file is damaged or was not written by nr-vqm, or does not fit the others.
    """
    model_id, run = model_check.check_run(run_dir, head), RunFolder(run_dir)
    preset = run.read_preset()
    return HeadModel(
        folder=os.fspath(run_dir),
        row=head_table.get(head),
        model_id=model_id,
        labels=run.read_labels()[1],
        mos_range=run.read_mos_range(),
        intervals=interval_file.read(run_dir, head, **preset.interval),
        clips=preset.head_clips,
        predict=load(run),
    )


def of_export(export: ExportFolder, head: str) -> HeadModel:
    """Return a head of an export, computed by NumPy.

    Raises:
        ValueError: the export does not have the head, or it is damaged.
    """
    fused = head == head_table.FUSION
    row = head_table.get(head_table.FUSED if fused else head)
    return HeadModel(
        folder=os.fspath(export.path),
        row=dataclasses.replace(row, name=head),
        model_id=export.model_id(head),
        labels=export.labels,
        mos_range=export.mos_range,
        intervals=export.intervals(head),
        clips=export.preset.head_clips,
        predict=functools.partial(numpy_heads.predict, row.method, export.arrays(row.name)),
        line=export.line(head),
        clip_line=export.line("mean") if "mean" in export.heads else IDENTITY,
        fusion=_fusion(export) if fused else None,
    )


def _fusion(export: ExportFolder) -> "Fusion":
    from nr_vqm.scoring import fusion

    version = export.head(head_table.FUSION).get("version")
    fusion.check_version(version, export.path)
    return fusion.load(export.fusion_teacher(), **export.fusion_settings())
