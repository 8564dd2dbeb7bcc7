"""The result of scoring one video."""

import dataclasses
import os
from collections.abc import Iterator
from typing import Any

import numpy as np

from nr_vqm.dataset import label_origin, mos_scale
from nr_vqm.evaluation.prediction_intervals import PredictionIntervals
from nr_vqm.runs import interval_file
from nr_vqm.scoring import quality_view, score_page, score_plot
from nr_vqm.scoring.quality_view import two_decimals
from nr_vqm.video import clips


@dataclasses.dataclass(frozen=True, eq=False, repr=False)
class Score:
    """Predicted quality of one video. `print(score)` gives one line; a notebook shows the page of `to_html`.

    Attributes:
        path: the video file; empty for an array of frames.
        labels: origin of the labels that the run was trained on, a key of `label_origin.ORIGINS`.
        head: name of the head, one of `head_table.SCORERS`.
        engine: library that computed the networks, 'openvino' or 'keras'; 'numpy' for a head on hand-crafted features.
        model_id: 12 hexadecimal digits that identify the 3D-CNN and the head.
        precision: of the 3D-CNN, 'float32' or 'mixed_bfloat16'; of hand-crafted features 'float64'.
        score: the prediction of the MOS that people would give, from `scale_min` to `scale_max`.
        scale_min: lower end of the scale of the run's database.
        scale_max: upper end of that scale.
        quality: the score on the 1-5 scale.
        interval_low: lower end of the 95 % prediction interval in the unit of `score`, from the errors of validation
            videos with similar scores; None if the run has too few validation videos. Decision 0012.
        interval_high: its upper end, likewise.
        percentile: share of the run's validation videos whose scores are lower, 0-100, ties counted by half; None if
            the run has no validation scores.
        frames: number of decoded frames; for a head on hand-crafted features, which may read a part of them, the
            number that decoding is expected to give.
        declared_frames: number of frames according to the file's header; 0 if the header has none.
        width: in pixels.
        height: in pixels.
        fps: frames per second; 0 if unknown.
        grid: positions of the clips; none for a head on hand-crafted features, see `has_clips`.
        clip_quality: float32, shape (num_groups, num_blocks), on 1-5; groups in time order, blocks row by row.
        worst_frame: JPEG of the middle frame of the group with the lowest quality, at most 800 pixels wide; empty
            without clips.
        thumbnails: JPEG of the middle frame of each group, at most 192 pixels wide; empty without clips.
        warnings: reasons to doubt the score; empty for a sound video.
        seconds: wall time of decoding and computing.
    """

    path: str
    labels: str
    head: str
    engine: str
    model_id: str
    precision: str
    score: float
    scale_min: float
    scale_max: float
    quality: float
    interval_low: float | None
    interval_high: float | None
    percentile: float | None
    frames: int
    declared_frames: int
    width: int
    height: int
    fps: float
    grid: clips.ClipGrid
    clip_quality: np.ndarray
    worst_frame: bytes
    thumbnails: tuple[bytes, ...]
    warnings: tuple[str, ...]
    seconds: float

    @property
    def interval(self) -> tuple[float, float] | None:
        """Both ends of the 95 % prediction interval, or None."""
        if self.interval_low is None or self.interval_high is None:
            return None
        return self.interval_low, self.interval_high

    @property
    def has_clips(self) -> bool:
        """Whether the video has clip qualities; if not, `clip_quality` and what is derived from it are empty."""
        return self.clip_quality.size > 0

    @property
    def worst_group(self) -> int:
        """Index of the group with the lowest mean clip quality; the first one of several."""
        return int(np.argmin(self.clip_quality.mean(axis=1)))

    @property
    def quality_over_time(self) -> np.ndarray:
        """Mean clip quality of each group: float32, shape (num_groups,), on 1-5."""
        return self.clip_quality.mean(axis=1)

    @property
    def quality_map(self) -> np.ndarray:
        """Mean clip quality at each block position: float32, shape (rows, columns), on 1-5."""
        if not self.has_clips:
            return np.empty((0, 0), np.float32)
        return self.clip_quality.mean(axis=0).reshape(len(self.grid.tops), len(self.grid.lefts))

    def to_dict(self) -> dict[str, Any]:
        """Convert to values for JSON, without the clips and the frames.

        Returns:
            The attributes by name, numbers with at most three decimals, `warnings` as a list, and `grid` as
            'groups x rows x columns' (empty without clips). docs/file_formats.md describes them; 'status' and 'error'
            of its rows are not among them.
        """
        elsewhere = ("clip_quality", "worst_frame", "thumbnails")
        names = [field.name for field in dataclasses.fields(self) if field.name not in elsewhere]
        values = {name: _rounded(getattr(self, name)) for name in names}
        grid = f"{len(self.grid.starts)}x{len(self.grid.tops)}x{len(self.grid.lefts)}" if self.has_clips else ""
        return values | {"grid": grid, "warnings": list(self.warnings)}

    def iter_clips(self) -> Iterator[dict[str, Any]]:
        """Yield one dict per clip, group by group and block by block.

        Yields:
            group, block: indices of the clip in `clip_quality`.
            frame, seconds: of the clip's first frame; seconds are None if the frame rate is unknown.
            top, left, size: position, height and width in pixels.
            quality: on 1-5.
        """
        for group, start in enumerate(self.grid.starts):
            for block, (top, left) in enumerate(self.grid.corners):
                yield {
                    "group": group,
                    "block": block,
                    "frame": start,
                    "seconds": round(start / self.fps, 3) if self.fps else None,
                    "top": top,
                    "left": left,
                    "size": self.grid.clip_size,
                    "quality": round(float(self.clip_quality[group, block]), 4),
                }

    def to_html(self) -> str:
        """Render a self-contained HTML page: quality over time, over the frame, and clip by clip."""
        return score_page.render(self)

    def save_plot(self, path: str | os.PathLike[str]) -> None:
        """Save the plots of the HTML page as one PNG file.

        Args:
            path: a name that ends in .png.

        Raises:
            ValueError: the name ends otherwise, or the video has no clips.
        """
        score_plot.write_png(path, self)

    def __repr__(self) -> str:
        interval = "" if self.interval is None else f", 95 % {' to '.join(map(two_decimals, self.interval))}"
        warnings = "".join(f", {warning}" for warning in self.warnings)
        return (
            f"Score({two_decimals(self.score)} on {self.scale_min:g}-{self.scale_max:g}{interval}, "
            f"{label_origin.ORIGINS[self.labels]}, {self.head}, {self.frames} frames, {self.path or 'array'}{warnings})"
        )

    def _repr_html_(self) -> str:
        return score_page.render_fragment(self)


def prediction(
    scorer: Any, score: float, mos_range: tuple[float, float], intervals: PredictionIntervals | None
) -> dict[str, Any]:
    """Return the attributes of a `Score` that state the prediction and what made it.

    Args:
        scorer: has labels, head, engine, model_id and precision.
        score: in the unit of `mos_range`.
        mos_range: the two ends of the scale.
        intervals: of the head, or None.
    """
    quality = mos_scale.to_unit_5(score, *mos_range)
    low, high = interval_file.in_unit_of(intervals, quality, mos_range)
    names = ("labels", "head", "engine", "model_id", "precision")
    return {name: getattr(scorer, name) for name in names} | {
        "score": score,
        "scale_min": mos_range[0],
        "scale_max": mos_range[1],
        "quality": quality,
        "interval_low": low,
        "interval_high": high,
        "percentile": intervals.percentile(quality) if intervals else None,
    }


def _rounded(value: Any) -> Any:
    return round(value, quality_view.DECIMALS) if isinstance(value, float) else value
