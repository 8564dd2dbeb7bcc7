import numpy as np
import pytest
from hard_frames import LUMA, texture

from nr_vqm.handcrafted import gm_log


def test_names_and_layout():
    names = gm_log.feature_names()
    assert len(names) == len(set(names)) == gm_log.NUM_FEATURES
    found = gm_log.features(texture(60, 81))
    assert found.shape == (40,)
    np.testing.assert_allclose(found.reshape(4, 10).sum(axis=1), 1)
    assert (found >= 0).all()


def test_a_flat_frame_is_in_the_first_bins():
    # Ones and zeros by hand: all pixels share one bin of the joint histogram.
    np.testing.assert_allclose(gm_log.features(np.full((20, 30), 77.0)).reshape(4, 10), [[1] + 9 * [0]] * 4)


def test_a_ramp_worked_by_hand():
    gradient, laplacian = gm_log.normalised_maps(np.tile(4.0 * np.arange(40) - 80, (30, 1)))
    assert laplacian[:, 3:-3] == pytest.approx(0, abs=1e-9)
    # A Gaussian of standard deviation 0.5 has samples in the ratios e^-8 : e^-2 : 1 : e^-2 : e^-8, and each tap of the
    # kernel is a sample less its right neighbour. At level 0 its response to a slope of 1 is the sum of distance x tap.
    samples = np.exp(-2.0 * np.arange(-3, 4) ** 2)
    taps = samples[1:-1] - samples[2:]
    g = 4 * abs(taps @ np.arange(-2, 3)) / np.abs(taps).sum() / 2.5
    level_zero = gradient[12, 20 - gm_log.BORDER]
    assert level_zero == pytest.approx(g / (np.sqrt(g * g / 2) + 0.2), rel=1e-3)


def test_turning_a_frame_changes_nothing():
    frame = texture(64, 80)
    np.testing.assert_allclose(gm_log.features(frame), gm_log.features(frame.T), atol=2e-3)


def test_contrast_moves_pixels_to_higher_bins():
    frame, bins = texture(120, 140) / 8, np.arange(1, 11)
    for group in (np.s_[:10], np.s_[10:20]):
        assert bins @ gm_log.features(2 * frame)[group] > bins @ gm_log.features(frame)[group]


@pytest.mark.parametrize("name", LUMA)
@pytest.mark.filterwarnings("error")
def test_hard_frames(name):
    if name == "1x1":
        with pytest.raises(ValueError, match=r"GM-LOG needs frames of at least 7 x 7 pixels, found 1 x 1\."):
            gm_log.features(LUMA[name])
    else:
        assert np.isfinite(gm_log.features(LUMA[name])).all()
