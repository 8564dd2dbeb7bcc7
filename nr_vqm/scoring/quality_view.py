"""What the page and the plot of a score share: colours of a quality, times, the worst moments and frames.

A colour stands for the same quality on every page: the scale is fixed to 1-5, so that two videos can be compared.
"""

import dataclasses
from collections.abc import Callable
from typing import TYPE_CHECKING

import cv2
import numpy as np

from nr_vqm.models import head_table

if TYPE_CHECKING:
    from nr_vqm.scoring.score import Score

LOWEST, HIGHEST = 1.0, 5.0  # ends of the scale of clip quality
DECIMALS = 3  # of numbers in rows; the accuracy of a score does not justify more
# ColorBrewer's RdYlBu: red is bad, blue is good; also distinct with red-green colour blindness.
COLOURS = np.array(
    [
        (165, 0, 38), (215, 48, 39), (244, 109, 67), (253, 174, 97), (254, 224, 144), (255, 255, 191),
        (224, 243, 248), (171, 217, 233), (116, 173, 209), (69, 117, 180), (49, 54, 149),
    ]
)  # fmt: skip
MAX_TICKS = 8  # of the time axis
LATE = 0.95  # of the time axis: labels beyond end at their tick
MAX_MOMENTS = 3
MOMENTS_APART = 8  # two shown moments are at least this part of the groups apart, an eighth


@dataclasses.dataclass(frozen=True)
class Moment:
    """A group of clips with a low mean quality.

    Attributes:
        group: its index.
        quality: its mean clip quality, on 1-5.
        middle: middle of its frames in seconds, or in frames if the frame rate is unknown.
        first, last: numbers of its first and last frame, counted from 0.
    """

    group: int
    quality: float
    middle: float
    first: int
    last: int


def levels_note(head: str) -> str:
    """Explain why the score is not the mean of the curve; empty for a head that predicts from other values."""
    if not head_table.reads_order(head):
        return ""
    more = " and statistics of a few frames" if head == head_table.FUSION else ""
    return (
        "The curve shows clip qualities, which the 3D-CNN predicts. The score also uses their order in time"
        f"{more}, so the levels of curve and score can differ."
    )


def standing(percentile: float) -> str:
    """Format the share of validation videos with a lower score: only 100 % is 'all', only 0 % is 'none'.

    >>> standing(100.0), standing(99.9), standing(62.4), standing(0.0)
    ('all', '99 %', '62 %', 'none')
    """
    ends = {0.0: "none", 100.0: "all"}
    return ends.get(percentile, f"{min(99, max(1, round(percentile)))} %")


def colours(quality: np.ndarray) -> np.ndarray:
    """Return the colours of qualities.

    Args:
        quality: on 1-5, any shape; values beyond the ends get the colour of the end.

    Returns:
        uint8 RGB, shape (*quality.shape, 3).
    """
    anchors = np.linspace(LOWEST, HIGHEST, len(COLOURS))
    channels = [np.interp(quality, anchors, COLOURS[:, channel]) for channel in range(3)]
    return np.stack(channels, axis=-1).round().astype(np.uint8)


def times(score: "Score") -> np.ndarray:
    """Return the middle of each group in seconds, or in frames if the frame rate is unknown; shape (num_groups,)."""
    return (np.array(score.grid.starts) + score.grid.clip_frames / 2) / (score.fps or 1.0)


def duration(score: "Score") -> float:
    """Return the length of the video in seconds, or in frames if the frame rate is unknown."""
    return score.frames / (score.fps or 1.0)


def points(shares: np.ndarray, quality: np.ndarray) -> str:
    """Return the points of a curve for SVG, in a box of 1000 x 400: 5 is at its top and 1 at its bottom.

    Args:
        shares: position of each point in time, 0-1, shape (n,).
        quality: on 1-5, shape (n,).
    """
    return " ".join(f"{1000 * x:.1f},{400 - 100 * (y - 1):.1f}" for x, y in zip(shares, quality, strict=True))


def ticks(length: float, label: Callable[[float], str]) -> list[tuple[str, str, bool]]:
    """Return the ticks of a time axis from 0 to `length`, at most MAX_TICKS, at 1, 2 or 5 times a power of ten.

    Args:
        length: of the axis.
        label: formats a position.

    Returns:
        for each tick its label, its position as a length in CSS, and whether its label has no room to the right.
    """
    steps = (factor * 10.0**power for power in range(-2, 9) for factor in (1, 2, 5))
    step = next(step for step in steps if length / step < MAX_TICKS)
    places = [number * step for number in range(int(length / step) + 1)]
    return [(label(place), percent(place / length), place > LATE * length) for place in places]


def seconds(value: float) -> str:
    """Format a time: 75.5 seconds as '1:15.5', below a minute '15.5 s'."""
    tenths = round(10 * value)
    if tenths < 600:
        return f"{tenths / 10:g} s"
    return f"{tenths // 600}:{tenths % 600 / 10:04.1f}".removesuffix(".0")


def percent(share: float) -> str:
    """Format a share as a length in CSS."""
    return f"{100 * share:.2f}%"


def moments(score: "Score") -> list[Moment]:
    """Return the moments with the lowest mean clip quality, lowest first; at most MAX_MOMENTS.

    They are at least an eighth of the groups apart and do not share a frame, so that one bad scene counts once.
    """
    starts, means, middles = score.grid.starts, score.quality_over_time, times(score)
    apart = max(1, len(starts) // MOMENTS_APART)
    found: list[int] = []
    for group in map(int, np.argsort(means, kind="stable")):
        if len(found) < MAX_MOMENTS and all(
            abs(group - other) >= apart and abs(starts[group] - starts[other]) >= score.grid.clip_frames
            for other in found
        ):
            found.append(group)
    return [
        Moment(
            group, float(means[group]), float(middles[group]), starts[group], starts[group] + score.grid.clip_frames - 1
        )
        for group in found
    ]


def worst_moment(score: "Score") -> str:
    """Describe the group with the lowest mean clip quality: '3.2 s, frames 72 to 87'; frames count from 0."""
    start = score.grid.starts[score.worst_group]
    frames = f"frames {start} to {start + score.grid.clip_frames - 1}"
    return f"{times(score)[score.worst_group]:.1f} s, {frames}" if score.fps else frames


def map_cells(score: "Score") -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the cells of the quality map, one for each position of a block.

    Returns:
        (values, row edges, column edges): mean clip quality, shape (rows, columns); edges in pixels, one more each.
    """
    # In a small frame several blocks can have the same position.
    (tops, first_rows), (lefts, first_columns) = (
        np.unique(corners, return_index=True) for corners in (score.grid.tops, score.grid.lefts)
    )
    values = score.quality_map[np.ix_(first_rows, first_columns)]
    size = score.grid.clip_size
    return values, cell_edges(tops, size, score.height), cell_edges(lefts, size, score.width)


def cell_edges(corners: np.ndarray, size: int, length: int) -> np.ndarray:
    """Return the edges of cells around the centres of blocks: halfway between neighbours, and 0 and `length`.

    Args:
        corners: int, shape (num_blocks,), first pixel of each block along one axis, ascending.
        size: of a block in pixels.
        length: of the frame in pixels.
    """
    middles = np.array(corners) + min(size, length) / 2
    return np.concatenate([[0], (middles[:-1] + middles[1:]) / 2, [length]])


def worst_frame(score: "Score", *, grey: bool = False) -> np.ndarray:
    """Decode the worst frame.

    Args:
        score: of a video with clips.
        grey: without colour, so that colours on top of it stand for quality alone.

    Returns:
        uint8 RGB, shape (height, width, 3).
    """
    frame = cv2.imdecode(np.frombuffer(score.worst_frame, np.uint8), cv2.IMREAD_COLOR)
    assert frame is not None  # the scorer encoded it
    if grey:
        return cv2.cvtColor(cv2.cvtColor(frame, cv2.COLOR_BGR2GRAY), cv2.COLOR_GRAY2RGB)
    return cv2.cvtColor(frame, cv2.COLOR_BGR2RGB)


def two_decimals(value: float) -> str:
    """Format a number with two decimals, from the value that a row has, so that page and terminal agree.

    >>> two_decimals(3.83501), f"{3.83501:.2f}"
    ('3.83', '3.84')
    """
    return f"{round(value, DECIMALS):.2f}"
