"""Feature matrices and label tables as other projects publish them: .mat, .npy, .csv.

Nothing is unpickled: .npy files with objects are refused. Which variable or column holds what is found where
only one fits, and asked for where several do.
"""

import csv
import dataclasses
import re
from pathlib import Path

import numpy as np

MOS_NAMES = ("mos", "unbiasedmos", "score", "scores", "video_score", "mos_video", "mos_score", "dmos")
NAME_NAMES = ("vidnames", "video_id", "video_name", "video_names", "video_list", "file_name", "filename", "name", "vid")
NAME_NAMES += ("path", "video", "flickr_id")


@dataclasses.dataclass(frozen=True)
class Labels:
    """MOS of videos in file order, with their names and contents.

    `mos` is float64 in the database's unit; `contents` are the names where nothing else tells contents apart.
    """

    mos: np.ndarray
    names: tuple[str, ...]
    contents: tuple[str, ...]


def read_features(path, *, key=None, num_videos=None):
    """Read a matrix with one row per video.

    Args:
        path: .mat (up to 7.3), .npy or .csv.
        key: the variable of a .mat file; None finds the only 2-D numeric one with `num_videos` rows.
        num_videos: rows that the labels ask for; None takes any number.

    Returns:
        float64, shape (num_videos, feature_dim); NaN and infinity are left in, see `clean`.

    Raises:
        FileNotFoundError: no such file.
        ValueError: no matrix fits, or several do.
    """
    arrays = read_columns(path)
    matrices = {name: _numbers(values) for name, values in arrays.items()}
    if Path(path).suffix.lower() == ".csv":
        matrices = {"table": _csv_matrix(matrices)}
    matrices = {name: values for name, values in matrices.items() if values is not None and values.ndim == 2}
    found = ", ".join(f"{name} {values.shape}" for name, values in matrices.items()) or "no 2-D numeric array"
    if key is not None:
        matrices = {name: values for name, values in matrices.items() if name == key}
    fitting = [values for values in matrices.values() if num_videos in (None, len(values)) and values.size]
    if len(fitting) != 1:
        rows = "" if num_videos is None else f" of {num_videos} rows (one for each label)"
        named = "" if key is None else f" named {key!r}"
        raise ValueError(
            f"One feature matrix{rows}{named} is needed, {path} holds: {found}. "
            "Give the file that goes with the labels, or name one of these: --features-key."
        )
    return fitting[0]


def clean(features):
    """(features with NaN and infinity as 0, how many there were), as the published protocol does."""
    bad = ~np.isfinite(features)
    return np.where(bad, 0.0, features), int(np.count_nonzero(bad))


def read_labels(path, *, mos_column=None, content_column=None, content_regex=None):
    """Read MOS, names and contents.

    Args:
        path: .csv with a header, or .mat (variables, or fields of its structures).
        mos_column: the column or variable with the MOS; None finds one by its usual names.
        content_column: the column with the content; None makes every video its own content.
        content_regex: matched at the start of the name; its groups together, lower-cased, are the content.

    Returns:
        Labels.

    Raises:
        FileNotFoundError: no such file.
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


def content_key(name, regex):
    """The content that a video's file name tells: the regex's groups together, lower-cased."""
    match = re.match(regex, Path(name).name)
    if not match or not match.groups():
        raise ValueError(
            f"The content regex must match every video name and have a group, {regex!r} does not for {name!r}. "
            "Change --content-regex, or use --content-column."
        )
    return "".join(group or "" for group in match.groups()).lower()


def read_columns(path):
    """{name: array} of a file: 1-D columns of a csv, variables and structure fields of a .mat, the array of .npy."""
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"A .mat, .npy or .csv file is needed, {path} does not exist. Check the path.")
    readers = {".mat": _read_mat, ".npy": _read_npy, ".csv": _read_csv}
    if path.suffix.lower() not in readers:
        raise ValueError(f"A {', '.join(readers)} file is needed, found {path.name}. Convert it to one of these.")
    try:
        return readers[path.suffix.lower()](path)
    except Exception as error:  # scipy, h5py and numpy raise many kinds for broken files
        raise ValueError(f"{path} cannot be read as {path.suffix}: {error}. Get the file again.") from error


def _read_npy(path):
    return {path.stem: np.load(path, allow_pickle=False)}


def _read_csv(path):
    with open(path, newline="", encoding="utf-8-sig") as file:
        header, *rows = list(csv.reader(file)) or [[]]
    rows = [row for row in rows if row]
    for number, row in enumerate(rows, start=2):
        if len(row) != len(header):
            raise ValueError(f"row {number} has {len(row)} cells, the header has {len(header)}")
    names = [name.strip() for name in header]
    twice = [name for name in names if names.count(name) > 1 and not _is_number(name)]
    if twice:
        raise ValueError(f"the column {twice[0]!r} is there twice")
    if header and all(_is_number(cell) for cell in header):  # no header: the first row is data
        rows, header = [header, *rows], [str(number) for number in range(len(header))]
    return {name.strip(): np.array([row[i] for row in rows], dtype=object) for i, name in enumerate(header)}


def _read_mat(path):
    import scipy.io

    try:
        variables = scipy.io.loadmat(path)
    except NotImplementedError:  # MATLAB 7.3 files are HDF5
        return _read_mat73(path)
    table = {}
    for name, values in variables.items():
        if not name.startswith("__"):
            table.update(_fields(name, values))
    return table


def _read_mat73(path):
    import h5py

    table = {}
    with h5py.File(path) as file:
        for name, item in file.items():
            if isinstance(item, h5py.Dataset) and item.dtype == h5py.ref_dtype:
                table[name] = np.array(["".join(map(chr, file[ref][()].ravel())) for ref in item[()].ravel()], object)
            elif isinstance(item, h5py.Dataset) and item.dtype.kind in "fiub":
                table[name] = _flat(item[()].T)  # MATLAB stores columns first
    return table


def _fields(name, values):
    """A variable as {name: array}: structures as their fields, cells of strings as 1-D object arrays."""
    if values.dtype.names and values.size == 1:
        for field in values.dtype.names:
            yield from _fields(field, values.ravel()[0][field])
    elif values.dtype == object:
        yield name, np.array([_cell(cell) for cell in values.ravel()], dtype=object)
    elif values.dtype.kind in "US":
        yield name, np.array([str(value).strip() for value in values.ravel()], dtype=object)
    elif values.dtype.kind in "fiub":
        yield name, _flat(values)


def _cell(cell):
    """A cell of a MATLAB cell array as a string or number."""
    return _cell(cell.ravel()[0]) if isinstance(cell, np.ndarray) and cell.size == 1 else str(cell)


def _flat(values):
    """A row or column vector as 1-D; a single row or column of features is no feature matrix."""
    return values.ravel() if values.ndim == 2 and 1 in values.shape else values


def _is_number(text):
    try:
        float(text)
    except (TypeError, ValueError):
        return False
    return True


def _numbers(values):
    """Values as float64, or None where one is no number; empty cells are NaN."""
    if values.dtype.kind in "fiub":
        return values.astype(np.float64)
    if all(_is_number(value) or value == "" for value in values.ravel()):
        return np.array([float(value) if value != "" else np.nan for value in values.ravel()]).reshape(values.shape)
    return None


def _csv_matrix(columns):
    """All numeric columns of a csv side by side but those that number or name the video or its MOS, or None."""
    numeric = [
        values
        for name, values in columns.items()
        # A column without a name is the row number that pandas writes: labels are often sorted by MOS.
        if values is not None and name.lower() not in (*MOS_NAMES, *NAME_NAMES, "", "index", "unnamed: 0")
    ]
    return np.stack(numeric, axis=1) if numeric and len(numeric) > 1 else None


def _choose(columns, name, usual, path, option):
    """The column of that name, or the first that bears a usual one; case does not matter."""
    wanted = [name.lower()] if name is not None else usual
    by_lower = {column.lower(): column for column in columns}
    for candidate in wanted:
        if candidate in by_lower:
            return by_lower[candidate]
    what = f"A column {name!r}" if name is not None else "A column of MOS"
    raise ValueError(f"{what} is needed, {path} has: {', '.join(columns) or 'none'}. Name one of these: {option}.")


def _mos(columns, column, path):
    mos = _numbers(columns[column])
    if mos is None or not len(mos) or not np.isfinite(mos).all():
        raise ValueError(f"Every MOS must be a finite number, column {column!r} of {path} has others. Mend the file.")
    return mos


def _names(columns, num_videos):
    by_lower = {column.lower(): column for column in columns}
    for candidate in NAME_NAMES:
        if candidate in by_lower and len(set(columns[by_lower[candidate]])) == num_videos:
            return tuple(str(value) for value in columns[by_lower[candidate]])
    return tuple(f"row {number}" for number in range(num_videos))
