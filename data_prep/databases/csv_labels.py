"""Reader of any other database: a csv file with the columns path and mos."""

import csv
import dataclasses
import math
import os
from pathlib import Path
from typing import Any

from data_prep import label_files
from nr_vqm.common import csv_files
from nr_vqm.dataset.manifest import Video
from nr_vqm.video import raw_video


def read(root: str | os.PathLike[str], *, mos_range: tuple[float, float]) -> list[Video]:
    """Read a label file with the columns path,mos[,content][,video_id][,mos_ci95].

    Raw .yuv files may also have width,height,pixel_format,fps, which are ignored for other files; --raw describes all
    raw files at once. mos_ci95, the half width of the 95 % confidence interval of a MOS, enables outlier ratios.

    Args:
        root: folder of the videos and labels.csv, or a csv file in the folder of the videos.
        mos_range: (low, high), the ends of the MOS scale.

    Returns:
        The unopened videos. A missing content is the video_id; a missing video_id is the path.

    Raises:
        FileNotFoundError: there is no csv file.
        ValueError: the file is not a csv in UTF-8, a column is missing, a MOS is outside the range, a path is outside
            the folder, or an id is not unique.
    """
    labels = label_path(root)
    if not labels.is_file():
        raise FileNotFoundError(f"A csv file with columns path,mos is needed, there is no {labels}.")
    with csv_files.reading(labels) as file:
        reader = csv.DictReader(file)
        reader.fieldnames = [name.strip() for name in reader.fieldnames or []]
        rows = list(reader)
    if not rows or not {"path", "mos"} <= set(rows[0]):
        found = ", ".join(filter(None, rows[0])) if rows else "no rows"
        hint = " The cells are separated by semicolons: save it with commas." if ";" in found else ""
        raise ValueError(f"{labels} needs columns path and mos, found: {found}.{hint}")
    videos = [_video(row, labels, mos_range, f"{labels} line {number}") for number, row in enumerate(rows, start=2)]
    for name in ("video_id", "path"):
        seen: set[str] = set()
        for value in (getattr(one, name) for one in videos):
            if value in seen:
                raise ValueError(f"{labels}: every {name} must be unique, found {value!r} twice.")
            seen.add(value)
    return videos


def label_path(root: str | os.PathLike[str]) -> Path:
    """Return the path of the label file: `root` itself if it is a file or named like one, or labels.csv in it."""
    root = Path(root)
    is_file = root.is_file() or (root.suffix.lower() == ".csv" and not root.is_dir())
    return root if is_file else root / "labels.csv"


def _video(row: dict[str | Any, str | Any], labels: Path, mos_range: tuple[float, float], where: str) -> Video:
    if None in row:
        raise ValueError(f"{where} has more cells than the header has columns: {row[None]}. Quote cells with commas.")
    for name in ("path", "video_id", "content"):
        if "\r" in (row.get(name) or ""):  # csv writers do not quote it, and readers end the row there
            raise ValueError(f"{where}: {name} must not contain a carriage return, found {row[name]!r}. Remove it.")
    path = label_files.check_path(row["path"], where)
    one = Video(
        video_id=row.get("video_id") or row["path"],
        path=path,
        content=row.get("content") or row.get("video_id") or row["path"],
        mos=label_files.check_mos(row["mos"], mos_range, where, hint="Give the scale by --mos-range."),
        mos_low=float(mos_range[0]),
        mos_high=float(mos_range[1]),
        mos_ci95=_half_width(row.get("mos_ci95"), where),
    )
    if _is_missing(labels.parent / path):
        return dataclasses.replace(one, status=label_files.MISSING, reason=f"there is no file {labels.parent / path}")
    if not row.get("pixel_format") or not raw_video.is_raw(path):
        return one
    try:
        raw = raw_video.parse("{width}x{height}:{pixel_format}:{fps}".format_map(row))
    except (KeyError, ValueError) as error:
        raise ValueError(f"{where}: pixel_format needs width, height and fps too: {error}") from error
    return with_raw(one, raw)


def _is_missing(path: Path) -> bool:
    """Return whether a video does not exist; the reason why one cannot be opened is recorded when it is prepared."""
    try:
        return not path.is_file()
    except OSError:
        return False


def _half_width(text: str | None, where: str) -> float:
    """Convert the half width of a 95 % confidence interval; 0 if the cell or the column is missing."""
    try:
        value = float(text or 0)
    except ValueError:
        value = -1.0
    if not 0 <= value < math.inf:
        raise ValueError(f"{where}: mos_ci95 must be a half width in the unit of the MOS, found {text!r}.")
    return value


def with_raw(one: Video, raw: raw_video.RawFormat) -> Video:
    """Return the row of a raw video with its format."""
    return dataclasses.replace(one, **dataclasses.asdict(raw))
