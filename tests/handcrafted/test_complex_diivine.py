import math

import numpy as np
import pytest
from scipy import stats

from nr_vqm.handcrafted import complex_diivine

RNG = np.random.default_rng(0)


def complex_noise(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=(2, *shape)).view(np.float64)[0] * 1j + RNG.normal(size=shape)


def test_names():
    names = complex_diivine.feature_names()
    assert len(names) == len(set(names)) == complex_diivine.NUM_FEATURES
    assert names[6] == "scale1_all_magnitude_log_scale"
    assert names[15] == "scale2_all_magnitude_shape"
    assert names[22] == "scale1_orientation0_corner_difference_shape"
    assert names[34] == "scale2_orientation0_phase_right"
    assert names[51] == "scale2_orientation5_phase_down"
    assert names[81] == "scale3_scale1_similarity_orientation5"


@pytest.mark.parametrize(("scale", "shape"), [(0.5, 0.7), (3.0, 1.6), (1.0, 2.0)])
def test_magnitude_fit_finds_what_samples_are_drawn_from(scale, shape):
    rng = np.random.default_rng(1)
    # Of density r exp(-(r/a)^b), (r/a)^b is a gamma variable of shape 2/b.
    samples = scale * rng.gamma(2 / shape, size=40000) ** (1 / shape)
    log_scale, found = complex_diivine.fit_magnitudes([samples[:10000].reshape(100, 100), samples[10000:]])
    assert found == pytest.approx(shape, rel=0.02)
    assert log_scale == pytest.approx(math.log(scale), abs=0.05)


@pytest.mark.parametrize("samples", [np.zeros(20), np.full(20, 3.0)])
def test_magnitude_fit_without_a_solution_is_nan(samples):
    assert np.isnan(complex_diivine.fit_magnitudes([samples])).all()


@pytest.mark.parametrize("concentration", [0.2, 0.6, 0.9])
def test_phase_concentration_finds_what_phases_are_drawn_from(concentration):
    rng = np.random.default_rng(2)
    steps = stats.wrapcauchy.rvs(concentration, size=(90, 400), random_state=rng) + 0.8
    right = complex_diivine.phase_concentration(np.exp(1j * np.cumsum(steps, axis=1)), (0, 1))
    down = complex_diivine.phase_concentration(np.exp(1j * np.cumsum(steps, axis=0)), (1, 0))
    assert right == pytest.approx(concentration, abs=0.01)
    assert down == pytest.approx(concentration, abs=0.02)  # the first row's neighbour is the last one


def test_phase_concentration_of_a_plane_wave_is_one():
    y, x = np.indices((20, 31))
    wave = 7 * np.exp(1j * (0.4 * y + 1.1 * x))
    assert complex_diivine.phase_concentration(complex_diivine.unit_phasors(wave), (0, 1)) == pytest.approx(1, abs=1e-4)


def test_a_zero_has_phase_zero():
    assert complex_diivine.unit_phasors(np.array([[0j, -2j]])).tolist() == [[1, -1j]]


@pytest.mark.parametrize("with_parents", [True, False])
def test_normalised_magnitudes_against_the_definition(with_parents):
    bands = np.random.default_rng(3).normal(size=(6, 9, 11, 2)).view(np.complex128)[..., 0]
    parents = list(np.random.default_rng(4).random((6, 9, 11))) if with_parents else []
    got = complex_diivine.normalised_magnitudes(bands, parents)
    for b in range(6):
        rows = []
        for y in range(1, 8):
            for x in range(1, 10):
                row = [abs(bands[b, y + dy, x + dx]) for dy in (-1, 0, 1) for dx in (-1, 0, 1)]
                row += [parents[b][y, x]] if with_parents else []
                rows.append(row + [abs(bands[c, y, x]) for c in range(6) if c != b])
        rows = np.array(rows)
        inverse = np.linalg.inv(rows.T @ rows / len(rows))
        strength = np.sqrt([row @ inverse @ row / (10 if with_parents else 9) for row in rows]).reshape(7, 9)
        inner = bands[b, 1:-1, 1:-1]
        normalised = (inner - inner.mean()) / strength
        np.testing.assert_allclose(got[b], np.abs(normalised - normalised.mean()), rtol=1e-9)


def test_normalised_magnitudes_of_bands_that_are_equal():
    bands = np.broadcast_to(np.random.default_rng(5).random((9, 14)) + 0j, (6, 9, 14))  # a singular covariance
    assert all(np.isfinite(band).all() for band in complex_diivine.normalised_magnitudes(bands))
    assert all((band == 0).all() for band in complex_diivine.normalised_magnitudes(np.zeros((6, 9, 14), complex)))


def test_corner_difference_by_hand():
    # [[1-4-2+8, 2-8-1+4], [4-1-8+2, 8-2-4+1]] = [[3, -3], [-3, 3]]: the flattest of all shapes
    assert complex_diivine.corner_difference(np.array([[1.0, 2.0], [4.0, 8.0]])) == (3, 10)


def test_similarity_by_hand():
    y, x = np.indices((20, 31))
    band = complex_diivine.SmoothedBand(np.exp(1j * (0.4 * y + 1.1 * x)))
    assert band.similarity(band) == pytest.approx(1)
    assert band.similarity(complex_diivine.SmoothedBand(3j * band.values)) == pytest.approx(2 * 3 / (1 + 9))
    waves = complex_diivine.SmoothedBand(band.values * np.exp(2j * np.pi * x / 7))  # a whole turn in every box
    assert band.similarity(waves) == pytest.approx(0, abs=1e-12)
    zero = complex_diivine.SmoothedBand(np.zeros((20, 31), complex))
    assert band.similarity(zero) == 0
    assert math.isnan(zero.similarity(zero))


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
