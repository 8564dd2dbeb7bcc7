"""Agreement of scores with MOS: SROCC, KROCC, PLCC and RMSE, before and after a fitted logistic.

Figures of mapped scores have names of their own: `plcc_mapped`, `rmse_mapped`, and `*_mapped_train` for a curve that
was fitted on training videos. A figure that the data do not define is None. Decision 0006.
"""

import dataclasses
from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from nr_vqm.evaluation import checks, mos_mapping
from nr_vqm.evaluation.mos_mapping import Mapping

RAW = ("srocc", "krocc", "plcc", "rmse")
MAPPED = ("plcc_mapped", "rmse_mapped")
TRAIN_MAPPED = ("plcc_mapped_train", "rmse_mapped_train")
OUTLIERS = ("outlier_ratio", "outlier_ratio_mapped")
FIGURES = (*RAW, *MAPPED, *TRAIN_MAPPED, *OUTLIERS)


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
        train_mapping: a curve fitted on training videos by `mos_mapping.fit_mapping`, for `*_mapped_train`.
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
    mos, scores = checks.check_pair(mos, scores)
    ci95 = None if mos_ci95 is None else _check_ci95(mos_ci95, mos)
    notes = [f"The {name} are all the same: no correlation." for name in checks.constant_names(mos=mos, scores=scores)]
    mapping = None
    try:
        mapping = mos_mapping.fit_mapping(mos=mos, scores=scores)
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
            is_flat = checks.is_constant(mapped) or checks.is_constant(mos)
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

    is_undefined = len(mos) < checks.MIN_VIDEOS or checks.is_constant(mos) or checks.is_constant(scores)
    if is_undefined or not np.isfinite(scores).all():
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
    mos, scores = checks.check_pair(mos, scores)
    return _outlier_ratio(mos, scores, _check_ci95(mos_ci95, mos))


def _check_ci95(mos_ci95: npt.ArrayLike, mos: np.ndarray) -> np.ndarray:
    """Return the half widths as float64; ValueError unless there is one for each MOS, finite and not negative."""
    ci95 = np.asarray(mos_ci95, dtype=np.float64)
    if ci95.shape != mos.shape or not np.isfinite(ci95).all() or (ci95 < 0).any():
        raise ValueError(
            f"The outlier ratio needs {len(mos)} half widths of 95 % intervals, finite and not negative. "
            f"Received: shape {ci95.shape}. Omit mos_ci95 if the database does not provide them."
        )
    return ci95


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
