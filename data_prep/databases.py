"""One function per database: its label files -> manifest rows, unopened."""

import csv
import math
from pathlib import Path

from nr_vqm import manifest


def read_csv(root, *, mos_range):
    """Any database: <root>/labels.csv, or `root` itself a csv file, with columns path,mos[,content][,video_id].

    Args:
        root: folder of the videos and labels.csv, or a csv file whose folder holds the videos.
        mos_range: (low, high), the ends of the MOS scale.

    Returns:
        list of manifest.Video. Without content every video is its own; without video_id it is the path.

    Raises:
        FileNotFoundError: no csv file.
        ValueError: a missing column, a MOS outside the range, a path outside the folder, two equal ids.
    """
    root = Path(root)
    labels = root if root.is_file() else root / "labels.csv"
    if not labels.is_file():
        raise FileNotFoundError(f"A csv file with columns path,mos is needed, there is no {labels}.")
    with open(labels, newline="", encoding="utf-8-sig") as file:
        rows = list(csv.DictReader(file))
    if not rows or not {"path", "mos"} <= set(rows[0]):
        found = ", ".join(rows[0]) if rows else "no rows"
        raise ValueError(f"{labels} needs columns path and mos, found: {found}.")
    videos = [
        make_video(
            labels.parent,
            row["path"],
            video_id=row.get("video_id") or row["path"],
            content=row.get("content") or row.get("video_id") or row["path"],
            mos=row["mos"],
            mos_range=mos_range,
            where=f"{labels} line {number}",
        )
        for number, row in enumerate(rows, start=2)
    ]
    refuse_duplicates(videos, labels)
    return videos


def make_video(folder, path, *, video_id, content, mos, mos_range, where):
    """One checked manifest row: the path stays inside `folder`, the MOS inside its range."""
    folder, (low, high) = Path(folder).resolve(), mos_range
    full = (folder / path).resolve()
    if not path or not full.is_relative_to(folder):
        raise ValueError(f"{where}: path must lie inside {folder}, found {path!r}.")
    try:
        value = float(mos)
    except (TypeError, ValueError):
        raise ValueError(f"{where}: mos must be a number, found {mos!r}.") from None
    if not (math.isfinite(value) and low <= value <= high):
        raise ValueError(
            f"{where}: mos must be in {low:g} to {high:g}, found {value:g}. Give the scale by --mos-range."
        )
    return manifest.Video(
        video_id=video_id, path=str(full), content=content, mos=value, mos_low=float(low), mos_high=float(high)
    )


def refuse_duplicates(videos, labels):
    """Raise ValueError where two rows have the same id or the same file."""
    for name in ("video_id", "path"):
        seen = set()
        for video in videos:
            value = getattr(video, name)
            if value in seen:
                raise ValueError(f"{labels}: every {name} must be there once, found twice: {value!r}.")
            seen.add(value)
