"""Agreement figures against values computed by hand, and reasons where a figure is undefined."""

import dataclasses
import json
import math

import numpy as np
import pytest

from nr_vqm.evaluation import metrics, mos_mapping


def test_agreement_worked_by_hand():
    got = metrics.agreement(mos=[1, 2, 3, 4], scores=[1, 2, 4, 3])
    assert got.num_videos == 4
    assert got.srocc == pytest.approx(1 - 6 * 2 / (4 * (16 - 1)))
    assert got.krocc == pytest.approx((5 - 1) / 6)  # one of six pairs in the wrong order
    assert got.plcc == pytest.approx(0.8)
    assert got.rmse == pytest.approx(math.sqrt(2 / 4))


def test_kendall_counts_ties_as_tau_b():
    # pairs: 4 in order, 1 tied in the scores, 1 tied in the MOS
    got = metrics.agreement(mos=[1, 1, 2, 3], scores=[1, 2, 3, 3])
    assert got.krocc == pytest.approx(4 / math.sqrt(5 * 5))


def test_mapping_finds_the_curve_that_made_the_data():
    scores = np.linspace(0, 6, 31)
    mos = mos_mapping.logistic(scores, 4.5, 1.5, 2.7, 0.8)
    mapping = mos_mapping.fit_mapping(mos=mos, scores=scores)
    assert mapping.kind == "logistic"
    assert mapping.values == pytest.approx((4.5, 1.5, 2.7, 0.8), abs=1e-4)
    got = metrics.agreement(mos=mos, scores=scores)
    assert got.plcc < 0.99
    assert got.plcc_mapped == pytest.approx(1)
    assert got.rmse_mapped == pytest.approx(0, abs=1e-5)


@pytest.mark.parametrize("scale", [1, 25, 1000])
def test_mapping_does_not_depend_on_the_unit(scale):
    # the published starting slope of 0.5 is too steep for a 0-100 scale
    rng = np.random.default_rng(3)
    mos = rng.uniform(1, 5, 90)
    scores = mos + rng.normal(0, 0.4, 90)
    small = metrics.agreement(mos=mos, scores=scores)
    large = metrics.agreement(mos=mos * scale, scores=scores * scale)
    assert large.plcc_mapped == pytest.approx(small.plcc_mapped, abs=1e-3)
    assert large.rmse_mapped == pytest.approx(small.rmse_mapped * scale, rel=1e-2)


def test_mapping_of_a_straight_line_is_as_good_as_the_line():
    mos = np.linspace(1, 5, 20)
    got = metrics.agreement(mos=mos, scores=2 * mos - 3)
    assert got.plcc_mapped == pytest.approx(1, abs=1e-4)
    assert got.rmse_mapped < 0.02


def test_a_mapping_does_not_depend_on_what_memory_held_before():
    rng = np.random.default_rng(0)
    mos, scores = rng.uniform(1, 5, 32), 3 + 1e-5 * rng.standard_normal(32)  # a curve that the data hardly determine
    found = set()
    for value in (0.0, 1.0, 1e-3, 1e3, 1e9):
        blocks = [np.full(129, value) for _ in range(8)]  # as large as the fit's Jacobian, and one number larger
        del blocks
        found.add(mos_mapping.fit_mapping(mos=mos, scores=scores).values)
    assert len(found) == 1


def test_a_failed_fit_is_replaced_by_the_line_with_a_note(monkeypatch):
    monkeypatch.setattr(mos_mapping, "fit_logistic", lambda **_: None)
    got = metrics.agreement(mos=[1, 2, 3, 4, 6], scores=[2, 4, 6, 8, 12])
    assert got.mapping.kind == "line"
    assert got.mapping.values == pytest.approx((0.5, 0), abs=1e-9)
    assert got.rmse_mapped == pytest.approx(0, abs=1e-9)
    assert any("straight line" in note for note in got.notes)


def test_scores_that_run_against_the_mos_are_noted():
    mos = np.linspace(1, 5, 25) + np.tile([0.1, -0.1, 0, 0.2, -0.2], 5)
    got = metrics.agreement(mos=mos, scores=-mos)
    assert got.srocc == pytest.approx(-1)
    assert got.plcc_mapped > 0.99
    assert any("run against the MOS" in note for note in got.notes)


def test_a_mapping_of_training_scores_has_figures_of_its_own():
    train = mos_mapping.Mapping("line", (2.0, 1.0))
    got = metrics.agreement(mos=[3, 5, 7, 10, 11], scores=[1, 2, 3, 4, 5], train_mapping=train)
    assert got.rmse_mapped_train == pytest.approx(math.sqrt(1 / 5))
    assert got.plcc_mapped_train == pytest.approx(got.plcc)
    assert metrics.agreement(mos=[1, 2, 3], scores=[1, 2, 4]).plcc_mapped_train is None
    falling = metrics.agreement(mos=[1, 2, 3], scores=[3, 2, 1], train_mapping=mos_mapping.Mapping("line", (-1.0, 4.0)))
    assert falling.plcc_mapped_train == pytest.approx(1)
    assert any(note.startswith("Training videos: The fitted curve falls") for note in falling.notes)


def test_outlier_ratio_by_hand():
    got = metrics.agreement(mos=[1, 2, 3, 4, 5], scores=[1.2, 2.6, 3, 4.4, 5], mos_ci95=[0.3, 0.5, 0.1, 0.5, 0.2])
    assert got.outlier_ratio == pytest.approx(1 / 5)
    assert 0 <= got.outlier_ratio_mapped <= 1
    with pytest.raises(ValueError, match="needs 3 half widths of 95 % intervals"):
        metrics.outlier_ratio(mos=[1, 2, 3], scores=[1, 2, 3], mos_ci95=[0.1, 0.2])


@pytest.mark.parametrize("value", [3.0, 0.0, 2.5e7])
def test_constant_scores_have_an_error_and_no_correlation(value):
    got = metrics.agreement(mos=[1, 2, 3, 4, 5], scores=[value] * 5)
    assert got.srocc is got.krocc is got.plcc is got.plcc_mapped is got.rmse_mapped is None
    assert got.rmse > 0
    assert "The scores are all the same: no correlation." in got.notes


def test_float32_noise_is_constant():
    noise = np.float32(3.0) + np.array([0, 1, 0, 2, 1], np.float32) * np.float32(2.4e-7)
    assert metrics.agreement(mos=[1, 2, 3, 4, 5], scores=noise).srocc is None


@pytest.mark.parametrize(
    ("mos", "scores", "message"),
    [
        ([1, 2, 3], [1, 2], r"One score for each MOS is needed. Received: mos \(3,\), scores \(2,\)"),
        ([1, 2], [1, 2], "at least 3 videos, found 2"),
        ([], [], "at least 3 videos, found 0"),
        ([1, 2, 3], [1, math.nan, 3], "scores must be a finite number, found 1 .* nan at position 1"),
        ([1, math.inf, 3], [1, 2, 3], "mos must be a finite number"),
    ],
)
def test_wrong_input_is_refused(mos, scores, message):
    with pytest.raises(ValueError, match=message):
        metrics.agreement(mos=mos, scores=scores)


def test_four_videos_are_not_mapped_and_the_result_is_valid_json():
    got = metrics.agreement(mos=[1, 2, 3, 4], scores=[1, 2, 4, 3])
    assert got.plcc_mapped is None
    assert any("at least 5 videos, found 4" in note for note in got.notes)
    json.dumps(dataclasses.asdict(got), allow_nan=False)
