"""Fitted curves from scores to MOS: the 4-parameter logistic, or a straight line. Decision 0006."""

import dataclasses
import warnings
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from nr_vqm.evaluation import checks

MIN_MAPPED = 5  # a curve with four parameters fits four points perfectly
MAX_EVALUATIONS = 10_000  # decision 0006; published code has practically no limit
LINE_TOLERANCE = 1.01  # decision 0006: a logistic whose squared error exceeds a straight line's by 1 % is a failed fit


@dataclasses.dataclass(frozen=True)
class Mapping:
    """A curve from scores to MOS.

    Attributes:
        kind: 'logistic' or 'line'.
        values: (b1, b2, b3, b4) of `logistic`, or (slope, offset).
    """

    kind: str
    values: tuple[float, ...]

    def __call__(self, scores: npt.ArrayLike) -> np.ndarray:
        """Map scores, of any shape, to float64 values on the MOS scale."""
        scores = np.asarray(scores, dtype=np.float64)
        if self.kind == "line":
            return self.values[0] * scores + self.values[1]
        return logistic(scores, *self.values)


def logistic(x: np.ndarray, b1: float, b2: float, b3: float, b4: float) -> np.ndarray:
    """Evaluate the logistic b2 + (b1 - b2) / (1 + exp(-(x - b3) / |b4|)).

    Source: VQEG, the monotonic logistic with four parameters.

    >>> float(logistic(np.array(3.0), 5, 1, 3, 0.5))
    3.0
    """
    from scipy import special

    return np.asarray(b2 + (b1 - b2) * special.expit((x - b3) / np.abs(b4)))


def fit_mapping(*, mos: npt.ArrayLike, scores: npt.ArrayLike) -> Mapping:
    """Fit the 4-parameter logistic from scores to MOS; a straight line where the logistic fits worse.

    The first fit starts from the values of published code. Their slope of 0.5 suits a 1-5 scale but not 0-100, so
    further fits start from slopes in proportion to the standard deviation of the scores.

    Args:
        mos: shape (num_videos,), at least 5 videos.
        scores: the same shape.

    Returns:
        Mapping, of kind 'line' where every logistic fit failed.

    Raises:
        ValueError: the lengths differ, there are fewer than 5 videos, a value is not finite, or the MOS or the scores
            are all the same.

    Source: VQEG's logistic with the starting values of published code; the further starts are ours, decision 0006.

    >>> scores = np.linspace(0, 6, 31)
    >>> mapping = fit_mapping(mos=logistic(scores, 4.5, 1.5, 2.7, 0.8), scores=scores)
    >>> mapping.kind, [round(value, 3) for value in mapping.values]
    ('logistic', [4.5, 1.5, 2.7, 0.8])
    """
    mos, scores = checks.check_pair(mos, scores)
    if len(mos) < MIN_MAPPED:
        raise ValueError(f"The 4-parameter logistic needs at least {MIN_MAPPED} videos, found {len(mos)}: not mapped.")
    for name in checks.constant_names(mos=mos, scores=scores):
        raise ValueError(f"The {name} are all the same: nothing to fit a mapping to.")
    line = np.polyfit(scores, mos, 1)
    worst = LINE_TOLERANCE * _squared_error(mos, np.polyval(line, scores)) + 1e-12 * np.sum(mos**2)
    spread = float(np.std(scores))
    best = None
    for slope in (0.5, spread / 2, spread, -spread):
        values = fit_logistic(mos=mos, scores=scores, start=_start(mos, scores, slope))
        if values is None:
            continue
        error = _squared_error(mos, logistic(scores, *values))
        if best is None or error < best[0]:
            best = (error, values)
        if best[0] <= worst:
            return Mapping("logistic", best[1])
    return Mapping("line", tuple(float(value) for value in line))


def fit_logistic(
    *, mos: np.ndarray, scores: np.ndarray, start: Sequence[float], max_evaluations: int = MAX_EVALUATIONS
) -> tuple[float, float, float, float] | None:
    """Fit `logistic` by least squares from one starting point.

    A fit that reaches the limit of evaluations returns its current values: on nearly straight data b1 and b2 drift
    apart without end while the curve hardly changes. The caller decides whether the curve is good enough.

    Args:
        mos: float64, shape (num_videos,).
        scores: the same shape.
        start: b1, b2, b3, b4.
        max_evaluations: limit of evaluations of the curve.

    Returns:
        (b1, b2, b3, b4), or None where the curve is not finite.
    """
    from scipy import optimize

    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore", RuntimeWarning)  # "number of calls has reached maxfev"
        # SciPy 1.15 to 1.17 may read beyond the last column of the Jacobian, so that the same data give different
        # curves (scipy/scipy#23612). A fifth value that the curve does not use makes that column zeros, which are not
        # read.
        values, _ = optimize.leastsq(lambda b: logistic(scores, *b[:4]) - mos, [*start, 0.0], maxfev=max_evaluations)
        b1, b2, b3, b4 = (float(value) for value in values[:4])
        is_finite = np.isfinite(logistic(scores, b1, b2, b3, b4)).all()
    return (b1, b2, b3, b4) if is_finite else None


def _start(mos: np.ndarray, scores: np.ndarray, slope: float) -> list[float]:
    """Return the starting values of published code; a negative slope means a falling curve."""
    high, low = (mos.max(), mos.min()) if slope > 0 else (mos.min(), mos.max())
    return [high, low, scores.mean(), abs(slope)]


def _squared_error(mos: np.ndarray, fitted: np.ndarray) -> float:
    return float(np.sum((mos - fitted) ** 2))
