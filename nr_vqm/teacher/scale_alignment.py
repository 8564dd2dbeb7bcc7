"""Alignment of the MOS scales of several databases: one linear map per database, onto the scale of an anchor.

Raters of different studies use the scale differently, so equal quality has different MOS. A common linear predictor
from features to quality links the studies, as in the iterated nested least squares algorithm (Pinson & Wolf, 2003).
Decision 0018.
"""

import dataclasses

import numpy as np

RIDGE = 0.03  # mean squared error that a squared weight of 1 costs; features and MOS have variance 1. Decision 0018
MIN_SLOPE = 1e-3  # correlation below which a database counts as unrelated to the features


@dataclasses.dataclass(frozen=True)
class ScaleMap:
    """A linear map from a database's MOS to the anchor's scale: offset + gain * mos."""

    gain: float
    offset: float

    def __call__(self, mos: np.ndarray) -> np.ndarray:
        """Map MOS, of any shape, to the anchor's scale."""
        return self.offset + self.gain * mos


def align(features: np.ndarray, mos: np.ndarray, database: np.ndarray, *, anchor: str) -> dict[str, ScaleMap]:
    """Estimate the maps of all databases.

    Args:
        features: float64 (num_videos, num_features), finite.
        mos: float64 (num_videos,), each in the unit of its database; higher is better.
        database: str (num_videos,).
        anchor: the database whose scale is kept.

    Returns:
        {database: map}; the anchor's is the identity.

    Raises:
        ValueError: there is no video of the anchor, or the MOS of a database do not depend on the features.
    """
    parts = {str(name): np.flatnonzero(database == name) for name in np.unique(database)}
    if anchor not in parts:
        raise ValueError(f"Scales are aligned to {anchor}, of which there is no video.")
    predicted = features @ _common_weights(features, mos, parts)
    lines = {name: np.polyfit(predicted[rows], mos[rows], 1) for name, rows in parts.items()}
    # Of both sides of a line the MOS has the errors, so the lines of MOS over prediction are compared.
    anchor_slope, anchor_start = lines[anchor]
    maps = {}
    for name, (slope, start) in lines.items():
        if slope * predicted[parts[name]].std() < MIN_SLOPE * mos[parts[name]].std():
            raise ValueError(f"The MOS of {name} do not rise with the predicted quality. Check its rows.")
        gain = float(anchor_slope / slope)
        maps[name] = ScaleMap(gain, float(anchor_start - gain * start))
    return maps | {anchor: ScaleMap(1.0, 0.0)}


def _common_weights(features: np.ndarray, mos: np.ndarray, parts: dict[str, np.ndarray]) -> np.ndarray:
    """Fit linear weights (num_features,) that predict the MOS inside every database; each database counts the same.

    Differences between the databases' means do not enter: they may be due to the raters.
    """
    spread = features.std(axis=0)
    scale = np.where(spread > 0, spread, 1)
    rows, targets = [], []
    for part in parts.values():
        share = 1 / np.sqrt(len(parts) * len(part))
        rows.append(share * (features[part] - features[part].mean(axis=0)) / scale)
        targets.append(share * (mos[part] - mos[part].mean()) / mos[part].std())
    matrix, target = np.concatenate(rows), np.concatenate(targets)
    return np.linalg.solve(matrix.T @ matrix + RIDGE * np.eye(len(scale)), matrix.T @ target) / scale
