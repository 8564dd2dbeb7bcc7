"""Checks of scores and MOS before their agreement is measured."""

import numpy as np
import numpy.typing as npt

MIN_VIDEOS = 3  # two videos correlate perfectly whatever their scores are
CONSTANT_SPREAD = 1e-6  # relative; rounding errors of a float32 network are as large as this


def is_constant(values: np.ndarray) -> bool:
    """Return whether values differ by no more than float32 rounding."""
    return bool(np.ptp(values) <= CONSTANT_SPREAD * np.max(np.abs(values)))


def constant_names(**named: np.ndarray) -> list[str]:
    """Return the names of the arrays that are constant."""
    return [name for name, values in named.items() if is_constant(values)]


def check_pair(mos: npt.ArrayLike, scores: npt.ArrayLike) -> tuple[np.ndarray, np.ndarray]:
    """Return both as float64; ValueError unless they have one length of at least 3 and are finite."""
    mos, scores = np.asarray(mos, dtype=np.float64), np.asarray(scores, dtype=np.float64)
    if mos.ndim != 1 or mos.shape != scores.shape:
        raise ValueError(f"One score for each MOS is needed. Received: mos {mos.shape}, scores {scores.shape}.")
    if len(mos) < MIN_VIDEOS:
        raise ValueError(f"Agreement needs at least {MIN_VIDEOS} videos, found {len(mos)}. Use a larger test part.")
    for name, values in (("mos", mos), ("scores", scores)):
        bad = np.flatnonzero(~np.isfinite(values))
        if len(bad):
            raise ValueError(
                f"Every value of {name} must be a finite number, found {len(bad)} that are not, the first is "
                f"{values[bad[0]]} at position {bad[0]}. Remove these videos or score them again."
            )
    return mos, scores
