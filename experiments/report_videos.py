"""Videos that a report shows: those with the largest and the smallest error, with thumbnails."""

import base64
import itertools
import os
from collections.abc import Sequence
from typing import Any

import cv2

from nr_vqm.dataset import manifest
from nr_vqm.evaluation import comparison
from nr_vqm.video import reader

NUM_EXTREMES = 6  # videos of either group
THUMBNAIL_WIDTH = 240  # pixels


def extremes(
    rows: Sequence[comparison.ScoreRow], head: str, data_dir: str | os.PathLike[str] | None
) -> dict[str, list[dict[str, Any]]]:
    """Find the videos with the largest and smallest error of one head.

    Args:
        rows: the rows of scores.csv.
        head: name of the head; its scores are averaged over repeats.
        data_dir: the data folder, for thumbnails; None or a missing folder omits them.

    Returns:
        {'worst', 'best'}: up to 6 videos each, as {video_id, content, mos, score, thumbnail}; the thumbnail is a JPEG
        data URI or None.
    """
    by_video: dict[str, list[comparison.ScoreRow]] = {}
    for row in rows:
        if row["head"] == head:
            by_video.setdefault(row["video_id"], []).append(row)
    videos = [_mean_video(group) for group in by_video.values()]
    videos.sort(key=lambda video: -abs(video["score"] - video["mos"]))
    num = min(NUM_EXTREMES, len(videos) // 2)
    shown = {"worst": videos[:num], "best": videos[::-1][:num]}
    located = _locate(data_dir)
    for video in itertools.chain(*shown.values()):
        one = located.get(video["video_id"])
        video["thumbnail"] = _thumbnail(one) if one else None
    return shown


def _mean_video(rows: Sequence[comparison.ScoreRow]) -> dict[str, Any]:
    """Return a video with its mean score over repeats."""
    score = sum(row["score"] for row in rows) / len(rows)
    return {"video_id": rows[0]["video_id"], "content": rows[0]["content"], "mos": rows[0]["mos"], "score": score}


def _locate(data_dir: str | os.PathLike[str] | None) -> dict[str, manifest.Video]:
    """Return {video_id: video with its full path}; empty where the data folder cannot be read."""
    try:
        videos = manifest.locate(manifest.usable(data_dir or ""), manifest.find_root(data_dir or ""))
    except (OSError, ValueError):  # the report is complete without thumbnails
        return {}
    return {video.video_id: video for video in videos}


def _thumbnail(video: manifest.Video) -> str | None:
    """Return the middle frame as a small JPEG data URI, or None where it cannot be read."""
    try:
        frames = reader.read_frames(video.path, video.raw)
        frame = next(itertools.islice(frames, video.frames // 2, None), None)
    except (OSError, ValueError, cv2.error):  # the report is complete without this thumbnail
        return None
    if frame is None:
        return None
    size = (THUMBNAIL_WIDTH, max(1, round(THUMBNAIL_WIDTH * frame.shape[0] / frame.shape[1])))
    small = cv2.resize(frame, size, interpolation=cv2.INTER_AREA)
    _, jpeg = cv2.imencode(".jpg", small[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 80])
    return "data:image/jpeg;base64," + base64.b64encode(jpeg.tobytes()).decode()
