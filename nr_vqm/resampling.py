"""The bootstrap behind the intervals: every figure for many draws at once.

A draw is a count per content. A figure of the drawn videos, each taken as often as its content was drawn, is
the weighted figure of all videos, so one matrix product serves all draws.
"""

import numpy as np

from nr_vqm import metrics

CONFIDENCE = 0.95
# From the whole sample's curve a few steps suffice; where b1 and b2 drift apart the curve stands still long before.
MAX_EVALUATIONS = 200


def draw(num_contents, *, num_resamples, seed):
    """Draw contents with replacement.

    Returns:
        float64, shape (num_resamples, num_contents): how often each content was drawn; rows sum to num_contents.
    """
    rng = np.random.default_rng(seed)
    return rng.multinomial(num_contents, np.full(num_contents, 1 / num_contents), size=num_resamples).astype(float)


def figures(*, mos, scores, weights, mapping, train_mapping=None, ci95=None):
    """SROCC, KROCC, PLCC, RMSE and the mapped ones for every draw.

    Args:
        mos: shape (num_videos,).
        scores: the same shape.
        weights: shape (num_resamples, num_videos), how often a draw holds each video; whole numbers.
        mapping: the metrics.Mapping fitted on all videos, from which each draw's fit starts; None leaves them out.
        train_mapping: a metrics.Mapping fitted elsewhere, the same for all draws; None leaves its figures out.
        ci95: half widths of the MOS's 95 % intervals, shape (num_videos,); None leaves the outlier ratios out.

    Returns:
        {figure: float64 of shape (num_resamples,)}, NaN where a draw does not define it (all scores the same, ...).
    """
    weights = np.asarray(weights, dtype=np.float64)
    found = {
        "srocc": pearson(ranks(mos, weights), ranks(scores, weights), weights),
        "krocc": kendall(mos, scores, weights),
        "plcc": pearson(mos, scores, weights),
        "rmse": rmse(mos, scores, weights),
    }
    mapped = _mapped(mos, scores, weights, mapping)
    found["plcc_mapped"], found["rmse_mapped"] = pearson(mos, mapped, weights), rmse(mos, mapped, weights)
    for name, measure in zip(metrics.TRAIN_MAPPED, (pearson, rmse), strict=True):
        found[name] = measure(mos, train_mapping(scores), weights) if train_mapping else np.full(len(weights), np.nan)
    for name, values in zip(metrics.OUTLIERS, (scores, mapped), strict=True):
        found[name] = np.full(len(weights), np.nan) if ci95 is None else outlier_ratio(mos, values, weights, ci95)
    enough = np.count_nonzero(weights, axis=1) >= metrics.MIN_VIDEOS
    return {name: np.where(enough, values, np.nan) for name, values in found.items()}


def median_over(repeats):
    """The median over repeats of each draw, ignoring repeats that do not define it; NaN where none does."""
    stacked = np.array(repeats)
    known = np.isfinite(stacked).any(axis=0)
    result = np.full(stacked.shape[1], np.nan)
    result[known] = np.nanmedian(stacked[:, known], axis=0)
    return result


def interval(samples):
    """(low, high) of the percentile interval, or (None, None) where fewer than half the draws give a value."""
    known = _known(samples)
    if known is None:
        return None, None
    low, high = np.quantile(known, [(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2])
    return float(low), float(high)


def two_sided_p(differences):
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


def ranks(values, weights):
    """Average ranks among the drawn videos, shape (num_resamples, num_videos); copies of a video are ties."""
    order = np.unique(values, return_inverse=True)[1]
    num_levels = order.max() + 1
    membership = np.equal.outer(order, np.arange(num_levels)).astype(np.float64)
    counts = weights @ membership
    below = np.cumsum(counts, axis=1) - counts
    return (below + (counts + 1) / 2)[:, order]


def pearson(first, second, weights):
    """Weighted linear correlation of each draw. `first`, `second`: (num_videos,) or (num_resamples, num_videos)."""
    total = weights.sum(axis=1, keepdims=True)
    with np.errstate(invalid="ignore", divide="ignore"):
        first = first - (weights * first).sum(axis=1, keepdims=True) / total
        second = second - (weights * second).sum(axis=1, keepdims=True) / total
        spread = (weights * first**2).sum(axis=1) * (weights * second**2).sum(axis=1)
        # Rounding leaves a crumb of spread where all values are the same; a correlation of crumbs is noise.
        spread[_is_flat(first, weights) | _is_flat(second, weights)] = 0
        return (weights * first * second).sum(axis=1) / np.sqrt(np.where(spread > 0, spread, np.nan))


def kendall(first, second, weights):
    """Weighted Kendall tau-b of each draw; two copies of one video are tied in both."""
    sign_first = np.sign(np.subtract.outer(first, first)).astype(np.float32)
    sign_second = np.sign(np.subtract.outer(second, second)).astype(np.float32)
    agree = _quadratic(sign_first * sign_second, weights)
    untied = _quadratic(sign_first**2, weights) * _quadratic(sign_second**2, weights)
    return agree / np.sqrt(np.where(untied > 0, untied, np.nan))


def rmse(first, second, weights):
    """Weighted root mean squared difference of each draw, 1-D or per draw like `pearson`."""
    total = weights.sum(axis=1)
    squares = (weights * (first - second) ** 2).sum(axis=1)
    return np.sqrt(squares / np.where(total > 0, total, np.nan))


def outlier_ratio(mos, scores, weights, ci95):
    """Weighted share of videos whose score lies outside the interval of their MOS, in each draw."""
    outside = np.where(np.isfinite(scores), np.abs(mos - scores) > ci95, np.nan)
    return (weights * outside).sum(axis=1) / weights.sum(axis=1)


def _quadratic(matrix, weights):
    """w' M w of each row w of weights. float32 holds the counts exactly: they stay far below 2**24."""
    weights = weights.astype(np.float32)
    return np.einsum("ij,ij->i", weights @ matrix, weights, dtype=np.float64)


def _is_flat(centered, weights):
    drawn = np.where(weights > 0, centered, 0)
    return np.abs(drawn).max(axis=1) <= 1e-12 * max(1.0, np.abs(centered).max())


def _mapped(mos, scores, weights, mapping):
    """Scores through the logistic fitted anew on each draw, shape (num_resamples, num_videos); NaN without one."""
    mapped = np.full(weights.shape, np.nan)
    if mapping is None:
        return mapped
    for row, counts in enumerate(weights.astype(int)):
        drawn_mos, drawn_scores = np.repeat(mos, counts), np.repeat(scores, counts)
        curve = _refit(drawn_mos, drawn_scores, mapping)
        if curve is not None:
            mapped[row] = curve(scores)
    return mapped


def _refit(mos, scores, mapping):
    """The mapping fitted on one draw, of the kind that the whole sample has; None where that fails."""
    if len(np.unique(scores)) < metrics.MIN_MAPPED:
        return None
    if mapping.kind == "line":
        return metrics.Mapping("line", tuple(np.polyfit(scores, mos, 1)))
    values = metrics.fit_logistic(mos=mos, scores=scores, start=mapping.values, max_evaluations=MAX_EVALUATIONS)
    return None if values is None else metrics.Mapping("logistic", values)
