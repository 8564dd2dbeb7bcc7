"""The head of a method that needs no training, such as NIQE: its distance becomes a quality by a falling line.

The line gives the training videos the mean and the standard deviation of their MOS. It does not use which video has
which MOS, so the ranking of videos is that of the method.
"""

import dataclasses
import math
import os

import numpy as np

from nr_vqm.common import atomic_files


@dataclasses.dataclass(frozen=True)
class Line:
    """A falling line from a distance to a quality.

    Attributes:
        offset: quality at the distance 0, on the 1-5 scale; not limited to it.
        slope: change of the quality per unit of the distance, at most 0.
        fill: the distance that stands for a missing one: the mean over the training videos.
    """

    offset: float
    slope: float
    fill: float

    def predict(self, distances: np.ndarray) -> np.ndarray:
        """Return the quality of videos, float64 (num_videos,).

        Args:
            distances: shape (num_videos, 1); NaN stands for a missing one.
        """
        known = np.where(np.isnan(distances[:, 0]), self.fill, distances[:, 0])
        return self.offset + self.slope * known


def fit_line(distances: np.ndarray, mos: np.ndarray) -> Line:
    """Fit the line that gives the training videos the mean and the standard deviation of their MOS.

    Args:
        distances: float64, shape (num_videos, 1), lower is better; NaN stands for a missing one.
        mos: shape (num_videos,), on the 1-5 scale.

    Returns:
        The line; a constant where all distances are equal.

    Raises:
        ValueError: no video has a distance, or there are several features.
    """
    if distances.shape != (len(mos), 1) or np.isnan(distances).all():
        raise ValueError(
            "An untrained method needs one number per video and at least one video that has it. "
            f"Received: {distances.shape}, {np.count_nonzero(~np.isnan(distances))} known."
        )
    known = distances[~np.isnan(distances)]
    slope = -float(np.std(mos) / np.std(known)) if np.std(known) > 0 else 0.0
    centre = float(known.mean())
    return Line(float(np.mean(mos)) - slope * centre, slope, centre)


def save_line(path: str | os.PathLike[str], line: Line) -> None:
    """Save a line atomically, as JSON."""
    atomic_files.write_json(path, dataclasses.asdict(line))


def load_line(path: str | os.PathLike[str]) -> Line:
    """Load a line that `save_line` wrote.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: the file is not a saved line.
    """
    values = atomic_files.read_json(path, made_by="make compare")
    names = [field.name for field in dataclasses.fields(Line)]
    if (
        not isinstance(values, dict)
        or sorted(values) != sorted(names)
        or not all(isinstance(one, float) and math.isfinite(one) for one in values.values())
        or values["slope"] > 0
    ):
        raise ValueError(
            f"{path} must hold the finite numbers {', '.join(names)}, the slope at most 0. Make it again: make compare."
        )
    return Line(**values)
