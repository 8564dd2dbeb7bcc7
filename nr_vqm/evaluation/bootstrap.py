"""Bootstrap over contents: resample contents with replacement and compute every figure of each draw. Decision 0006.

`scipy.stats.bootstrap` does not apply: contents, not videos, are drawn, and all heads and repeats share the draws.
"""

import numpy as np

from nr_vqm.evaluation import checks, metrics, mos_mapping

CONFIDENCE = 0.95
# A refit starts at the whole sample's curve and needs few steps; where b1 and b2 drift apart it converges early.
MAX_EVALUATIONS = 200


def draw(num_contents: int, *, num_resamples: int, seed: int) -> np.ndarray:
    """Draw contents with replacement.

    Returns:
        uint16, shape (num_resamples, num_contents): how often each content was drawn; each row sums to num_contents.
    """
    rng = np.random.default_rng(seed)
    even = np.full(num_contents, 1 / num_contents)
    draws = np.empty((num_resamples, num_contents), np.uint16)
    for row in draws:  # row by row: NumPy would return all draws as int64, four times the memory
        row[:] = rng.multinomial(num_contents, even)
    return draws


def figures(
    *,
    mos: np.ndarray,
    scores: np.ndarray,
    contents: np.ndarray,
    draws: np.ndarray,
    mapping: mos_mapping.Mapping | None,
    train_mapping: mos_mapping.Mapping | None = None,
    mos_ci95: np.ndarray | None = None,
) -> dict[str, np.ndarray]:
    """Compute every figure of every draw; a video counts as often as its content was drawn.

    Args:
        mos: float64, shape (num_videos,).
        scores: the same shape.
        contents: int, the same shape: each video's column in `draws`.
        draws: counts from `draw`, shape (num_resamples, num_contents).
        mapping: the curve fitted on all videos, from which each draw's refit starts; None omits `*_mapped`.
        train_mapping: the curve of the training videos, the same for all draws; None omits `*_mapped_train`.
        mos_ci95: half widths of the MOS's 95 % intervals, shape (num_videos,); None omits the outlier ratios.

    Returns:
        {figure: float64 of shape (num_resamples,)}, NaN where a draw does not define the figure.
    """
    found = {name: np.full(len(draws), np.nan) for name in metrics.FIGURES}
    for number, counts in enumerate(draws):
        times = counts[contents]
        if np.count_nonzero(times) < checks.MIN_VIDEOS:
            continue
        rows = np.repeat(np.arange(len(mos)), times)
        drawn = metrics.figures(
            mos=mos[rows],
            scores=scores[rows],
            mapping=mapping and _refit(mapping, mos[rows], scores[rows]),
            train_mapping=train_mapping,
            mos_ci95=None if mos_ci95 is None else mos_ci95[rows],
        )
        for name, value in drawn.items():
            found[name][number] = np.nan if value is None else value
    return found


def median_over(repeats: list[np.ndarray]) -> np.ndarray:
    """Compute the median of each draw over the repeats that define it; NaN where none does.

    >>> median_over([np.array([1.0, np.nan, np.nan]), np.array([3.0, 4.0, np.nan])])
    array([ 2.,  4., nan])
    """
    stacked = np.array(repeats)
    known = np.isfinite(stacked).any(axis=0)
    result = np.full(stacked.shape[1], np.nan)
    result[known] = np.nanmedian(stacked[:, known], axis=0)
    return result


def interval(samples: np.ndarray) -> tuple[float, float] | tuple[None, None]:
    """Compute the 95 % percentile interval; (None, None) where fewer than half the draws are finite."""
    known = _known(samples)
    if known is None:
        return None, None
    low, high = np.quantile(known, [(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2])
    return float(low), float(high)


def two_sided_p(differences: np.ndarray) -> float | None:
    """Compute the two-sided p value of differences from zero: twice the smaller share of draws on one side.

    It is never 0, because the number of draws is finite; None where fewer than half the draws are finite.
    """
    known = _known(differences)
    if known is None:
        return None
    below, above = np.count_nonzero(known <= 0), np.count_nonzero(known >= 0)
    return float(min(1.0, 2 * (1 + min(below, above)) / (1 + len(known))))


def _known(samples: np.ndarray) -> np.ndarray | None:
    """Return the finite draws, or None where they are fewer than half."""
    known = samples[np.isfinite(samples)]
    return known if len(known) and 2 * len(known) >= len(samples) else None


def _refit(mapping: mos_mapping.Mapping, mos: np.ndarray, scores: np.ndarray) -> mos_mapping.Mapping | None:
    """Fit a curve of the same kind on one draw; None where that fails."""
    if len(np.unique(scores)) < mos_mapping.MIN_MAPPED:
        return None
    if mapping.kind == "line":
        return mos_mapping.Mapping("line", tuple(np.polyfit(scores, mos, 1)))
    values = mos_mapping.fit_logistic(mos=mos, scores=scores, start=mapping.values, max_evaluations=MAX_EVALUATIONS)
    return None if values is None else mos_mapping.Mapping("logistic", values)
