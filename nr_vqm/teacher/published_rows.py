"""Reader of published features with people's MOS: KoNViD-1k, LIVE-VQC and YouTube-UGC.

The files are those of vztu/BVQA_Benchmark and vztu/VIDEVAL (MIT). None of them is part of this project.
"""

import csv
import dataclasses
import os
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from nr_vqm.common import csv_files
from nr_vqm.dataset import label_tables
from nr_vqm.handcrafted.methods import METHODS

LEAVE_OUT = "leave_out.csv"
ANCHOR = "konvid1k"  # the teacher answers on the scale of its raters
# The methods whose published features are computed exactly for a new video: decision 0015.
PUBLISHED = ("brisque", "videval")
# And a selection of their columns, whose few frames give nearly the same averages: decision 0022.
SELECTION = "frame_statistics"
FEATURE_SETS = (*PUBLISHED, SELECTION)


@dataclasses.dataclass(frozen=True)
class _Files:
    """The published files of a database: start of their names, and the columns of names and MOS."""

    prefix: str
    name: str
    mos: str


DATABASES = {
    "konvid1k": _Files("KONVID_1K", "flickr_id", "mos"),
    "live_vqc": _Files("LIVE_VQC", "File", "MOS"),
    "youtube_ugc": _Files("YOUTUBE_UGC", "vid", "MOSFull"),
}


@dataclasses.dataclass(frozen=True)
class Distorted:
    """Distorted versions of videos without people's MOS. Every fit may use them, no test does.

    Attributes:
        features: float64 (num_videos, 77), of the feature set SELECTION; NaN where a value is not defined.
        mos: float64 (num_videos,), pseudo-labels on the anchor's scale.
    """

    features: np.ndarray
    mos: np.ndarray


@dataclasses.dataclass(frozen=True)
class Rows:
    """Videos of one or several databases.

    Attributes:
        database: str (num_videos,), a key of DATABASES for each video.
        names: str (num_videos,), of the videos in their database.
        mos: float64 (num_videos,), in the unit of each database.
        features: {feature set: float64 (num_videos, num_features)}; NaN where a value is not defined.
        distorted: videos that are fitted besides these on the feature set SELECTION; None for none.
    """

    database: np.ndarray
    names: np.ndarray
    mos: np.ndarray
    features: dict[str, np.ndarray]
    distorted: Distorted | None = None

    def take(self, chosen: np.ndarray) -> "Rows":
        """Return the chosen videos: bool (num_videos,) or row numbers."""
        features = {name: values[chosen] for name, values in self.features.items()}
        return Rows(self.database[chosen], self.names[chosen], self.mos[chosen], features, self.distorted)

    def matrix(self, feature_sets: Sequence[str]) -> np.ndarray:
        """Return the features of several sets side by side, float64 (num_videos, num_features)."""
        return np.concatenate([self.features[name] for name in feature_sets], axis=1)


def feature_names(feature_sets: Sequence[str]) -> list[str]:
    """Return the names of the columns of `Rows.matrix`, for example 'brisque.full_shape'."""
    return [f"{name}.{feature}" for name in feature_sets for feature in METHODS[name].feature_names()]


def read(folder: str | os.PathLike[str], *, leave_out: str | os.PathLike[str]) -> Rows:
    """Read the published rows of the three databases.

    Args:
        folder: the published files, *_BRISQUE_feats.mat, *_VIDEVAL_feats.mat and *_metadata.csv.
        leave_out: csv file with the columns database, row (counted from 0) and name, of the videos that no fit may use.

    Returns:
        The rows that a fit may use, without videos that lack a MOS or most of their features.

    Raises:
        FileNotFoundError: a file does not exist.
        ValueError: a file has another shape or other columns, or a row of `leave_out` is another video.
    """
    folder, excluded, parts = Path(folder), _read_leave_out(leave_out), []
    unknown = sorted(set(excluded) - set(DATABASES))
    if unknown:
        raise ValueError(f"{leave_out}: unknown database {unknown[0]!r}. Choose from: {', '.join(DATABASES)}.")
    for database in DATABASES:
        rows = _read_database(folder, database)
        usable = np.isfinite(rows.mos) & np.all([_is_measured(rows.features[name]) for name in PUBLISHED], axis=0)
        for number, name in excluded.get(database, ()):
            if not 0 <= number < len(rows.names) or rows.names[number] != name:
                raise ValueError(
                    f"{leave_out}: row {number} of {database} must be {name!r}. Give the files it was written for."
                )
            usable[number] = False
        parts.append(rows.take(usable))
    return _join(parts)


def _read_leave_out(path: str | os.PathLike[str]) -> dict[str, list[tuple[int, str]]]:
    """Read {database: [(row, name)]}."""
    if not Path(path).is_file():
        raise FileNotFoundError(
            f"A list of the rows that no fit may use is needed, there is no {path}. Give it by --leave-out; a file "
            "with the header database,row,name alone leaves out nothing."
        )
    found: dict[str, list[tuple[int, str]]] = {}
    with csv_files.reading(path) as file:
        table = csv.DictReader(file)
        if not {"database", "row", "name"} <= set(table.fieldnames or ()):
            raise ValueError(f"{path} needs the columns database, row and name. Found: {table.fieldnames}.")
        for line in table:
            if not (line["row"] or "").strip().isdecimal() or not line["name"]:
                raise ValueError(
                    f"{path}, line {table.line_num}: row must be a whole number from 0, and name a text. Found: "
                    f"row={line['row']!r}, name={line['name']!r}."
                )
            found.setdefault(line["database"], []).append((int(line["row"]), line["name"]))
    return found


def _read_database(folder: Path, database: str) -> Rows:
    files = DATABASES[database]
    names, mos = _read_metadata(folder / f"{files.prefix}_metadata.csv", files)
    features = {}
    for name in PUBLISHED:
        path = folder / f"{files.prefix}_{name.upper()}_feats.mat"
        values = label_tables.read_features(path, num_videos=len(names))
        if values.shape[1] != METHODS[name].num_features:
            raise ValueError(f"{path} needs {METHODS[name].num_features} columns, found {values.shape[1]}.")
        constant = np.nanmin(values, axis=0) == np.nanmax(values, axis=0)  # one column of LIVE-VQC is all zero
        features[name] = np.where(np.isfinite(values) & ~constant, values, np.nan)
    features[SELECTION] = _select(features)
    return Rows(np.full(len(names), database), names, mos, features)


def _read_metadata(path: Path, files: _Files) -> tuple[np.ndarray, np.ndarray]:
    """Return names, str (num_videos,), and MOS, float64 (num_videos,); NaN where a MOS is empty."""
    columns = label_tables.read_columns(path)
    if not {files.name, files.mos} <= set(columns):
        found = ", ".join(columns) or "none"
        raise ValueError(f"{path} needs the columns {files.name} and {files.mos}. Found: {found}.")
    mos = [_number(text, f"{path}, row {row}: {files.mos}") for row, text in enumerate(columns[files.mos], start=2)]
    return np.array([str(name) for name in columns[files.name]]), np.array(mos)


def _number(text: str, where: str) -> float:
    """Convert a cell to a number, an empty one to NaN."""
    try:
        return float(text or "nan")
    except ValueError as error:
        raise ValueError(f"{where} must be a number. Found: {text!r}.") from error


def _select(features: Mapping[str, np.ndarray]) -> np.ndarray:
    """Return the columns of SELECTION: it names each after its method and the feature of that method."""
    names = [f"{name}_{feature}" for name in PUBLISHED for feature in METHODS[name].feature_names()]
    columns = [names.index(name) for name in METHODS[SELECTION].feature_names()]
    return np.concatenate([features[name] for name in PUBLISHED], axis=1)[:, columns]


def _is_measured(values: np.ndarray) -> np.ndarray:
    """Return whether at least half of a video's features are defined, bool (num_videos,)."""
    return np.isfinite(values).mean(axis=1) >= 0.5


def _join(parts: Sequence[Rows]) -> Rows:
    return Rows(
        np.concatenate([part.database for part in parts]),
        np.concatenate([part.names for part in parts]),
        np.concatenate([part.mos for part in parts]),
        {name: np.concatenate([part.features[name] for part in parts]) for name in FEATURE_SETS},
    )
