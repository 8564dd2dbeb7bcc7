"""Compare the scores of two videos: the difference, whether it is significant, and both curves over time."""

import dataclasses
import math
from pathlib import Path
from typing import Any

import numpy as np

from nr_vqm.common import figures, safe_output
from nr_vqm.common.safe_output import printable
from nr_vqm.dataset import label_origin, mos_scale
from nr_vqm.scoring import quality_view, score_table
from nr_vqm.scoring.quality_view import two_decimals
from nr_vqm.scoring.score import Score

NUM_TIMES = 8  # moments of both curves that are listed
COLOURS = (figures.BLUE, figures.ORANGE)


@dataclasses.dataclass(frozen=True)
class ScoreComparison:
    """Two scores of one model.

    Attributes:
        first: the score of one video.
        second: the score of the other one.
        difference: second - first, in the unit of the scores.
        margin: half width of the 95 % interval of the difference, with the errors of the two scores taken as
            independent: of two versions of one content they are less than that. None without intervals.
    """

    first: Score
    second: Score
    difference: float
    margin: float | None

    @property
    def exceeds_margin(self) -> bool | None:
        """Whether the difference is larger than its margin; None without intervals."""
        return None if self.margin is None else abs(self.difference) > self.margin

    def conclusion(self) -> str:
        """State the difference and what it means in one sentence."""
        if self.difference == 0:
            return "Both videos have the same score."
        higher = self.second if self.difference > 0 else self.first
        found = f"Difference {self.difference:+.2f}: {_name(higher)} is better"
        if self.margin is None:
            return f"{found}; the run has too few validation videos to say whether that is significant."
        if self.exceeds_margin:
            return f"{found}; this exceeds the 95 % interval of a difference, ±{self.margin:.2f}."
        return f"{found}, but within the 95 % interval of a difference, ±{self.margin:.2f}: not significant."

    def times(self) -> list[dict[str, float]]:
        """Return both curves at NUM_TIMES moments, from the middle of the first to that of the last group of clips.

        Returns:
            One dict per moment: 'position' (0-1), 'first', 'second' (mean clip quality on 1-5) and 'difference'. Empty
            for heads without clips.
        """
        if not (self.first.has_clips and self.second.has_clips):
            return []
        positions = np.linspace(0, 1, NUM_TIMES)
        first, second = (np.interp(positions, _positions(score), _curve(score)) for score in (self.first, self.second))
        return [
            {"position": float(p), "first": float(a), "second": float(b), "difference": float(b - a)}
            for p, a, b in zip(positions, first, second, strict=True)
        ]

    def to_dict(self) -> dict[str, Any]:
        """Convert to values for JSON: the rows of both videos, the difference, its margin, and both curves."""
        return {
            "videos": [score_table.score_row(score) for score in (self.first, self.second)],
            "difference": round(self.difference, 3),
            "margin": None if self.margin is None else round(self.margin, 3),
            "exceeds_margin": self.exceeds_margin,
            "times": [{name: round(value, 3) for name, value in moment.items()} for moment in self.times()],
        }

    def to_html(self) -> str:
        """Render a self-contained HTML page: both scores, the conclusion and both curves."""
        values = {
            "conclusion": self.conclusion(),
            "videos": [_card(score, colour) for score, colour in zip((self.first, self.second), COLOURS, strict=True)],
            "chart": _chart(self.first, self.second) if self.times() else None,
            "words": mos_scale.ACR_WORDS,
            "times": self.times(),
            "labels": label_origin.WARNINGS[self.first.labels],
            "model": f"{self.first.head}, {self.first.model_id}, {self.first.engine} {self.first.precision}",
        }
        return safe_output.render_html(Path(__file__).with_name("comparison.html.j2"), values)


def compare(first: Score, second: Score) -> ScoreComparison:
    """Compare two scores.

    Args:
        first: of one video.
        second: of another one, by the same model.

    Raises:
        ValueError: the scores are of different models.
    """
    if (first.head, first.model_id) != (second.head, second.model_id):
        raise ValueError(
            "Scores of one model are needed, these are of "
            f"{first.head} {first.model_id} and {second.head} {second.model_id}."
        )
    halves = [_half_width(score) for score in (first, second)]
    margin = None if None in halves else math.hypot(*(half for half in halves if half is not None))
    return ScoreComparison(first, second, second.score - first.score, margin)


def _half_width(score: Score) -> float | None:
    """Return half the width of an interval; one end may be cut off by the end of the scale."""
    if score.interval is None:
        return None
    low, high = score.interval
    return max(score.score - low, high - score.score)


def _positions(score: Score) -> np.ndarray:
    """Return the middles of the groups of clips as shares of the length, from 0 (first) to 1 (last)."""
    starts = np.array(score.grid.starts, dtype=np.float64)
    return (starts - starts[0]) / max(1.0, starts[-1] - starts[0])


def _curve(score: Score) -> np.ndarray:
    return score.quality_over_time.astype(np.float64)


def _name(score: Score) -> str:
    return printable(Path(score.path).name) or "array of frames"


def _card(score: Score, colour: str) -> dict[str, Any]:
    """Return what the page shows of one video."""
    return {
        "name": _name(score),
        "colour": colour,
        "score": two_decimals(score.score),
        "scale": f"{score.scale_min:g}-{score.scale_max:g}",
        "word": mos_scale.acr_word(score.quality),
        "interval": None if score.interval is None else " to ".join(map(two_decimals, score.interval)),
        "size": f"{score.frames} frames, {score.width} x {score.height}",
        "warnings": [printable(one) for one in score.warnings if one not in label_origin.WARNINGS[score.labels]],
    }


def _chart(first: Score, second: Score) -> dict[str, Any]:
    """Return both curves over time, or over the position in the video where a frame rate is unknown.

    Returns:
        'curves', the points of each; 'ticks' as `quality_view.ticks`; 'in_seconds'; 'levels_note', likewise.
    """
    in_seconds = bool(first.fps and second.fps)
    length = max(quality_view.duration(score) for score in (first, second)) if in_seconds else 100.0
    scales = [1.0 if in_seconds else length / quality_view.duration(score) for score in (first, second)]
    curves = [
        quality_view.points(quality_view.times(score) * scale / length, _curve(score))
        for score, scale in zip((first, second), scales, strict=True)
    ]
    ticks = quality_view.ticks(length, quality_view.seconds if in_seconds else "{:g} %".format)
    note = quality_view.levels_note(first.head)
    return {"curves": curves, "ticks": ticks, "in_seconds": in_seconds, "levels_note": note}
