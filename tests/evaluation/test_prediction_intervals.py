"""Prediction intervals contain the stated share of MOS everywhere on the scale; too few videos give none."""

import numpy as np
import pytest

from nr_vqm import presets
from nr_vqm.evaluation.prediction_intervals import PredictionIntervals

SETTINGS = presets.PRESETS["tiny"].interval


def synthetic_scores(rng, num_videos):
    """Scores, and MOS whose standard deviation is four times as large at the low end of the scale."""
    scores = rng.uniform(1.5, 4.5, num_videos)
    return scores, scores + rng.normal(0, 0.15 + 0.45 * (4.5 - scores) / 3)


def contained(intervals, scores, mos):
    inside = [low <= value <= high for (low, high), value in zip(map(intervals.interval, scores), mos, strict=True)]
    return np.array(inside)


def test_95_percent_of_mos_are_inside_at_both_ends_of_the_scale():
    rng = np.random.default_rng(3)
    inside, low_end, high_end, width = [], [], [], {True: [], False: []}
    for _ in range(60):
        intervals = PredictionIntervals(*synthetic_scores(rng, 120), **SETTINGS)
        scores, mos = synthetic_scores(rng, 200)
        hits = contained(intervals, scores, np.clip(mos, 1, 5))
        inside.append(hits.mean())
        low_end.append(hits[scores < 2.25].mean())
        high_end.append(hits[scores > 3.75].mean())
        for end in (True, False):
            low, high = intervals.interval(4.3 if end else 1.9)
            width[end].append(high - low)
    assert 0.93 < np.mean(inside) < 0.97
    assert 0.91 < np.mean(low_end) < 0.985
    assert 0.91 < np.mean(high_end) < 0.985
    assert np.median(width[False]) > 1.3 * np.median(width[True])


@pytest.mark.parametrize("num_videos", [20, 40])
def test_few_videos_give_wide_intervals_with_the_stated_coverage(num_videos):
    rng = np.random.default_rng(4)
    hits = []
    for _ in range(150):
        intervals = PredictionIntervals(*synthetic_scores(rng, num_videos), **SETTINGS)
        scores, mos = synthetic_scores(rng, 40)
        hits.append(contained(intervals, scores, np.clip(mos, 1, 5)).mean())
    assert np.mean(hits) > 0.93


def test_intervals_of_a_biased_head_contain_the_mos():
    scores = np.linspace(2, 3, 50)
    intervals = PredictionIntervals(scores, scores + 1, **SETTINGS)
    low, high = intervals.interval(2.5)
    assert (low, high) == pytest.approx((1.5, 3.5))
    assert intervals.interval(4.6)[1] == 5.0  # clipped to the scale


def test_too_few_validation_videos_give_no_interval():
    intervals = PredictionIntervals(np.arange(19) / 10 + 2, np.arange(19) / 10 + 2, **SETTINGS)
    assert intervals.interval(3.0) is None


def test_percentile_worked_by_hand():
    intervals = PredictionIntervals(np.array([4.0, 2.0, 3.0, 2.0]), np.full(4, 3.0), **SETTINGS)
    assert [intervals.percentile(score) for score in (1.9, 2.0, 2.5, 4.5)] == [0, 25, 50, 100]
    assert PredictionIntervals(np.empty(0), np.empty(0), **SETTINGS).percentile(3.0) is None
