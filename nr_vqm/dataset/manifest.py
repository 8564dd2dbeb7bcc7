"""manifest.csv: which videos a database has, their MOS, and what prep found when it opened them."""

import csv
import dataclasses
import io
import math
import os
from pathlib import Path

import numpy as np

from nr_vqm.common import atomic_files
from nr_vqm.video import raw_video

OK = "ok"  # every other status says why the video is left out
REMOVED = "removed"  # it was prepared, and the label file does not name it any more


@dataclasses.dataclass(frozen=True)
class Video:
    """One row of the manifest. `frames` counts decoded frames once prep has decoded the video."""

    video_id: str
    path: str  # in manifest.csv relative to the database's folder, with slashes; `locate` makes it absolute
    content: str
    mos: float
    mos_low: float  # the two ends of the database's scale
    mos_high: float
    frames: int = 0
    width: int = 0
    height: int = 0
    fps: float = 0.0
    pixel_format: str = ""  # of headerless .yuv files, else empty
    status: str = ""
    reason: str = ""
    mos_ci95: float = 0.0  # half width of the MOS's 95 % interval, in its unit; 0 where the database does not give it
    fingerprint: str = (
        ""  # `atomic_files.fingerprint` of a video that prep could open: ids are unique within a database only
    )
    shard: int = -1  # number of the shard that has its clips
    file_bytes: int = 0  # size of the file when it was prepared: a file of another size is another video

    @property
    def raw(self):
        """The raw_video.RawFormat of a headerless video, else None; what `reader.read_frames` asks for."""
        if not self.pixel_format:
            return None
        return raw_video.RawFormat(self.width, self.height, self.pixel_format, self.fps)


def to_unit_5(mos, mos_low, mos_high):
    """A MOS of the database's scale on the 1-5 scale that the networks learn."""
    return 1 + 4 * (mos - mos_low) / (mos_high - mos_low)


def from_unit_5(quality, mos_low, mos_high):
    """A quality on the 1-5 scale in the database's unit; the inverse of `to_unit_5`."""
    return mos_low + (mos_high - mos_low) * (quality - 1) / 4


def to_score(output, mos_low, mos_high):
    """A head's output as a score: within the scale, in the database's unit. Comparing and scoring both use it.

    Args:
        output: float or array, on 1-5; a head may answer beyond the ends of the scale.
        mos_low, mos_high: the two ends of the database's scale, floats or arrays.

    Raises:
        ValueError: an output is not a finite number.
    """
    if not np.isfinite(output).all():
        raise ValueError("The run's models gave no finite number for a video. Train the run again.")
    return from_unit_5(np.clip(output, 1.0, 5.0), mos_low, mos_high)


def write(path, videos):
    """Write the manifest whole."""
    out = io.StringIO()
    writer = csv.DictWriter(out, [field.name for field in dataclasses.fields(Video)], lineterminator="\n")
    writer.writeheader()
    writer.writerows(dataclasses.asdict(video) for video in videos)
    atomic_files.write_text(path, out.getvalue())


def read(path):
    """The rows of a manifest, in file order.

    Raises:
        FileNotFoundError: there is none.
        ValueError: a column is missing or a cell is not a number.
    """
    atomic_files.require(path, made_by="make prep")
    with open(path, newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    return [_video(row, f"{path} line {number}") for number, row in enumerate(rows, start=2)]


def _video(row, where):
    values = {}
    for field in dataclasses.fields(Video):
        if row.get(field.name) is None and field.name == "mos_ci95":
            continue  # manifests of before it was noted
        if row.get(field.name) is None:
            raise ValueError(f"{where} has no column {field.name!r}. Make the manifest again: make prep.")
        try:
            values[field.name] = field.type(row[field.name])
        except ValueError:
            raise ValueError(
                f"{where}: {field.name} must be {field.type.__name__}, found {row[field.name]!r}."
            ) from None
    if not (math.isfinite(values["mos"]) and values["mos_low"] <= values["mos"] <= values["mos_high"]):
        raise ValueError(f"{where}: mos must be between mos_low and mos_high, found {values['mos']}.")
    return Video(**values)


def usable(data_dir: str | os.PathLike) -> list[Video]:
    """The videos of a data folder that prep found whole, in manifest order; their paths are relative, see `locate`."""
    return [video for video in read(Path(data_dir) / "manifest.csv") if video.status == OK]


def read_prep(data_dir: str | os.PathLike) -> dict:
    """What a data folder was prepared from: the settings, `labels_sha256` and `root` of its prep.json.

    Raises:
        FileNotFoundError: there is no data folder, or prep has not finished there.
    """
    data_dir = Path(data_dir)
    prep, index = (atomic_files.read_json(data_dir / name, made_by="make prep") for name in ("prep.json", "index.json"))
    if not prep.get("labels_sha256") == index.get("labels_sha256") is not None:
        raise FileNotFoundError(f"Prep has not finished in {data_dir}, or an older version wrote it. Run: make prep.")
    return prep


def find_root(data_dir: str | os.PathLike, root: str | os.PathLike | None = None) -> Path:
    """The folder that the paths of a manifest are relative to.

    Args:
        data_dir: a prepared data folder.
        root: the folder, or the csv file in it, where the videos have moved; None takes the one that prep recorded.

    Raises:
        FileNotFoundError: there is no such folder.
    """
    folder = Path(root) if root else Path(data_dir) / read_prep(data_dir)["root"]
    folder = folder.parent if folder.is_file() else folder
    if not folder.is_dir():
        raise FileNotFoundError(
            f"The videos of {data_dir} are needed, there is no folder {folder}. Name it: --root DIR."
        )
    return Path(os.path.abspath(folder))


def locate(videos: list[Video], root: Path) -> list[Video]:
    """The same videos with absolute paths; `root` as `find_root` gives it."""
    return [dataclasses.replace(one, path=str(root / one.path)) for one in videos]
