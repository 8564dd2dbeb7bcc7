"""Intervals hold as many MOS as they promise, everywhere on the scale, and say when they cannot."""

import numpy as np
import pytest

from nr_vqm import presets
from nr_vqm.common import atomic_files
from nr_vqm.runs import prediction_intervals

SETTINGS = presets.PRESETS["tiny"].interval


def made_up(rng, num_videos):
    """Scores, and MOS that scatter four times as much at the bad end."""
    scores = rng.uniform(1.5, 4.5, num_videos)
    return scores, scores + rng.normal(0, 0.15 + 0.45 * (4.5 - scores) / 3)


def coverage(spread, scores, mos):
    inside = [low <= value <= high for (low, high), value in zip(map(spread.interval, scores), mos, strict=True)]
    return np.array(inside)


def test_nineteen_of_twenty_are_inside_at_both_ends_of_the_scale():
    rng = np.random.default_rng(3)
    inside, bad, good, width = [], [], [], {True: [], False: []}
    for _ in range(60):
        spread = prediction_intervals.Spread(*made_up(rng, 120), **SETTINGS)
        scores, mos = made_up(rng, 200)
        hits = coverage(spread, scores, np.clip(mos, 1, 5))
        inside.append(hits.mean())
        bad.append(hits[scores < 2.25].mean())
        good.append(hits[scores > 3.75].mean())
        for end in (True, False):
            low, high = spread.interval(4.3 if end else 1.9)
            width[end].append(high - low)
    assert 0.93 < np.mean(inside) < 0.97
    assert 0.91 < np.mean(bad) < 0.985
    assert 0.91 < np.mean(good) < 0.985
    assert np.median(width[False]) > 1.3 * np.median(width[True])


@pytest.mark.parametrize("num_videos", [20, 40])
def test_few_videos_give_wide_intervals_not_wrong_ones(num_videos):
    rng = np.random.default_rng(4)
    hits = []
    for _ in range(150):
        spread = prediction_intervals.Spread(*made_up(rng, num_videos), **SETTINGS)
        scores, mos = made_up(rng, 40)
        hits.append(coverage(spread, scores, np.clip(mos, 1, 5)).mean())
    assert np.mean(hits) > 0.93


def test_a_head_that_is_always_off_has_intervals_that_reach_the_mos():
    scores = np.linspace(2, 3, 50)
    spread = prediction_intervals.Spread(scores, scores + 1, **SETTINGS)
    low, high = spread.interval(2.5)
    assert (low, high) == pytest.approx((1.5, 3.5))
    assert spread.interval(4.6)[1] == 5.0  # no MOS is above the scale


def test_too_few_videos_give_none():
    spread = prediction_intervals.Spread(np.arange(19) / 10 + 2, np.arange(19) / 10 + 2, **SETTINGS)
    assert spread.interval(3.0) is None


def test_stored_and_read(tmp_path):
    assert prediction_intervals.read(tmp_path, "lstm", **SETTINGS) is None
    scores, mos = made_up(np.random.default_rng(5), 60)
    prediction_intervals.write(tmp_path, {"lstm": (scores, mos), "svr": (scores, mos[::-1])})
    read = prediction_intervals.read(tmp_path, "lstm", **SETTINGS)
    assert read.interval(3.0) == pytest.approx(
        prediction_intervals.Spread(scores, mos, **SETTINGS).interval(3.0), abs=1e-3
    )
    assert prediction_intervals.read(tmp_path, "lstm_finetuned", **SETTINGS) is None
    prediction_intervals.write(tmp_path, {"lstm_finetuned": (scores + 9, mos)})
    assert set(prediction_intervals.stored(tmp_path)) == {"lstm", "svr", "lstm_finetuned"}
    read = prediction_intervals.read(tmp_path, "lstm_finetuned", **SETTINGS)
    assert read.scores.tolist() == [5.0] * 60  # as it would be scored


@pytest.mark.parametrize(
    "stored", [{"lstm": 7}, {"lstm": {"scores": [1, 2], "mos": [1]}}, {"lstm": {"scores": ["x"], "mos": [1]}}]
)
def test_a_damaged_file_says_so(tmp_path, stored):
    atomic_files.write_json(tmp_path / "intervals.json", stored)
    with pytest.raises(ValueError, match=r"intervals\.json has no usable spread .* Make it again: make compare"):
        prediction_intervals.read(tmp_path, "lstm", **SETTINGS)
