"""How well scores agree with MOS: SROCC, KROCC, PLCC, RMSE, raw and after the fitted logistic.

Mapped figures have names of their own, `plcc_mapped` and `rmse_mapped`. A figure that the data cannot
give is None, with the reason among the notes; wrong input raises ValueError. Decision 0006.
"""

import dataclasses
import warnings

import numpy as np
import numpy.typing as npt
from scipy import optimize, special, stats

MIN_VIDEOS = 3  # two videos correlate perfectly whatever their scores are
MIN_MAPPED = 5  # a curve with four parameters passes through four points: a perfect fit that says nothing
MAX_EVALUATIONS = 10_000  # decision 0006; the field's code has hardly a limit
LINE_TOLERANCE = 1.01  # decision 0006: a logistic this much worse than a straight line is a failed fit
CONSTANT_SPREAD = 1e-6  # relative; the rounding of a float32 network makes this much of nothing

RAW = ("srocc", "krocc", "plcc", "rmse")
MAPPED = ("plcc_mapped", "rmse_mapped")
TRAIN_MAPPED = ("plcc_mapped_train", "rmse_mapped_train")
OUTLIERS = ("outlier_ratio", "outlier_ratio_mapped")


@dataclasses.dataclass(frozen=True)
class Mapping:
    """A curve from scores to MOS: kind 'logistic' with (b1, b2, b3, b4), or 'line' with (slope, offset)."""

    kind: str
    values: tuple[float, ...]

    def __call__(self, scores):
        """Map scores to the MOS scale; any shape, float64."""
        scores = np.asarray(scores, dtype=np.float64)
        if self.kind == "line":
            return self.values[0] * scores + self.values[1]
        return logistic(scores, *self.values)


@dataclasses.dataclass(frozen=True)
class Agreement:
    """Agreement of scores with MOS. Errors are in the unit of the MOS; None where `notes` says why.

    `*_mapped`: the curve was fitted on these very scores, as the field reports it, so it sees the test MOS.
    `*_mapped_train`: the curve was fitted elsewhere and handed in. `outlier_ratio`: needs the MOS's intervals.
    """

    num_videos: int
    srocc: float | None
    krocc: float | None
    plcc: float | None
    rmse: float
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
    """Compare the scores of some videos with their MOS.

    Args:
        mos: shape (num_videos,), at least 3, in the database's unit.
        scores: the same shape and unit.
        train_mapping: a Mapping fitted on training videos (`fit_mapping`), for the `*_mapped_train` figures.
        mos_ci95: half widths of the MOS's 95 % confidence intervals, same shape, for the outlier ratios.

    Returns:
        Agreement. Its values are Python floats, so that they can go to JSON.

    Raises:
        ValueError: lengths differ, fewer than 3 videos, or a value that is not finite.
    """
    mos, scores = _check_pair(mos, scores)
    notes = [f"The {name} are all the same: no correlation." for name in _constant(mos=mos, scores=scores)]
    found = correlations(mos=mos, scores=scores) | {"rmse": rmse(mos, scores)}
    mapping = None
    try:
        mapping = fit_mapping(mos=mos, scores=scores)
        notes += _mapping_notes(mapping)
        found["plcc_mapped"], found["rmse_mapped"] = mapped_figures(mos, mapping(scores))
    except ValueError as error:
        notes.append(str(error))
    if train_mapping is not None:
        found["plcc_mapped_train"], found["rmse_mapped_train"] = mapped_figures(mos, train_mapping(scores))
        notes += [f"Training videos: {note}" for note in _mapping_notes(train_mapping)]
    if mos_ci95 is not None:
        found["outlier_ratio"] = outlier_ratio(mos=mos, scores=scores, mos_ci95=mos_ci95)
        if mapping is not None:
            found["outlier_ratio_mapped"] = outlier_ratio(mos=mos, scores=mapping(scores), mos_ci95=mos_ci95)
    return Agreement(num_videos=len(mos), mapping=mapping, notes=tuple(notes), **found)


def rmse(mos: npt.ArrayLike, scores: npt.ArrayLike) -> float:
    """The root of the mean squared error, divided by the number of videos."""
    return float(np.sqrt(np.mean((np.asarray(mos) - np.asarray(scores)) ** 2)))


def logistic(x, b1, b2, b3, b4):
    """The VQEG logistic with four parameters, b2 + (b1 - b2) / (1 + exp(-(x - b3) / |b4|))."""
    return b2 + (b1 - b2) * special.expit((x - b3) / np.abs(b4))


def fit_mapping(*, mos: npt.ArrayLike, scores: npt.ArrayLike) -> Mapping:
    """Fit the 4-parameter logistic from scores to MOS.

    The field's start comes first and its result is kept when it is as good as a straight line. If not (its slope
    of 0.5 suits a 1-5 scale, not 0-100) the slope starts from the scores' own spread; if that fails too, the
    mapping is the straight line, and its kind says so.

    Args:
        mos: shape (num_videos,), at least 5.
        scores: the same shape.

    Returns:
        Mapping.

    Raises:
        ValueError: as in `agreement`, fewer than 5 videos, or the scores or the MOS are all the same.

    Source: VQEG's logistic with the start of the field's published code; the rest is ours, decision 0006.
    """
    mos, scores = _check_pair(mos, scores)
    if len(mos) < MIN_MAPPED:
        raise ValueError(f"The 4-parameter logistic needs at least {MIN_MAPPED} videos, found {len(mos)}: not mapped.")
    for name in _constant(mos=mos, scores=scores):
        raise ValueError(f"The {name} are all the same: nothing to fit a mapping to.")
    line = np.polyfit(scores, mos, 1)
    worst = LINE_TOLERANCE * _squares(mos, np.polyval(line, scores)) + 1e-12 * np.sum(mos**2)
    spread = float(np.std(scores))
    best = None
    for slope in (0.5, spread / 2, spread, -spread):
        values = fit_logistic(mos=mos, scores=scores, start=_start(mos, scores, slope))
        if values is None:
            continue
        squares = _squares(mos, logistic(scores, *values))
        if best is None or squares < best[0]:
            best = (squares, values)
        if best[0] <= worst:
            return Mapping("logistic", best[1])
    return Mapping("line", tuple(float(value) for value in line))


def fit_logistic(*, mos, scores, start, max_evaluations=MAX_EVALUATIONS):
    """One least-squares fit from one start: (b1, b2, b3, b4), or None where it leaves the finite numbers.

    A fit that runs out of evaluations gives what it has: on nearly straight data b1 and b2 drift apart forever
    while the curve stands still. Whether the curve is any good is the caller's question.
    """
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore", RuntimeWarning)  # "number of calls has reached maxfev"
        values, _ = optimize.leastsq(lambda b: logistic(scores, *b) - mos, start, maxfev=max_evaluations)
        fitted = logistic(scores, *values)
    return tuple(float(value) for value in values) if np.isfinite(fitted).all() else None


def outlier_ratio(*, mos: npt.ArrayLike, scores: npt.ArrayLike, mos_ci95: npt.ArrayLike) -> float:
    """The share of videos whose score lies outside the 95 % interval of their MOS.

    Args:
        mos: shape (num_videos,).
        scores: the same shape.
        mos_ci95: half widths of the intervals, above zero: 1.96 standard errors for more than 30 raters.

    Source: ITU-T P.1401, outlier ratio.
    """
    mos, scores = _check_pair(mos, scores)
    ci95 = np.asarray(mos_ci95, dtype=np.float64)
    if ci95.shape != mos.shape or not np.isfinite(ci95).all() or (ci95 < 0).any():
        raise ValueError(
            f"The outlier ratio needs {len(mos)} half widths of 95 % intervals, finite and not negative. "
            f"Received: shape {ci95.shape}. Leave mos_ci95 out where the database does not give them."
        )
    return share_outside(mos, scores, ci95)


def _check_pair(mos, scores):
    """Both as float64 of one length, at least 3, finite."""
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
                f"{values[bad[0]]} at position {bad[0]}. Leave these videos out or score them again."
            )
    return mos, scores


def _constant(**named):
    """The names of the arrays whose values are all the same but for float32 rounding."""
    return [name for name, values in named.items() if is_constant(values)]


def correlations(*, mos: np.ndarray, scores: np.ndarray) -> dict[str, float | None]:
    """SROCC, KROCC (tau-b) and PLCC; None where they are undefined: too few values, all the same, or not finite."""
    if len(mos) < MIN_VIDEOS or is_constant(mos) or is_constant(scores) or not np.isfinite(scores).all():
        return dict.fromkeys(("srocc", "krocc", "plcc"))
    return {
        "srocc": _pearson(stats.rankdata(mos), stats.rankdata(scores)),
        # The p that scipy adds is not used; "asymptotic" is its cheapest.
        "krocc": float(stats.kendalltau(mos, scores, variant="b", method="asymptotic").statistic),
        "plcc": _pearson(mos, scores),
    }


def mapped_figures(mos: np.ndarray, mapped: np.ndarray) -> tuple[float | None, float]:
    """PLCC and RMSE of scores that are mapped already; PLCC is None where they are all the same."""
    flat = is_constant(mapped) or is_constant(mos)
    return None if flat else _pearson(mos, mapped), rmse(mos, mapped)


def share_outside(mos: np.ndarray, scores: np.ndarray, mos_ci95: np.ndarray) -> float:
    """The outlier ratio of arrays that are checked already; see `outlier_ratio`."""
    return float(np.mean(np.abs(mos - scores) > mos_ci95))


def is_constant(values: np.ndarray) -> bool:
    """Whether values differ by no more than float32 rounding."""
    return bool(np.ptp(values) <= CONSTANT_SPREAD * np.max(np.abs(values)))


def _pearson(first, second):
    """The linear correlation of two arrays that are not constant."""
    first, second = first - np.mean(first), second - np.mean(second)
    together = np.dot(first, second) / np.sqrt(np.dot(first, first) * np.dot(second, second))
    return float(np.clip(together, -1, 1))


def _mapping_notes(mapping):
    if mapping.kind == "line":
        yield "No logistic fits better than a straight line: the mapped figures are those of the line."
    low, high = mapping([-1e-3, 1e-3]) if mapping.kind == "line" else (mapping.values[1], mapping.values[0])
    if high < low:
        yield "The fitted curve falls: the scores run against the MOS, and plcc_mapped hides it."


def _start(mos, scores, slope):
    """The field's start; a negative slope stands for a falling curve."""
    high, low = (mos.max(), mos.min()) if slope > 0 else (mos.min(), mos.max())
    return [high, low, scores.mean(), abs(slope)]


def _squares(mos, fitted):
    return float(np.sum((mos - fitted) ** 2))
