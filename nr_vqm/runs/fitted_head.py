"""A fitted head of a run, and the scores that it gives videos."""

import dataclasses
from collections.abc import Callable
from typing import Any

import numpy as np

from nr_vqm.dataset import mos_scale
from nr_vqm.models import head_table
from nr_vqm.runs.features import LabelledVideos


@dataclasses.dataclass(frozen=True)
class Head:
    """A fitted head.

    Attributes:
        row: its row in `head_table`.
        predict: the input named by `row.input`, float (num_videos, ...) -> quality, float (num_videos,), on the 1-5
            scale but not clipped to it.
    """

    row: head_table.HeadRow
    predict: Callable[[np.ndarray], np.ndarray]

    def outputs(self, videos: LabelledVideos) -> np.ndarray:
        """Return the quality of videos, float (num_videos,), on the 1-5 scale but not clipped to it."""
        return self.predict(getattr(videos, self.row.input))


def score_rows(head: Head, videos: LabelledVideos, *, repeat: int) -> list[dict[str, Any]]:
    """Score videos with a head.

    Args:
        head: a fitted head.
        videos: the videos to score.
        repeat: the number of the repeat.

    Returns:
        Rows of scores.csv; scores are in the unit of each video's MOS, within its scale.
    """
    scores = mos_scale.to_score(head.outputs(videos), videos.mos_low, videos.mos_high)
    return [
        {
            "repeat": repeat,
            "head": head.row.name,
            "video_id": videos.video_id[i],
            "content": videos.content[i],
            "mos": float(videos.mos[i]),
            "score": float(score),
        }
        for i, score in enumerate(scores)
    ]
