import numpy as np
import pytest
from scipy import stats

from nr_vqm.handcrafted import band_phases


def concentrations(phasors):
    return band_phases.concentrations(phasors, np.abs(phasors))


@pytest.mark.parametrize("concentration", [0.2, 0.6, 0.9])
def test_finds_what_differences_are_drawn_from(concentration):
    rng = np.random.default_rng(2)
    steps = stats.wrapcauchy.rvs(concentration, size=(90, 400), random_state=rng) + 0.8
    left, _ = concentrations(3 * np.exp(1j * np.cumsum(steps, axis=1)))
    _, above = concentrations(np.exp(1j * np.cumsum(steps, axis=0)))
    assert left == pytest.approx(concentration, abs=0.01)
    assert above == pytest.approx(concentration, abs=0.02)  # the first row's neighbour is the last one


def test_a_plane_wave_has_equal_differences():
    y, x = np.indices((20, 31))
    # Three whole turns down: the first row continues the last.
    wave = 7 * np.exp(1j * (2 * np.pi * 3 / 20 * y + 1.1 * x))
    assert concentrations(wave) == pytest.approx((1, 1), abs=1e-4)


def test_equal_and_zero_coefficients():
    assert concentrations(np.full((5, 8), 2 - 2j)) == (1, 1)
    assert concentrations(np.zeros((5, 8), complex)) == (1, 1)


def test_uniform_directions_have_no_concentration():
    angles = 2 * np.pi * np.arange(12) / 12
    assert band_phases.wrapped_cauchy_concentration(np.stack([np.cos(angles), np.sin(angles)])) < 1e-5
