"""Label files as they are downloaded, and the videos on disk that belong to their rows."""

import csv
import dataclasses
import fnmatch
import math
import re
from pathlib import Path, PurePosixPath

from data_prep import workbook
from nr_vqm.dataset import label_tables, manifest
from nr_vqm.video import raw_video, reader

MISSING = "missing"  # the status of a video that the labels name and the folder lacks


def find(root, patterns, *, several, labels):
    """A database's label files, anywhere below its folder.

    Args:
        root: the folder, as downloaded.
        patterns: file names in order of preference, with `*`; the first one that is there counts.
        several: True where the labels are in more than one file.
        labels: the label file itself, where it lies elsewhere; None searches.

    Returns:
        list of Path.

    Raises:
        FileNotFoundError: no such folder, or no label file in it.
        ValueError: the same label file is in two places.
    """
    root = Path(root)
    if not root.is_dir():
        raise FileNotFoundError(f"The database's folder is needed, there is no folder {root}. Give it by --root.")
    if labels:
        if not Path(labels).is_file():
            raise FileNotFoundError(f"A label file is needed, there is no {labels}. Give it by --labels.")
        return [Path(labels)]
    files = sorted(path for path in root.rglob("*") if path.is_file())
    for pattern in patterns:
        found = [path for path in files if fnmatch.fnmatchcase(path.name.lower(), pattern.lower())]
        if len(found) > (len({path.name for path in found}) if several else 1):
            where = ", ".join(str(path.relative_to(root)) for path in found)
            raise ValueError(f"One {pattern} is needed, {root} has several: {where}. Name one: --labels FILE.")
        if found:
            return found
    raise FileNotFoundError(
        f"{root} is not the folder of this database: it has none of {', '.join(patterns)}. "
        "Give the folder of the download by --root, or the label file by --labels."
    )


def read(path, columns, *, sheet=None):
    """The named columns of a .csv, .mat or .xlsx label file, row by row.

    Args:
        path: the file; a .csv may have semicolons between cells.
        columns: names, case does not matter; of several for one thing, write 'MOS|MOS full'.
        sheet: of an .xlsx, which of its sheets.

    Yields:
        (where, values): 'FILE row N' for messages, and one str or number for each of `columns`.

    Raises:
        ValueError: the file cannot be read, or lacks a column: another version.
    """
    if sheet and Path(path).suffix.lower() == ".xlsx":
        table = workbook.read_columns(path, sheet)
    else:
        table = _semicolons(path) if _has_semicolons(path) else label_tables.read_columns(path)
    by_lower = {name.strip().lower(): values for name, values in table.items()}
    found = []
    for names in columns:
        values = [by_lower[name] for name in names.lower().split("|") if name in by_lower]
        if not values:
            raise ValueError(
                f"{path} is another version of the label file: a column {names.replace('|', ' or ')} is needed, found: "
                f"{', '.join(table) or 'none'}. Take the file that docs/databases.md names."
            )
        found.append(values[0])
    if len({len(values) for values in found}) > 1:
        raise ValueError(f"{path} is damaged: {', '.join(columns)} have different lengths. Download it again.")
    for number, values in enumerate(zip(*found, strict=True), start=1):
        yield f"{path} row {number}", values


def _has_semicolons(path):
    if Path(path).suffix.lower() != ".csv":
        return False
    with open(path, encoding="utf-8-sig", errors="replace") as file:
        header = file.readline()
    return header.count(";") > header.count(",")


def _semicolons(path):
    """Columns of a csv as Excel writes it where the comma is the decimal point; empty rows are left out."""
    with open(path, newline="", encoding="utf-8-sig", errors="replace") as file:
        header, *rows = list(csv.reader(file, delimiter=";"))
    rows = [[cell.strip().replace(",", ".") for cell in row] for row in rows if any(row)]
    return {name: [row[i] if i < len(row) else "" for row in rows] for i, name in enumerate(header) if name}


@dataclasses.dataclass(frozen=True)
class Labelled:
    """One row of a label file.

    `key` is what its file is found by, `usual_path` where the file should be, below the database's folder.
    """

    video_id: str
    content: str
    mos: float | str
    key: str
    usual_path: str
    where: str


def name_parts(pattern, name, where):
    """The groups of a video's name, or ValueError: the name has not the form that the database gives its videos."""
    match = re.fullmatch(pattern, str(name).strip(), re.ASCII)
    if not match:
        raise ValueError(f"{where} is of another version of the label file: {str(name)!r} names no video of it.")
    return match.groups()


def match(root, labelled, *, key_of, mos_range, **details):
    """Manifest rows of a label file's rows, each with its file or the status MISSING.

    Args:
        root: the database's folder.
        labelled: Labelled rows.
        key_of: function(path) -> the key of a video file, or None for a file of another kind.
        mos_range: (low, high), the ends of the MOS scale.
        details: what else the manifest is to say of every video: the format of raw video.

    Raises:
        ValueError: two rows or two files for one video, a MOS outside the range.
    """
    paths, rows = _by_key(root, key_of), {}
    for row in labelled:
        if row.key in rows:
            other = rows[row.key].video_id
            raise ValueError(f"{row.where}: every video must be there once, {row.video_id!r} collides with {other!r}.")
        rows[row.key] = row
    return [_video(Path(root), row, paths.get(row.key), mos_range, details) for row in rows.values()]


def _by_key(root, key_of):
    """{key: path} of the video files below `root`."""
    paths = {}
    for path in reader.list_videos(root):
        key = key_of(path)
        if key in paths and key is not None:
            raise ValueError(
                f"Every video must be there once, found twice: {paths[key]} and {path}. Delete one of them."
            )
        paths[key] = path
    return paths


def _video(root, row, path, mos_range, details):
    one = manifest.Video(
        video_id=row.video_id,
        path=path.relative_to(root).as_posix() if path else check_path(row.usual_path, row.where),
        content=row.content,
        mos=check_mos(row.mos, mos_range, row.where, hint="This is another version of the label file."),
        mos_low=float(mos_range[0]),
        mos_high=float(mos_range[1]),
    )
    if path is None:
        return dataclasses.replace(
            one, status=MISSING, reason=f"there is no file for it below {root}, usually {row.usual_path}"
        )
    return dataclasses.replace(one, **details) if raw_video.is_raw(path) else one


def check_path(text: str | None, where: str) -> str:
    """A path of a label file, relative to the database's folder; it may lead through links.

    Raises:
        ValueError: it is empty, absolute or has '..' in it.
    """
    path = PurePosixPath(text or "")
    if not text or path.is_absolute() or ".." in path.parts:
        raise ValueError(
            f"{where}: path must lie inside the database's folder, relative to it and without '..', found {text!r}."
        )
    return path.as_posix()


def check_mos(mos, mos_range, where, *, hint):
    """The MOS as float, or ValueError: no number, or outside its scale."""
    try:
        value = float(mos)
    except (TypeError, ValueError):
        raise ValueError(f"{where}: mos must be a number, found {mos!r}.") from None
    if not (math.isfinite(value) and mos_range[0] <= value <= mos_range[1]):
        raise ValueError(f"{where}: mos must be in {mos_range[0]:g} to {mos_range[1]:g}, found {value:g}. {hint}")
    return value


def extra_files(root, videos):
    """Video files below `root` that no label names."""
    known = {one.path for one in videos}
    return [path for path in reader.list_videos(root) if path.relative_to(root).as_posix() not in known]
