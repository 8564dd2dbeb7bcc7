"""What a run says of one video."""

import dataclasses

import numpy as np

from nr_vqm.dataset import label_origin
from nr_vqm.scoring import score_page
from nr_vqm.video import clips


@dataclasses.dataclass(frozen=True, eq=False, repr=False)
class Score:
    """What a run says of one video. `print(score)` gives one line; a notebook shows the page of `to_html`.

    Attributes:
        path: the video; empty for an array.
        labels: where the labels that the run learned from come from: a key of `label_origin.ORIGINS`.
        head: a head of `head_table`.
        model_id: 12 hex digits, the same for the same 3D-CNN and head.
        precision: of the 3D-CNN, 'float32' or 'mixed_bfloat16'.
        mos: in the unit of the run's database, `mos_low` to `mos_high`.
        quality: the same on the 1-5 scale.
        interval: (low, high) in the unit of `mos`: where the MOS of 19 in 20 validation videos with such a score
            lay; None where the run has too few of them. Decision 0012.
        frames: decoded frames.
        declared_frames: what the file's header says, 0 where it does not.
        width, height: in pixels.
        fps: frames a second, 0 where it is not known.
        grid: clips.ClipGrid, where the clips are.
        clip_quality: float32 (num_groups, num_blocks), on 1-5; blocks row by row.
        worst_picture: the middle frame of the worst group as JPEG, reduced to 800 pixels wide.
        warnings: what makes the score doubtful; empty is good.
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
    worst_picture: bytes
    warnings: tuple[str, ...]
    seconds: float

    @property
    def worst_group(self):
        """The group with the lowest mean clip quality; the first of equals."""
        return int(np.argmin(self.clip_quality.mean(axis=1)))

    @property
    def quality_over_time(self):
        """Mean clip quality of each group, float32 (num_groups,), on 1-5."""
        return self.clip_quality.mean(axis=1)

    @property
    def quality_map(self):
        """Mean clip quality at each place of the picture, float32 (rows, columns), on 1-5."""
        return self.clip_quality.mean(axis=0).reshape(len(self.grid.tops), len(self.grid.lefts))

    def to_dict(self):
        """JSON-ready: everything but the clips and the picture; the grid as 'groups x rows x columns'."""
        low, high = self.interval or (None, None)
        return {
            "path": self.path,
            "mos": self.mos,
            "interval_low": low,
            "interval_high": high,
            "mos_low": self.mos_low,
            "mos_high": self.mos_high,
            "labels": self.labels,
            "quality": self.quality,
            "head": self.head,
            "model_id": self.model_id,
            "precision": self.precision,
            "frames": self.frames,
            "declared_frames": self.declared_frames,
            "width": self.width,
            "height": self.height,
            "fps": self.fps,
            "grid": f"{len(self.grid.starts)}x{len(self.grid.tops)}x{len(self.grid.lefts)}",
            "seconds": self.seconds,
            "warnings": list(self.warnings),
        }

    def iter_clips(self):
        """Yield every clip as a dict: group, block, frame, seconds (None without a rate), top, left, size, quality.

        `frame` and `seconds` are those of its first frame, places are in pixels, quality is on 1-5.
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

    def to_html(self):
        """A page that needs nothing from elsewhere: quality over time, over the picture, and clip by clip."""
        return score_page.render(self)

    def save_plot(self, path):
        """Draw the same as a PNG file."""
        score_page.write_png(path, self)

    def __repr__(self):
        interval = f", 95 % {self.interval[0]:.2f} to {self.interval[1]:.2f}" if self.interval else ""
        warnings = "".join(f", {warning}" for warning in self.warnings)
        return (
            f"Score({self.mos:.2f} on {self.mos_low:g}-{self.mos_high:g}{interval}, "
            f"{label_origin.ORIGINS[self.labels]}, {self.head}, {self.frames} frames, {self.path or 'array'}{warnings})"
        )

    def _repr_html_(self):
        return score_page.render_fragment(self)
