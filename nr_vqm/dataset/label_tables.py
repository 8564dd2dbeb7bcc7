"""Reader of published feature matrices and label tables: .mat, .npy and .csv files.

Nothing is unpickled: .npy files with objects are refused. A variable or column is found by its usual names or by its
shape; the user must name it if several fit.
"""

import csv
import dataclasses
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from nr_vqm.dataset import manifest

MOS_NAMES = ("mos", "unbiasedmos", "score", "scores", "video_score", "mos_video", "mos_score", "dmos")
NAME_NAMES = (
    *("vidnames", "video_id", "video_name", "video_names", "video_list", "file_name", "filename", "name", "vid"),
    *("path", "video", "flickr_id"),
)


@dataclasses.dataclass(frozen=True)
class Labels:
    """The labels of a database, in file order.

    Attributes:
        mos: float64 (num_videos,), in the database's unit.
        names: one per video.
        contents: one per video; the names if the contents are not known.
    """

    mos: np.ndarray
    names: tuple[str, ...]
    contents: tuple[str, ...]

    def select(self, names: Sequence[str]) -> "Labels":
        """Return the labels of some videos, in the given order.

        Raises:
            ValueError: a name has no label.
        """
        rows, missing = manifest.find_rows(self.names, names)
        if missing:
            raise ValueError(
                f"Every video with features needs a label, {len(missing)} have none, for example {missing[0]!r}. "
                "Give the labels that the features were computed with, such as the manifest.csv of the data folder."
            )
        return Labels(self.mos[rows], tuple(names), tuple(self.contents[row] for row in rows))


def read_features(path: str | os.PathLike[str], *, key: str | None = None, num_videos: int | None = None) -> np.ndarray:
    """Read a matrix with one row per video.

    Args:
        path: .mat (up to 7.3), .npy or .csv.
        key: the variable of a .mat file; None selects the only 2-D numeric one with `num_videos` rows.
        num_videos: number of rows, one per label; None accepts any number.

    Returns:
        float64, shape (num_videos, feature_dim); NaN and infinity are kept.

    Raises:
        FileNotFoundError: there is no file.
        ValueError: no matrix fits, or several do.
    """
    arrays = read_columns(path)
    candidates = {name: _numbers(values) for name, values in arrays.items()}
    if Path(path).suffix.lower() == ".csv":
        candidates = {"table": _csv_matrix(candidates)}
    matrices = {name: values for name, values in candidates.items() if values is not None and values.ndim == 2}
    found = ", ".join(f"{name} {values.shape}" for name, values in matrices.items()) or "no 2-D numeric array"
    if key is not None:
        matrices = {name: values for name, values in matrices.items() if name == key}
    fitting = [values for values in matrices.values() if num_videos in (None, len(values)) and values.size]
    if len(fitting) != 1:
        rows = "" if num_videos is None else f" of {num_videos} rows (one for each label)"
        named = "" if key is None else f" named {key!r}"
        raise ValueError(
            f"One feature matrix{rows}{named} is needed, {path} has: {found}. "
            "Give the file that belongs to the labels, or name a variable: --features-key."
        )
    return fitting[0]


def read_labels(
    path: str | os.PathLike[str],
    *,
    mos_column: str | None = None,
    content_column: str | None = None,
    content_regex: str | None = None,
) -> Labels:
    """Read MOS, names and contents.

    Args:
        path: .csv with a header, or .mat (variables, or fields of its structures).
        mos_column: the column or variable with the MOS; None finds it by its usual names.
        content_column: the column with the content; None treats every video as a separate content.
        content_regex: matched at the start of the name; the content is its groups joined and lower-cased.

    Returns:
        The labels of all videos.

    Raises:
        FileNotFoundError: there is no file.
        ValueError: a column is missing, a MOS is not a finite number, or a name does not match.
    """
    columns = {name: values for name, values in read_columns(path).items() if values.ndim == 1}
    mos = _mos(columns, _choose(columns, mos_column, MOS_NAMES, path, "--mos-column"), path)
    columns = {name: values for name, values in columns.items() if len(values) == len(mos)}
    names = _names(columns, len(mos))
    if content_column is not None:
        column = _choose(columns, content_column, (), path, "--content-column")
        return Labels(mos, names, tuple(str(value) for value in columns[column]))
    if content_regex is not None:
        return Labels(mos, names, tuple(content_key(name, content_regex) for name in names))
    return Labels(mos, names, names)


def content_key(name: str, regex: str) -> str:
    """Extract the content from the file name of a video: the groups of a regex, joined and lower-cased.

    Raises:
        ValueError: the regex does not match, or has no group.

    >>> content_key("0723_Tree_GS5.yuv", r"([0-9]+_[A-Za-z]+)_")
    '0723_tree'
    """
    match = re.match(regex, Path(name).name)
    if not match or not match.groups():
        raise ValueError(
            f"The content regex must match every video name and have a group; {regex!r} fails for {name!r}. "
            "Change --content-regex, or use --content-column."
        )
    return "".join(group or "" for group in match.groups()).lower()


def read_columns(path: str | os.PathLike[str]) -> dict[str, np.ndarray]:
    """Read all arrays of a .csv, .mat or .npy file.

    Returns:
        {name: array}: the columns of a .csv, the variables and structure fields of a .mat file, or the array of a .npy
        file under the name of the file.

    Raises:
        FileNotFoundError: there is no file.
        ValueError: it has another suffix, or cannot be read.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"A .mat, .npy or .csv file is needed, {path} does not exist. Check the path.")
    readers = {".mat": _read_mat, ".npy": _read_npy, ".csv": _read_csv}
    if path.suffix.lower() not in readers:
        raise ValueError(f"A {', '.join(readers)} file is needed, found {path.name}. Convert it to one of these.")
    try:
        return readers[path.suffix.lower()](path)
    except Exception as error:  # scipy, h5py and numpy raise many types for damaged files
        raise ValueError(f"{path} cannot be read as {path.suffix}: {error}. Download the file again.") from error


def _read_npy(path: Path) -> dict[str, np.ndarray]:
    return {path.stem: np.load(path, allow_pickle=False)}


def _read_csv(path: Path) -> dict[str, np.ndarray]:
    with open(path, newline="", encoding="utf-8-sig") as file:
        header, *rows = list(csv.reader(file)) or [[]]
    if len(header) == 1 and ";" in header[0]:
        raise ValueError("its cells are separated by semicolons: save it with commas")
    rows = [row for row in rows if row]
    for number, row in enumerate(rows, start=2):
        if len(row) != len(header):
            raise ValueError(f"row {number} has {len(row)} cells, the header has {len(header)}")
    names = [name.strip() for name in header]
    twice = [name for name in names if names.count(name) > 1 and not _is_number(name)]
    if twice:
        raise ValueError(f"found the column {twice[0]!r} twice")
    if header and all(_is_number(cell) for cell in header):  # no header: the first row is data
        rows, header = [header, *rows], [str(number) for number in range(len(header))]
    return {name.strip(): np.array([row[i] for row in rows], dtype=object) for i, name in enumerate(header)}


def _read_mat(path: Path) -> dict[str, np.ndarray]:
    import scipy.io

    try:
        variables = scipy.io.loadmat(path)
    except NotImplementedError:  # MATLAB 7.3 files are HDF5
        return _read_mat73(path)
    table: dict[str, np.ndarray] = {}
    for name, values in variables.items():
        if not name.startswith("__"):
            table.update(_fields(name, values))
    return table


def _read_mat73(path: Path) -> dict[str, np.ndarray]:
    table: dict[str, np.ndarray] = {}
    with h5py.File(path) as file:
        for name, item in file.items():
            if isinstance(item, h5py.Dataset) and item.dtype == h5py.ref_dtype:
                table[name] = np.array(["".join(map(chr, file[ref][()].ravel())) for ref in item[()].ravel()], object)
            elif isinstance(item, h5py.Dataset) and item.dtype.kind in "fiub":
                table[name] = _flat(item[()].T)  # MATLAB stores columns first
    return table


def _fields(name: str, values: np.ndarray) -> Iterator[tuple[str, np.ndarray]]:
    """Yield (name, array) of a variable: of a structure its fields, of string cells a 1-D object array."""
    if values.dtype.names and values.size == 1:
        for field in values.dtype.names:
            yield from _fields(field, values.ravel()[0][field])
    elif values.dtype == object:
        yield name, np.array([_cell(cell) for cell in values.ravel()], dtype=object)
    elif values.dtype.kind in "US":
        yield name, np.array([str(value).strip() for value in values.ravel()], dtype=object)
    elif values.dtype.kind in "fiub":
        yield name, _flat(values)


def _cell(cell: Any) -> Any:
    """Convert a cell of a MATLAB cell array to a string or a number."""
    return _cell(cell.ravel()[0]) if isinstance(cell, np.ndarray) and cell.size == 1 else str(cell)


def _flat(values: np.ndarray) -> np.ndarray:
    """Convert a row or column vector to 1-D, because a single row or column is not a feature matrix."""
    return values.ravel() if values.ndim == 2 and 1 in values.shape else values


def _is_number(text: Any) -> bool:
    try:
        float(text)
    except (TypeError, ValueError):
        return False
    return True


def _numbers(values: np.ndarray) -> np.ndarray | None:
    """Convert values to float64, or return None if one is not a number; empty cells become NaN."""
    if values.dtype.kind in "fiub":
        return values.astype(np.float64)
    if all(_is_number(value) or value == "" for value in values.ravel()):
        return np.array([float(value) if value != "" else np.nan for value in values.ravel()]).reshape(values.shape)
    return None


def _csv_matrix(columns: Mapping[str, np.ndarray | None]) -> np.ndarray | None:
    """Stack the numeric columns of a .csv, except row numbers, names and MOS; None if there are fewer than two."""
    numeric = [
        values
        for name, values in columns.items()
        # A column without a name is the row number that pandas writes: labels are often sorted by MOS.
        if values is not None and name.lower() not in (*MOS_NAMES, *NAME_NAMES, "", "index", "unnamed: 0")
    ]
    return np.stack(numeric, axis=1) if numeric and len(numeric) > 1 else None


def _choose(
    columns: Mapping[str, np.ndarray],
    name: str | None,
    usual: Sequence[str],
    path: str | os.PathLike[str],
    option: str,
) -> str:
    """Find the column called `name`, or the first with a usual name; case does not matter."""
    wanted = usual if name is None else [name.lower()]
    by_lower = {column.lower(): column for column in columns}
    for candidate in wanted:
        if candidate in by_lower:
            return by_lower[candidate]
    what = f"A column {name!r}" if name is not None else "A column of MOS"
    raise ValueError(f"{what} is needed, {path} has: {', '.join(columns) or 'none'}. Name one of these: {option}.")


def _mos(columns: Mapping[str, np.ndarray], column: str, path: str | os.PathLike[str]) -> np.ndarray:
    mos = _numbers(columns[column])
    if mos is None or not len(mos) or not np.isfinite(mos).all():
        raise ValueError(
            f"Every MOS must be a finite number, column {column!r} of {path} has other values. Correct the file."
        )
    return mos


def _names(columns: Mapping[str, np.ndarray], num_videos: int) -> tuple[str, ...]:
    by_lower = {column.lower(): column for column in columns}
    for candidate in NAME_NAMES:
        if candidate in by_lower and len(set(columns[by_lower[candidate]])) == num_videos:
            return tuple(str(value) for value in columns[by_lower[candidate]])
    return tuple(f"row {number}" for number in range(num_videos))
