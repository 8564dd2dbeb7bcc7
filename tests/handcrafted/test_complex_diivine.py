import numpy as np

from nr_vqm.handcrafted import complex_diivine


def test_names():
    names = complex_diivine.feature_names()
    assert len(names) == len(set(names)) == complex_diivine.NUM_FEATURES
    assert names[6] == "scale1_all_magnitude_log_scale"
    assert names[15] == "scale2_all_magnitude_shape"
    assert names[22] == "scale1_orientation0_corner_difference_shape"
    assert names[34] == "scale2_orientation0_phase_left"
    assert names[51] == "scale2_orientation5_phase_above"
    assert names[81] == "scale3_scale1_similarity_orientation5"


def test_swapped_axes_swap_orientations():
    image = np.random.default_rng(6).random((33, 45)).cumsum(axis=0)  # odd sizes: a symmetric grid of frequencies
    upright, swapped = complex_diivine.features(image), complex_diivine.features(np.ascontiguousarray(image.T))
    partner = [(3 - b) % 6 for b in range(6)]
    for start in (0, 8, 16, 22):
        np.testing.assert_allclose(
            swapped[start : start + 6], upright[[start + b for b in partner]], rtol=1e-6, atol=2e-3
        )
    assert np.abs(upright[:6] - upright[partner]).max() > 0.1  # or the test would prove nothing


def test_without_contrast_all_is_nan():
    assert np.isnan(complex_diivine.features(np.full((20, 27), 181.0))).all()
