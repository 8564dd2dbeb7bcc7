"""The teacher: scores a video from its hand-crafted features, with an interval; and its file, teacher.h5."""

import dataclasses
import json
import os
from typing import Any

import h5py
import numpy as np

from nr_vqm.common import atomic_files, hdf5_files
from nr_vqm.evaluation.prediction_intervals import PredictionIntervals
from nr_vqm.handcrafted.methods import METHODS
from nr_vqm.teacher import published_rows
from nr_vqm.teacher.regression import Regression, Scaling, SupportVectors, Trees
from nr_vqm.video.raw_video import RawFormat

SCHEMA = 1
MADE_BY = "python -m experiments.train_teacher"
MAX_VALUES = 20_000_000  # of one array of the file; 4,000 support vectors of 96 features are 384,000
MOS_LOW, MOS_HIGH = 1.0, 5.0
# The interval at a score comes from the validation videos nearest to it: decision 0012.
INTERVALS: dict[str, Any] = {"neighbours": 0.2, "min_neighbours": 15, "floor": 0.1}


@dataclasses.dataclass(frozen=True)
class TeacherScore:
    """The teacher's estimate of people's MOS.

    Attributes:
        mos: 1-5.
        low, high: ends of the 95 % prediction interval, 1-5.
    """

    mos: float
    low: float
    high: float


@dataclasses.dataclass(frozen=True)
class Teacher:
    """A fitted teacher.

    Attributes:
        feature_sets: keys of METHODS, in the order of the regression's columns.
        regression: features -> MOS on 1-5.
        validation_scores, validation_mos: float64 (num_videos,), of videos in nested cross-validation.
        facts: how it was fitted, JSON values.
    """

    feature_sets: tuple[str, ...]
    regression: Regression
    validation_scores: np.ndarray
    validation_mos: np.ndarray
    facts: dict[str, Any]

    def measure(self, path: str | os.PathLike[str], *, raw: RawFormat | str | None = None) -> np.ndarray:
        """Compute the features of a video.

        Args:
            path: the video file.
            raw: format of a headerless .yuv file; None for all other files.

        Returns:
            float64, shape (num_features,); NaN where a value is not defined, as of colour in a grey video.

        Raises:
            FileNotFoundError: the file does not exist.
            ValueError: the video cannot be decoded, declares no frame rate, is too short or has no texture.
        """
        return np.concatenate([METHODS[name].compute(path, raw=raw) for name in self.feature_sets])

    def predict(self, features: np.ndarray) -> float:
        """Predict the MOS, 1-5, from the features of `measure`."""
        return float(np.clip(self.regression.predict(features)[0], MOS_LOW, MOS_HIGH))

    def score(self, path: str | os.PathLike[str], *, raw: RawFormat | str | None = None) -> TeacherScore:
        """Score a video. Arguments and exceptions as of `measure`."""
        mos = self.predict(self.measure(path, raw=raw))
        low, high = self.intervals().interval(mos) or (MOS_LOW, MOS_HIGH)
        return TeacherScore(mos, low, high)

    def intervals(self) -> PredictionIntervals:
        """Return the prediction intervals, from the errors on the validation videos."""
        return PredictionIntervals(self.validation_scores, self.validation_mos, **INTERVALS)


def save(path: str | os.PathLike[str], teacher: Teacher) -> None:
    """Write a teacher atomically, as HDF5: arrays and one JSON text."""
    facts = {"feature_sets": teacher.feature_sets, **teacher.facts}
    parts = {"scaling": teacher.regression.scaling, "svr": teacher.regression.svr, "trees": teacher.regression.trees}
    with hdf5_files.writing(path) as file:
        file.attrs["schema"] = SCHEMA
        file.attrs["facts"] = json.dumps(facts, allow_nan=False)
        file["validation/scores"], file["validation/mos"] = teacher.validation_scores, teacher.validation_mos
        for name, part in parts.items():
            for field in dataclasses.fields(part) if part else ():
                values = getattr(part, field.name)
                options = {"compression": "gzip", "shuffle": True} if np.ndim(values) else {}
                file.create_dataset(f"{name}/{field.name}", data=values, **options)


def load(path: str | os.PathLike[str]) -> Teacher:
    """Load a teacher.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: the file is not a teacher, or its arrays do not fit together.
    """
    atomic_files.require(path, made_by=MADE_BY)
    try:
        with hdf5_files.reading(path) as file:
            if file.attrs.get("schema") != SCHEMA:
                raise ValueError(f"its schema is {file.attrs.get('schema')!r}, {SCHEMA} is needed")
            facts = json.loads(file.attrs["facts"])
            teacher = Teacher(
                tuple(facts.pop("feature_sets")),
                Regression(Scaling(**_read(file, "scaling")), _optional(file, "svr"), _optional(file, "trees")),
                file["validation/scores"][()],
                file["validation/mos"][()],
                facts,
            )
        _check(teacher)
    except (OSError, KeyError, TypeError, AttributeError, ValueError) as error:  # h5py raises many types
        raise ValueError(f"{path} is not a usable teacher: {error}. Make it again: {MADE_BY}.") from error
    return teacher


def _read(file: h5py.File, group: str) -> dict[str, np.ndarray]:
    """Read the arrays of a group, after a check of their sizes."""
    for name, dataset in file[group].items():
        if dataset.size > MAX_VALUES or dataset.dtype.kind not in "fi":
            raise ValueError(f"{group}/{name} has {dataset.size} values of type {dataset.dtype}")
    return {name: dataset[()] for name, dataset in file[group].items()}


def _optional(file: h5py.File, group: str) -> Any:
    """Read the SVR or the trees; None where the regression has none."""
    if group not in file:
        return None
    return {"svr": SupportVectors, "trees": Trees}[group](**_read(file, group))


def _check(teacher: Teacher) -> None:
    """Raise ValueError where arrays do not fit together."""
    width = len(published_rows.feature_names(teacher.feature_sets))
    scaling, svr, trees = teacher.regression.scaling, teacher.regression.svr, teacher.regression.trees
    shapes: list[tuple[str, np.ndarray, tuple[int, ...]]] = [
        (name, getattr(scaling, name), (width,)) for name in ("fill", "low", "high")
    ]
    if svr is not None:
        shapes += [("vectors", svr.vectors, (len(svr.weights), width)), ("weights", svr.weights, svr.weights.shape[:1])]
        shapes += [("intercept", svr.intercept, ()), ("gamma", svr.gamma, ())]
    if trees is not None:
        names = ("feature", "threshold", "left", "right", "value")
        shapes += [(name, getattr(trees, name), trees.feature.shape[:2]) for name in names]
        shapes += [("start", trees.start, ()), ("depth", trees.depth, ())]
        _check_trees(trees, width)
    shapes.append(("validation/mos", teacher.validation_mos, teacher.validation_scores.shape[:1]))
    for name, values, shape in shapes:
        if np.shape(values) != shape or not np.isfinite(values).all():
            raise ValueError(f"{name} must be finite, of shape {shape}, found {np.shape(values)}")
    if svr is None and trees is None:
        raise ValueError("it has neither an SVR nor trees")
    if not (scaling.high > scaling.low).all():
        raise ValueError("a feature has no range")


def _check_trees(trees: Trees, width: int) -> None:
    nodes = trees.feature.shape[1]
    for name, limit in (("feature", width), ("left", nodes), ("right", nodes)):
        values = getattr(trees, name)
        if values.dtype.kind != "i" or values.min() < 0 or values.max() >= limit:
            raise ValueError(f"{name} must be integers from 0 to {limit - 1}")
    if not 0 <= trees.depth <= nodes:
        raise ValueError(f"depth must be 0 to {nodes}, found {trees.depth}")
