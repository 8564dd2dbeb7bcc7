"""Reader of downloaded label files, and the matching of their rows with the videos on disk."""

import csv
import dataclasses
import fnmatch
import math
import os
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Any

import openpyxl

from nr_vqm.common import csv_files
from nr_vqm.dataset import label_tables
from nr_vqm.dataset.manifest import Video
from nr_vqm.video import raw_video, reader

MISSING = "missing"  # status of a video that is in the labels but not on disk


def find(
    root: str | os.PathLike[str], patterns: Sequence[str], *, several: bool, labels: str | os.PathLike[str] | None
) -> list[Path]:
    """Find the label files of a database, anywhere below its folder.

    Args:
        root: the folder, as downloaded.
        patterns: file names, with `*`, in order of preference; the first one with a match is used.
        several: whether the labels are in more than one file.
        labels: the label file, if it is elsewhere; None searches for it.

    Returns:
        The label files.

    Raises:
        FileNotFoundError: the folder or a label file does not exist.
        ValueError: there are several candidates for one label file.
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


def read(
    path: str | os.PathLike[str], columns: Sequence[str], *, sheet: str | None = None
) -> Iterator[tuple[str, tuple[Any, ...]]]:
    """Read columns of a .csv, .mat or .xlsx label file, row by row.

    Args:
        path: the file; a .csv may have semicolons between cells.
        columns: names, case does not matter; 'MOS|MOS full' gives alternative names of one column.
        sheet: name of the sheet of an .xlsx file.

    Yields:
        (where, values): 'FILE row N' for messages, and one str or number for each of `columns`.

    Raises:
        ValueError: the file cannot be read, or lacks a column because it is another version.
    """
    if sheet and Path(path).suffix.lower() == ".xlsx":
        table: Mapping[str, Any] = _read_sheet(path, sheet)
    else:
        table = _semicolons(path) if _has_semicolons(path) else label_tables.read_columns(path)
    by_lower = {name.strip().lower(): values for name, values in table.items()}
    found: list[Sequence[Any]] = []
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
    for number, row in enumerate(zip(*found, strict=True), start=1):
        yield f"{path} row {number}", row


def _read_sheet(path: str | os.PathLike[str], sheet: str) -> dict[str, list[Any]]:
    """Read one sheet of a workbook as {name: cells}; empty rows are skipped, empty cells are ''."""
    try:
        with open(path, "rb") as file:
            book = openpyxl.load_workbook(file, read_only=True, data_only=True)
            if sheet not in book.sheetnames:
                raise ValueError(f"its sheets are {', '.join(book.sheetnames)}")
            header, *rows = [
                cells for cells in book[sheet].iter_rows(values_only=True) if any(cell is not None for cell in cells)
            ] or [()]
    except Exception as error:  # openpyxl raises many types for damaged files
        raise ValueError(
            f"{path} cannot be read as a workbook with a sheet {sheet!r}: {error}. Download it again."
        ) from error
    columns = {str(name): i for i, name in enumerate(header) if name is not None}
    return {name: ["" if i >= len(row) or row[i] is None else row[i] for row in rows] for name, i in columns.items()}


def _has_semicolons(path: str | os.PathLike[str]) -> bool:
    if Path(path).suffix.lower() != ".csv":
        return False
    with open(path, encoding="utf-8-sig", errors="replace") as file:
        header = file.readline()
    return header.count(";") > header.count(",")


def _semicolons(path: str | os.PathLike[str]) -> dict[str, list[str]]:
    """Read a csv of Excel with semicolons and decimal commas; empty rows are skipped."""
    with csv_files.reading(path, errors="replace") as file:
        header, *rows = list(csv.reader(file, delimiter=";"))
    rows = [[cell.strip().replace(",", ".") for cell in row] for row in rows if any(row)]
    return {name: [row[i] if i < len(row) else "" for row in rows] for i, name in enumerate(header) if name}


@dataclasses.dataclass(frozen=True)
class Labelled:
    """One row of a label file.

    Attributes:
        video_id: unique within the database.
        content: what the video shows.
        mos: as in the label file.
        key: identifies the file of the video, see `match`.
        usual_path: expected path of the file, below the database's folder.
        where: 'FILE row N', for messages.
    """

    video_id: str
    content: str
    mos: float | str
    key: str
    usual_path: str
    where: str


def stem_key(pattern: str) -> Callable[[Path], str | None]:
    """Return a function that extracts the key of a video file from its name.

    Args:
        pattern: regex with one group, which must match the whole lower-cased name without its suffix.

    Returns:
        function(path) -> the text of the group, or None if the name does not match.
    """

    def key_of(path: Path) -> str | None:
        found = re.fullmatch(pattern, path.stem.lower(), re.ASCII)
        return found and found[1]

    return key_of


def name_parts(pattern: str, name: object, where: str) -> tuple[str, ...]:
    """Extract the groups of a regex from the name of a video.

    Raises:
        ValueError: the name does not have the form of names in this database.
    """
    match = re.fullmatch(pattern, str(name).strip(), re.ASCII)
    if not match:
        raise ValueError(f"{where} is of another version of the label file: {str(name)!r} is no video name of it.")
    return match.groups()


def match(
    root: str | os.PathLike[str],
    labelled: Iterable[Labelled],
    *,
    key_of: Callable[[Path], str | None],
    mos_range: tuple[float, float],
    **details: Any,
) -> list[Video]:
    """Match the rows of a label file with the videos on disk.

    Args:
        root: the database's folder.
        labelled: the rows.
        key_of: function(path) -> the key of a video file, or None for other files.
        mos_range: (low, high), the ends of the MOS scale.
        details: further columns of the manifest for raw video, its format.

    Returns:
        One unopened video per row; its status is MISSING if it has no file.

    Raises:
        ValueError: a video has two rows or two files, or a MOS is outside the range.
    """
    paths = _by_key(root, key_of)
    rows: dict[str, Labelled] = {}
    for row in labelled:
        if row.key in rows:
            other = rows[row.key].video_id
            raise ValueError(f"{row.where}: every video must have one row, {row.video_id!r} collides with {other!r}.")
        rows[row.key] = row
    return [_video(Path(root), row, paths.get(row.key), mos_range, details) for row in rows.values()]


def _by_key(root: str | os.PathLike[str], key_of: Callable[[Path], str | None]) -> dict[str | None, Path]:
    """Find the video files below `root`, as {key: path}."""
    paths: dict[str | None, Path] = {}
    for path in reader.list_videos(root):
        key = key_of(path)
        if key in paths and key is not None:
            raise ValueError(f"Every video must have one file, found two: {paths[key]} and {path}. Delete one of them.")
        paths[key] = path
    return paths


def _video(
    root: Path, row: Labelled, path: Path | None, mos_range: tuple[float, float], details: Mapping[str, Any]
) -> Video:
    one = Video(
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
    """Validate a path in a label file, relative to the database's folder; it may contain links.

    Raises:
        ValueError: it is empty, absolute or contains '..'.
    """
    path = PurePosixPath(text or "")
    if not text or path.is_absolute() or ".." in path.parts:
        raise ValueError(
            f"{where}: path must lie inside the database's folder, relative to it and without '..', found {text!r}."
        )
    return path.as_posix()


def check_mos(mos: Any, mos_range: tuple[float, float], where: str, *, hint: str) -> float:
    """Convert a MOS to float.

    Args:
        mos: a number or text.
        mos_range: (low, high), the ends of the MOS scale.
        where: 'FILE row N', for the message.
        hint: last sentence of the message for a MOS outside the range.

    Raises:
        ValueError: it is not a finite number, or outside the range.
    """
    try:
        value = float(mos)
    except (TypeError, ValueError):
        raise ValueError(f"{where}: mos must be a number, found {mos!r}.") from None
    if not (math.isfinite(value) and mos_range[0] <= value <= mos_range[1]):
        raise ValueError(f"{where}: mos must be in {mos_range[0]:g} to {mos_range[1]:g}, found {value:g}. {hint}")
    return value


def extra_files(root: str | os.PathLike[str], videos: Iterable[Video]) -> list[Path]:
    """List the video files below `root` that are not in the labels."""
    known = {one.path for one in videos}
    return [path for path in reader.list_videos(root) if path.relative_to(root).as_posix() not in known]
