"""The head of an untrained method: a falling line with the mean and the spread of the training MOS."""

import json

import numpy as np
import pytest
from scipy import stats

from nr_vqm.models import line_head


def test_the_training_videos_get_the_mean_and_the_spread_of_their_mos():
    rng = np.random.default_rng(0)
    distances, mos = rng.uniform(2, 15, (40, 1)), rng.uniform(1, 5, 40)
    line = line_head.fit_line(distances, mos)
    quality = line.predict(distances)
    assert quality.mean() == pytest.approx(mos.mean())
    assert quality.std() == pytest.approx(mos.std())
    assert stats.spearmanr(quality, distances[:, 0]).statistic == pytest.approx(-1)


def test_the_order_of_the_mos_does_not_matter():
    distances, mos = np.array([[2.0], [3.0], [7.0]]), np.array([1.0, 2.0, 4.0])
    assert line_head.fit_line(distances, mos) == line_head.fit_line(distances, mos[::-1])


def test_a_missing_distance_is_replaced_by_the_training_mean():
    line = line_head.fit_line(np.array([[2.0], [np.nan], [6.0]]), np.array([4.0, 3.0, 2.0]))
    assert line.fill == 4.0
    np.testing.assert_allclose(line.predict(np.array([[np.nan], [4.0]])), 3.0)


def test_equal_distances_give_a_constant():
    line = line_head.fit_line(np.full((3, 1), 2.0), np.array([4.0, 3.0, 2.0]))
    np.testing.assert_array_equal(line.predict(np.array([[1.0], [9.0]])), 3.0)


@pytest.mark.parametrize("distances", [np.ones((3, 2)), np.full((3, 1), np.nan), np.ones(3)])
def test_other_input_is_refused(distances):
    with pytest.raises(ValueError, match="needs one number per video and at least one video that has it"):
        line_head.fit_line(distances, np.ones(3))


def test_saved_and_loaded_it_is_the_same(tmp_path):
    line = line_head.fit_line(np.array([[2.0], [3.0], [7.0]]), np.array([4.0, 3.5, 1.0]))
    line_head.save_line(tmp_path / "niqe.json", line)
    assert line_head.load_line(tmp_path / "niqe.json") == line


@pytest.mark.parametrize(
    "change", [{"slope": 0.5}, {"offset": "3"}, {"fill": None}, {"offset": float("inf")}, {"other": 1.0}]
)
def test_a_damaged_file_is_refused(tmp_path, change):
    values = {"offset": 5.0, "slope": -0.5, "fill": 4.0} | change
    (tmp_path / "niqe.json").write_text(json.dumps(values))
    with pytest.raises(ValueError, match=r"niqe.json must hold the finite numbers .* Make it again: make compare"):
        line_head.load_line(tmp_path / "niqe.json")


def test_a_missing_file_names_the_command_that_makes_it(tmp_path):
    with pytest.raises(FileNotFoundError, match="make compare"):
        line_head.load_line(tmp_path / "niqe.json")
