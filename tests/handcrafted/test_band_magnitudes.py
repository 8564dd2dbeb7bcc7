import math

import numpy as np
import pytest

from nr_vqm.handcrafted import band_magnitudes


@pytest.mark.parametrize(("scale", "shape"), [(0.5, 0.7), (3.0, 1.6), (1.0, 2.0)])
def test_magnitude_fit_finds_what_samples_are_drawn_from(scale, shape):
    rng = np.random.default_rng(1)
    # Of density r exp(-(r/a)^b), (r/a)^b is a gamma variable of shape 2/b.
    samples = scale * rng.gamma(2 / shape, size=40000) ** (1 / shape)
    parts = samples[:10000].reshape(100, 100), samples[10000:]
    log_scale, found = band_magnitudes.fit([band_magnitudes.LogMagnitudes(part) for part in parts])
    assert found == pytest.approx(shape, rel=0.02)
    assert log_scale == pytest.approx(math.log(scale), abs=0.05)


@pytest.mark.parametrize("samples", [np.zeros(20), np.full(20, 3.0)])
def test_magnitude_fit_without_a_solution_is_nan(samples):
    assert np.isnan(band_magnitudes.fit([band_magnitudes.LogMagnitudes(samples)])).all()


@pytest.mark.parametrize("with_parents", [True, False])
def test_normalised_magnitudes_against_the_definition(with_parents):
    bands = np.random.default_rng(3).normal(size=(6, 9, 11, 2)).view(np.complex128)[..., 0]
    parents = list(np.random.default_rng(4).random((6, 9, 11))) if with_parents else [None] * 6
    got = band_magnitudes.normalised(bands, np.abs(bands), parents)
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
    assert all(np.isfinite(band).all() for band in band_magnitudes.normalised(bands, bands.real))
    nothing = np.zeros((6, 9, 14))
    assert all((band == 0).all() for band in band_magnitudes.normalised(nothing + 0j, nothing))


def test_corner_difference_by_hand():
    # [[1-4-2+8, 2-8-1+4], [4-1-8+2, 8-2-4+1]] = [[3, -3], [-3, 3]]: the flattest of all shapes
    assert band_magnitudes.corner_difference(np.array([[1.0, 2.0], [4.0, 8.0]])) == (3, 10)
