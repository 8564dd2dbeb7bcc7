"""Hand-crafted features of the videos of a run with their labels: the input of the heads on hand-crafted features."""

import dataclasses
from collections.abc import Mapping
from typing import Any

import numpy as np

from nr_vqm.runs.features import LabelledVideos
from nr_vqm.runs.rival_features import RivalFeatures


@dataclasses.dataclass(frozen=True)
class RivalInputs(LabelledVideos):
    """Hand-crafted features of some videos, and their labels.

    Attributes:
        rival: float64 (num_videos, num_features); NaN stands for a missing feature.
        reason: object array of str (num_videos,): why a video has no features; empty if it has.
        seconds: float64 (num_videos,), CPU seconds of the computation, without decoding.
    """

    rival: np.ndarray
    reason: np.ndarray
    seconds: np.ndarray


def attach(videos: LabelledVideos, found: RivalFeatures) -> RivalInputs:
    """Combine the labels of videos with their hand-crafted features.

    Raises:
        ValueError: a video has no row of features.
    """
    names = [field.name for field in dataclasses.fields(LabelledVideos)]
    found = found.select(videos.video_id)
    return RivalInputs(
        **{name: getattr(videos, name) for name in names},
        rival=as_missing(found.features),
        reason=found.reason,
        seconds=found.seconds,
    )


def as_missing(features: np.ndarray) -> np.ndarray:
    """Return features with NaN in place of infinity, so that NaN stands for every missing feature."""
    return np.where(np.isfinite(features), features, np.nan)


def describe(parts: Mapping[str, RivalInputs]) -> dict[str, Any]:
    """Describe the features of one method for run.json.

    Args:
        parts: {part of the split: its videos}.

    Returns:
        num_features; seconds_per_video, the mean CPU seconds of the videos that have features, None without such a
        video; and filled, {part: number of videos with a missing feature}.
    """
    seconds = np.concatenate([videos.seconds[videos.reason == ""] for videos in parts.values()])
    return {
        "num_features": next(iter(parts.values())).rival.shape[1],
        "seconds_per_video": round(float(seconds.mean()), 3) if len(seconds) else None,
        "filled": {part: int(np.isnan(videos.rival).any(axis=1).sum()) for part, videos in parts.items()},
    }
