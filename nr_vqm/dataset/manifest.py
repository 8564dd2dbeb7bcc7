"""The manifest of a data folder (manifest.csv): the videos of a database, their MOS, and the state of each one."""

import csv
import dataclasses
import io
import math
import os
import typing
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from nr_vqm.common import atomic_files, csv_files
from nr_vqm.dataset.data_folder import DataFolder
from nr_vqm.video import raw_video

OK = "ok"  # every other status says why the video is skipped
REMOVED = "removed"  # prepared earlier, and no longer listed in the label file


@dataclasses.dataclass(frozen=True)
class Video:
    """One row of the manifest.

    Attributes:
        video_id: unique within the database.
        path: in manifest.csv relative to the database's folder, with slashes; `locate` makes it absolute.
        content: what the video shows; videos of one content stay in one part of a split.
        mos: in the database's unit.
        mos_low: the lower end of the database's MOS scale.
        mos_high: its upper end.
        frames: number of decoded frames; 0 before the video is prepared.
        width: in pixels; 0 before the video is prepared.
        height: in pixels, likewise.
        fps: frames per second, likewise.
        pixel_format: of headerless .yuv files; empty for all others.
        status: `OK`, or why the video is skipped; empty before it is prepared.
        reason: the details of the status, or what the decoder reported about a usable video.
        mos_ci95: half width of the 95 % confidence interval of the MOS, in its unit; 0 if unknown.
        fingerprint: `atomic_files.fingerprint` of the file when it was prepared. A file that has another one now is
            prepared again; other databases recognise the video by it, as ids are unique within a database only.
        shard: number of the shard with its clips, -1 if there is none.
    """

    video_id: str
    path: str
    content: str
    mos: float
    mos_low: float
    mos_high: float
    frames: int = 0
    width: int = 0
    height: int = 0
    fps: float = 0.0
    pixel_format: str = ""
    status: str = ""
    reason: str = ""
    mos_ci95: float = 0.0
    fingerprint: str = ""
    shard: int = -1

    @property
    def raw(self) -> raw_video.RawFormat | None:
        """The format of a headerless video, for `reader.read_frames`; None for all others."""
        if not self.pixel_format:
            return None
        return raw_video.RawFormat(self.width, self.height, self.pixel_format, self.fps)


COLUMN_TYPES = typing.get_type_hints(Video)


def write(path: str | os.PathLike[str], videos: Iterable[Video]) -> None:
    """Write a manifest atomically."""
    out = io.StringIO()
    writer = csv.DictWriter(out, [field.name for field in dataclasses.fields(Video)], lineterminator="\n")
    writer.writeheader()
    writer.writerows(dataclasses.asdict(video) for video in videos)
    atomic_files.write_text(path, out.getvalue())


def read(path: str | os.PathLike[str]) -> list[Video]:
    """Read all rows of a manifest, in file order.

    Raises:
        FileNotFoundError: there is no manifest.
        ValueError: the file is not a csv in UTF-8, a column is missing, or a cell is invalid.
    """
    atomic_files.require(path, made_by="make prep")
    with csv_files.reading(path) as file:
        rows = list(csv.DictReader(file))
    return [_video(row, f"{path} line {number}") for number, row in enumerate(rows, start=2)]


def _video(row: dict[str, str], where: str) -> Video:
    values: dict[str, Any] = {}
    for name, convert in COLUMN_TYPES.items():
        if row.get(name) is None:
            raise ValueError(f"{where} has no column {name!r}. Make the manifest again: make prep.")
        try:
            values[name] = convert(row[name])
        except ValueError:
            raise ValueError(f"{where}: {name} must be {convert.__name__}, found {row[name]!r}.") from None
    if not (math.isfinite(values["mos"]) and values["mos_low"] <= values["mos"] <= values["mos_high"]):
        raise ValueError(f"{where}: mos must be between mos_low and mos_high, found {values['mos']}.")
    return Video(**values)


def usable(data_dir: str | os.PathLike[str]) -> list[Video]:
    """List the usable videos of a data folder in manifest order; their paths are relative, see `locate`."""
    return [video for video in read(DataFolder(data_dir).manifest) if video.status == OK]


def read_prep(data_dir: str | os.PathLike[str]) -> dict[str, Any]:
    """Read the settings, `labels_sha256` and `root` with which a data folder was prepared (prep.json).

    Raises:
        FileNotFoundError: there is no data folder, or its preparation is not complete.
    """
    folder = DataFolder(data_dir)
    prep, index = (atomic_files.read_json(path, made_by="make prep") for path in (folder.settings, folder.index))
    if not prep.get("labels_sha256") == index.get("labels_sha256") is not None:
        raise FileNotFoundError(f"Prep has not finished in {data_dir}, or an older version wrote it. Run: make prep.")
    return prep


def find_root(data_dir: str | os.PathLike[str], root: str | os.PathLike[str] | None = None) -> Path:
    """Find the folder of the videos, to which the paths of a manifest are relative.

    Args:
        data_dir: a prepared data folder.
        root: the folder, or the csv file in it, if the videos have moved; None takes the folder recorded by prep.

    Raises:
        FileNotFoundError: the folder does not exist.
    """
    folder = Path(root) if root else Path(data_dir) / read_prep(data_dir)["root"]
    folder = folder.parent if folder.is_file() else folder
    if not folder.is_dir():
        raise FileNotFoundError(
            f"The videos of {data_dir} are needed, there is no folder {folder}. Name it: --root DIR."
        )
    return Path(os.path.abspath(folder))


def locate(videos: list[Video], root: Path) -> list[Video]:
    """Return the videos with absolute paths below `root`, the result of `find_root`."""
    return [dataclasses.replace(one, path=str(root / one.path)) for one in videos]


def find_rows(names: Iterable[str], wanted: Iterable[str]) -> tuple[list[int], list[str]]:
    """Find the rows of some videos in a table.

    Args:
        names: the video of each row, each name once.
        wanted: the videos to find.

    Returns:
        The row of each wanted video that the table has, in the order of `wanted`, and the names that it lacks.
    """
    row_of = {name: row for row, name in enumerate(names)}
    wanted = list(wanted)
    return [row_of[name] for name in wanted if name in row_of], [name for name in wanted if name not in row_of]
