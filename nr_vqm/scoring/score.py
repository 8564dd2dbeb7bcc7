"""The result of scoring one video."""

import dataclasses
import os
from collections.abc import Iterator
from typing import Any

import numpy as np

from nr_vqm.dataset import label_origin
from nr_vqm.scoring import score_page
from nr_vqm.video import clips


@dataclasses.dataclass(frozen=True, eq=False, repr=False)
class Score:
    """Predicted quality of one video. `print(score)` gives one line; a notebook shows the page of `to_html`.

    Attributes:
        path: the video file; empty for an array of frames.
        labels: origin of the labels that the run was trained on, a key of `label_origin.ORIGINS`.
        head: name of the head, a key of `head_table.HEADS`.
        model_id: 12 hexadecimal digits that identify the 3D-CNN and the head.
        precision: of the 3D-CNN, 'float32' or 'mixed_bfloat16'; of hand-crafted features 'float64'.
        mos: the predicted MOS, from `mos_low` to `mos_high`.
        mos_low: lower end of the scale of the run's database.
        mos_high: upper end of that scale.
        quality: the predicted MOS on the 1-5 scale.
        interval: 95 % prediction interval (low, high) in the unit of `mos`, from the errors of validation videos with
            similar scores; None if the run has too few validation videos. Decision 0012.
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
        warnings: reasons to doubt the score; empty for a sound video.
        seconds: wall time of decoding and computing.
    """

    path: str
    labels: str
    head: str
    model_id: str
    precision: str
    mos: float
    mos_low: float
    mos_high: float
    quality: float
    interval: tuple[float, float] | None
    frames: int
    declared_frames: int
    width: int
    height: int
    fps: float
    grid: clips.ClipGrid
    clip_quality: np.ndarray
    worst_frame: bytes
    warnings: tuple[str, ...]
    seconds: float

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
        """Convert to values for JSON, without the clips and the frame; the grid as 'groups x rows x columns', or ''."""
        elsewhere = ("interval", "clip_quality", "worst_frame")
        names = [field.name for field in dataclasses.fields(self) if field.name not in elsewhere]
        values = {name: getattr(self, name) for name in names}
        low, high = self.interval or (None, None)
        grid = f"{len(self.grid.starts)}x{len(self.grid.tops)}x{len(self.grid.lefts)}" if self.has_clips else ""
        return values | {"interval_low": low, "interval_high": high, "grid": grid, "warnings": list(self.warnings)}

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
        score_page.write_png(path, self)

    def __repr__(self) -> str:
        interval = f", 95 % {self.interval[0]:.2f} to {self.interval[1]:.2f}" if self.interval else ""
        warnings = "".join(f", {warning}" for warning in self.warnings)
        return (
            f"Score({self.mos:.2f} on {self.mos_low:g}-{self.mos_high:g}{interval}, "
            f"{label_origin.ORIGINS[self.labels]}, {self.head}, {self.frames} frames, {self.path or 'array'}{warnings})"
        )

    def _repr_html_(self) -> str:
        return score_page.render_fragment(self)
