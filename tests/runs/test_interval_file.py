"""The file of validation scores from which prediction intervals are computed."""

import numpy as np
import pytest

from nr_vqm import presets
from nr_vqm.common import atomic_files
from nr_vqm.evaluation.prediction_intervals import PredictionIntervals
from nr_vqm.runs import interval_file

SETTINGS = presets.PRESETS["tiny"].interval


def synthetic_scores():
    """Scores of 60 videos, and their MOS with an error."""
    rng = np.random.default_rng(5)
    scores = rng.uniform(1.5, 4.5, 60)
    return scores, scores + rng.normal(0, 0.4, 60)


def test_intervals_are_the_same_after_writing_and_reading(tmp_path):
    assert interval_file.read(tmp_path, "lstm", **SETTINGS) is None
    scores, mos = synthetic_scores()
    interval_file.write(tmp_path, {"lstm": (scores, mos), "svr": (scores, mos[::-1])})
    read = interval_file.read(tmp_path, "lstm", **SETTINGS)
    assert read.interval(3.0) == pytest.approx(PredictionIntervals(scores, mos, **SETTINGS).interval(3.0), abs=1e-3)
    assert interval_file.read(tmp_path, "lstm_finetuned", **SETTINGS) is None
    interval_file.write(tmp_path, {"lstm_finetuned": (scores + 9, mos)})
    assert set(interval_file.read_all(tmp_path)) == {"lstm", "svr", "lstm_finetuned"}
    read = interval_file.read(tmp_path, "lstm_finetuned", **SETTINGS)
    assert read.scores.tolist() == [5.0] * 60  # clipped, as scores are


@pytest.mark.parametrize(
    "stored", [{"lstm": 7}, {"lstm": {"scores": [1, 2], "mos": [1]}}, {"lstm": {"scores": ["x"], "mos": [1]}}]
)
def test_a_damaged_file_is_refused(tmp_path, stored):
    atomic_files.write_json(tmp_path / "intervals.json", stored)
    with pytest.raises(ValueError, match=r"intervals\.json has no usable validation scores .* again: make compare"):
        interval_file.read(tmp_path, "lstm", **SETTINGS)
