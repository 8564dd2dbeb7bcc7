"""Agreement of scores with MOS: SROCC, KROCC, PLCC and RMSE, before and after a fitted logistic.

Figures of mapped scores have names of their own: `plcc_mapped`, `rmse_mapped`, and `*_mapped_train` for a curve that
was fitted on training videos. A figure that the data do not define is None. Decision 0006.
"""

import dataclasses
import warnings
from collections.abc import Iterator, Sequence

import numpy as np
import numpy.typing as npt

MIN_VIDEOS = 3  # two videos correlate perfectly whatever their scores are
MIN_MAPPED = 5  # a curve with four parameters fits four points perfectly
MAX_EVALUATIONS = 10_000  # decision 0006; published code has practically no limit
LINE_TOLERANCE = 1.01  # decision 0006: a logistic whose squared error exceeds a straight line's by 1 % is a failed fit
CONSTANT_SPREAD = 1e-6  # relative; rounding errors of a float32 network are as large as this

RAW = ("srocc", "krocc", "plcc", "rmse")
MAPPED = ("plcc_mapped", "rmse_mapped")
TRAIN_MAPPED = ("plcc_mapped_train", "rmse_mapped_train")
OUTLIERS = ("outlier_ratio", "outlier_ratio_mapped")
FIGURES = (*RAW, *MAPPED, *TRAIN_MAPPED, *OUTLIERS)


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


@dataclasses.dataclass(frozen=True)
class Agreement:
    """Agreement of scores with MOS; a figure is None where it is undefined or was not asked for.

    Attributes:
        num_videos: number of videos.
        srocc, krocc, plcc: correlations, -1 to 1; KROCC is Kendall's tau-b.
        rmse: in the unit of the MOS, as are all `rmse_*`.
        plcc_mapped, rmse_mapped: after a curve that was fitted on the same scores. This is the usual practice, but
            the curve has seen the test MOS.
        plcc_mapped_train, rmse_mapped_train: after a curve that was fitted on training videos.
        outlier_ratio: share of scores outside the 95 % interval of their MOS, 0 to 1.
        outlier_ratio_mapped: the same after the curve of `plcc_mapped`.
        mapping: the curve of the `*_mapped` figures.
        notes: sentences that explain missing or misleading figures.
    """

    num_videos: int
    srocc: float | None
    krocc: float | None
    plcc: float | None
    rmse: float | None
    plcc_mapped: float | None = None
    rmse_mapped: float | None = None
    plcc_mapped_train: float | None = None
    rmse_mapped_train: float | None = None
    outlier_ratio: float | None = None
    outlier_ratio_mapped: float | None = None
    mapping: Mapping | None = None
    notes: tuple[str, ...] = ()


def agreement(
    *,
    mos: npt.ArrayLike,
    scores: npt.ArrayLike,
    train_mapping: Mapping | None = None,
    mos_ci95: npt.ArrayLike | None = None,
) -> Agreement:
    """Measure how well the scores of videos agree with their MOS.

    Args:
        mos: shape (num_videos,), at least 3 videos, in any unit.
        scores: the same shape and unit.
        train_mapping: a curve that `fit_mapping` fitted on training videos, for the `*_mapped_train` figures.
        mos_ci95: half widths of the MOS's 95 % confidence intervals, same shape, for the outlier ratios.

    Returns:
        Agreement, with Python floats that JSON can store.

    Raises:
        ValueError: the lengths differ, there are fewer than 3 videos, or a value is not finite.

    >>> found = agreement(mos=[1, 2, 3, 4], scores=[1, 2, 4, 3])
    >>> round(found.srocc, 3), round(found.krocc, 3), round(found.plcc, 3), round(found.rmse, 3)
    (0.8, 0.667, 0.8, 0.707)
    >>> found.notes
    ('The 4-parameter logistic needs at least 5 videos, found 4: not mapped.',)
    """
    mos, scores = _check_pair(mos, scores)
    ci95 = None if mos_ci95 is None else _check_ci95(mos_ci95, mos)
    notes = [f"The {name} are all the same: no correlation." for name in _constant(mos=mos, scores=scores)]
    mapping = None
    try:
        mapping = fit_mapping(mos=mos, scores=scores)
        notes += _mapping_notes(mapping)
    except ValueError as error:
        notes.append(str(error))
    if train_mapping is not None:
        notes += [f"Training videos: {note}" for note in _mapping_notes(train_mapping)]
    found = figures(mos=mos, scores=scores, mapping=mapping, train_mapping=train_mapping, mos_ci95=ci95)
    return Agreement(num_videos=len(mos), mapping=mapping, notes=tuple(notes), **found)


def figures(
    *,
    mos: np.ndarray,
    scores: np.ndarray,
    mapping: Mapping | None,
    train_mapping: Mapping | None,
    mos_ci95: np.ndarray | None,
) -> dict[str, float | None]:
    """Compute every figure of FIGURES from validated arrays.

    Args:
        mos: float64, shape (num_videos,).
        scores: the same shape.
        mapping: the curve of the `*_mapped` figures; None leaves them None.
        train_mapping: the curve of the `*_mapped_train` figures; None leaves them None.
        mos_ci95: half widths, same shape; None leaves the outlier ratios None.
    """
    found = dict.fromkeys(FIGURES) | correlations(mos=mos, scores=scores) | {"rmse": rmse(mos, scores)}
    for curve, names in ((mapping, MAPPED), (train_mapping, TRAIN_MAPPED)):
        if curve:
            mapped = curve(scores)
            is_flat = is_constant(mapped) or is_constant(mos)
            found |= zip(names, (None if is_flat else _pearson(mos, mapped), rmse(mos, mapped)), strict=True)
    if mos_ci95 is not None:
        found["outlier_ratio"] = _outlier_ratio(mos, scores, mos_ci95)
        if mapping:
            found["outlier_ratio_mapped"] = _outlier_ratio(mos, mapping(scores), mos_ci95)
    return found


def correlations(*, mos: np.ndarray, scores: np.ndarray) -> dict[str, float | None]:
    """Compute SROCC, KROCC (tau-b) and PLCC.

    Args:
        mos: shape (num_videos,).
        scores: the same shape.

    Returns:
        {'srocc', 'krocc', 'plcc'}, None where undefined: fewer than 3 videos, constant values, or scores that are not
        finite.
    """
    from scipy import stats

    if len(mos) < MIN_VIDEOS or is_constant(mos) or is_constant(scores) or not np.isfinite(scores).all():
        return dict.fromkeys(("srocc", "krocc", "plcc"))
    return {
        "srocc": _pearson(stats.rankdata(mos), stats.rankdata(scores)),
        # "asymptotic" is the cheapest way to the p value, which is not used.
        "krocc": float(stats.kendalltau(mos, scores, variant="b", method="asymptotic").statistic),
        "plcc": _pearson(mos, scores),
    }


def rmse(mos: npt.ArrayLike, scores: npt.ArrayLike) -> float:
    """Compute the root mean squared error, divided by the number of videos.

    >>> rmse([1, 2, 3, 4], [1, 2, 3, 6])
    1.0
    """
    return float(np.sqrt(np.mean((np.asarray(mos) - np.asarray(scores)) ** 2)))


def outlier_ratio(*, mos: npt.ArrayLike, scores: npt.ArrayLike, mos_ci95: npt.ArrayLike) -> float:
    """Compute the share of videos whose score lies outside the 95 % confidence interval of their MOS.

    Args:
        mos: shape (num_videos,).
        scores: the same shape.
        mos_ci95: half widths of the intervals, same shape: 1.96 standard errors for more than 30 raters.

    Raises:
        ValueError: the lengths differ, there are fewer than 3 videos, a value is not finite or a width is negative.

    Source: ITU-T P.1401, outlier ratio.

    >>> outlier_ratio(mos=[1, 2, 3, 4], scores=[1.1, 2.5, 3, 4], mos_ci95=[0.2, 0.2, 0.2, 0.2])
    0.25
    """
    mos, scores = _check_pair(mos, scores)
    return _outlier_ratio(mos, scores, _check_ci95(mos_ci95, mos))


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
    mos, scores = _check_pair(mos, scores)
    if len(mos) < MIN_MAPPED:
        raise ValueError(f"The 4-parameter logistic needs at least {MIN_MAPPED} videos, found {len(mos)}: not mapped.")
    for name in _constant(mos=mos, scores=scores):
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
        values, _ = optimize.leastsq(lambda b: logistic(scores, *b) - mos, start, maxfev=max_evaluations)
        b1, b2, b3, b4 = (float(value) for value in values)
        is_finite = np.isfinite(logistic(scores, b1, b2, b3, b4)).all()
    return (b1, b2, b3, b4) if is_finite else None


def is_constant(values: np.ndarray) -> bool:
    """Return whether values differ by no more than float32 rounding."""
    return bool(np.ptp(values) <= CONSTANT_SPREAD * np.max(np.abs(values)))


def _check_pair(mos: npt.ArrayLike, scores: npt.ArrayLike) -> tuple[np.ndarray, np.ndarray]:
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


def _check_ci95(mos_ci95: npt.ArrayLike, mos: np.ndarray) -> np.ndarray:
    """Return the half widths as float64; ValueError unless there is one for each MOS, finite and not negative."""
    ci95 = np.asarray(mos_ci95, dtype=np.float64)
    if ci95.shape != mos.shape or not np.isfinite(ci95).all() or (ci95 < 0).any():
        raise ValueError(
            f"The outlier ratio needs {len(mos)} half widths of 95 % intervals, finite and not negative. "
            f"Received: shape {ci95.shape}. Omit mos_ci95 if the database does not provide them."
        )
    return ci95


def _constant(**named: np.ndarray) -> list[str]:
    """Return the names of constant arrays."""
    return [name for name, values in named.items() if is_constant(values)]


def _outlier_ratio(mos: np.ndarray, scores: np.ndarray, mos_ci95: np.ndarray) -> float:
    return float(np.mean(np.abs(mos - scores) > mos_ci95))


def _pearson(first: np.ndarray, second: np.ndarray) -> float:
    """Compute the linear correlation of two arrays that are not constant."""
    first, second = first - np.mean(first), second - np.mean(second)
    together = np.dot(first, second) / np.sqrt(np.dot(first, first) * np.dot(second, second))
    return float(np.clip(together, -1, 1))


def _mapping_notes(mapping: Mapping) -> Iterator[str]:
    if mapping.kind == "line":
        yield "No logistic fits better than a straight line: the mapped figures are those of the line."
    low, high = mapping([-1e-3, 1e-3]) if mapping.kind == "line" else (mapping.values[1], mapping.values[0])
    if high < low:
        yield "The fitted curve falls: the scores run against the MOS, and plcc_mapped hides it."


def _start(mos: np.ndarray, scores: np.ndarray, slope: float) -> list[float]:
    """Return the starting values of published code; a negative slope means a falling curve."""
    high, low = (mos.max(), mos.min()) if slope > 0 else (mos.min(), mos.max())
    return [high, low, scores.mean(), abs(slope)]


def _squared_error(mos: np.ndarray, fitted: np.ndarray) -> float:
    return float(np.sum((mos - fitted) ** 2))
