"""The bootstrap behind the intervals: contents drawn with replacement, and the figures of each draw. Decision 0006."""

import numpy as np

from nr_vqm.evaluation import metrics

CONFIDENCE = 0.95
# From the whole sample's curve a few steps suffice; where b1 and b2 drift apart the curve stands still long before.
MAX_EVALUATIONS = 200


def draw(num_contents: int, *, num_resamples: int, seed: int) -> np.ndarray:
    """Draw contents with replacement.

    Returns:
        uint16, shape (num_resamples, num_contents): how often each content was drawn; rows sum to num_contents.
    """
    rng = np.random.default_rng(seed)
    even = np.full(num_contents, 1 / num_contents)
    draws = np.empty((num_resamples, num_contents), np.uint16)
    for row in draws:  # one at a time: NumPy counts in eight bytes
        row[:] = rng.multinomial(num_contents, even)
    return draws


def figures(
    *,
    mos: np.ndarray,
    scores: np.ndarray,
    contents: np.ndarray,
    draws: np.ndarray,
    mapping: metrics.Mapping | None,
    train_mapping: metrics.Mapping | None = None,
    ci95: np.ndarray | None = None,
) -> dict[str, np.ndarray]:
    """Compute every figure for every draw, on the drawn videos, each taken as often as its content was drawn.

    Args:
        mos: shape (num_videos,).
        scores: the same shape.
        contents: int, the same shape: each video's column in `draws`.
        draws: of `draw`.
        mapping: fitted on all videos; each draw's fit starts there. None omits the figures of a fit on the draw.
        train_mapping: fitted elsewhere, the same for all draws; None omits its figures.
        ci95: half widths of the MOS's 95 % intervals, shape (num_videos,); None omits the outlier ratios.

    Returns:
        {figure: float64 of shape (num_resamples,)}, NaN where a draw does not define it (all scores the same, ...).
    """
    names = (*metrics.RAW, *metrics.MAPPED, *metrics.TRAIN_MAPPED, *metrics.OUTLIERS)
    found = {name: np.full(len(draws), np.nan) for name in names}
    for number, counts in enumerate(draws):
        times = counts[contents]
        if np.count_nonzero(times) < metrics.MIN_VIDEOS:
            continue
        rows = np.repeat(np.arange(len(mos)), times)
        widths = None if ci95 is None else ci95[rows]
        for name, value in _of_one_draw(mos[rows], scores[rows], mapping, train_mapping, widths).items():
            found[name][number] = np.nan if value is None else value
    return found


def median_over(repeats: list[np.ndarray]) -> np.ndarray:
    """The median over repeats of each draw, ignoring repeats that do not define it; NaN where none does."""
    stacked = np.array(repeats)
    known = np.isfinite(stacked).any(axis=0)
    result = np.full(stacked.shape[1], np.nan)
    result[known] = np.nanmedian(stacked[:, known], axis=0)
    return result


def interval(samples: np.ndarray) -> tuple[float, float] | tuple[None, None]:
    """(low, high) of the percentile interval, or (None, None) where fewer than half the draws give a value."""
    known = _known(samples)
    if known is None:
        return None, None
    low, high = np.quantile(known, [(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2])
    return float(low), float(high)


def two_sided_p(differences: np.ndarray) -> float | None:
    """Twice the smaller share of draws on one side of zero; never 0, as the draws are finite. None as `interval`."""
    known = _known(differences)
    if known is None:
        return None
    below, above = np.count_nonzero(known <= 0), np.count_nonzero(known >= 0)
    return float(min(1.0, 2 * (1 + min(below, above)) / (1 + len(known))))


def _known(samples):
    """The finite draws, or None where they are fewer than half."""
    known = samples[np.isfinite(samples)]
    return known if len(known) and 2 * len(known) >= len(samples) else None


def _of_one_draw(mos, scores, mapping, train_mapping, ci95):
    """{figure: value or None} of the videos of one draw; figures that were not asked for are absent."""
    found = metrics.correlations(mos=mos, scores=scores) | {"rmse": metrics.rmse(mos, scores)}
    curve = mapping and _refit(mos, scores, mapping)
    for fitted, names in ((curve, metrics.MAPPED), (train_mapping, metrics.TRAIN_MAPPED)):
        if fitted:
            found |= zip(names, metrics.mapped_figures(mos, fitted(scores)), strict=True)
    if ci95 is not None:
        found["outlier_ratio"] = metrics.share_outside(mos, scores, ci95)
        if curve:
            found["outlier_ratio_mapped"] = metrics.share_outside(mos, curve(scores), ci95)
    return found


def _refit(mos, scores, mapping):
    """The mapping fitted on one draw, of the kind that the whole sample has; None where that fails."""
    if len(np.unique(scores)) < metrics.MIN_MAPPED:
        return None
    if mapping.kind == "line":
        return metrics.Mapping("line", tuple(np.polyfit(scores, mos, 1)))
    values = metrics.fit_logistic(mos=mos, scores=scores, start=mapping.values, max_evaluations=MAX_EVALUATIONS)
    return None if values is None else metrics.Mapping("logistic", values)
