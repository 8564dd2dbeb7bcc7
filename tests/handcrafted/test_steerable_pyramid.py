import math

import numpy as np
import pytest

from nr_vqm.handcrafted import steerable_pyramid

PEAK = math.sqrt(2**10 * math.factorial(5) ** 2 / (6 * math.factorial(10)))  # of one band, for a wave of amplitude 1


@pytest.mark.parametrize(
    ("height", "width", "sizes"),
    [
        (32, 48, [(32, 48), (16, 24), (8, 12)]),
        (33, 46, [(33, 46), (17, 23), (9, 12)]),
        (16, 19, [(16, 19), (8, 10), (4, 5)]),
    ],
)
def test_every_octave_halves_the_size_rounded_up(height, width, sizes):
    pyramid = steerable_pyramid.decompose(np.random.default_rng(0).random((height, width)))
    assert [band.shape for band in pyramid.bands] == [(6, *size) for size in sizes]
    assert pyramid.residual.shape == (height, width)


@pytest.mark.parametrize(("period", "octave", "gain"), [(4, 0, 1), (8, 1, 4), (16, 2, 16)])
@pytest.mark.parametrize(("axis", "orientation"), [(1, 0), (0, 3)])
def test_a_wave_lies_in_its_octave_and_orientation(period, octave, gain, axis, orientation):
    size = (64, 96)
    wave = np.broadcast_to(
        np.cos(2 * np.pi * np.arange(size[axis]) / period).reshape((-1, 1) if axis == 0 else (1, -1)), size
    )
    pyramid = steerable_pyramid.decompose(wave)
    strength = gain * PEAK * np.abs(np.cos(np.pi * (np.arange(6) - orientation) / 6)) ** 5
    for band, expected in zip(pyramid.bands[octave], strength, strict=True):
        # 0.7 %: the tables' ends are one step off 0 and 1.
        np.testing.assert_allclose(np.abs(band), expected, atol=0.007 * gain)
    others = [np.abs(band).max() for o, band in enumerate(pyramid.bands) if o > octave]
    assert max(others, default=0) < 0.01 * gain


def test_bands_hold_the_energy_of_the_image():
    rng = np.random.default_rng(1)
    height, width = 63, 81  # odd: no frequency is its own mirror image
    y, x = np.fft.fftfreq(height) * 2, np.fft.fftfreq(width) * 2
    fine = np.hypot(y[:, None], x[None, :]) * (height / (height - 1)) > 2**-2.9  # above the coarsest octave's lower end
    image = np.fft.ifft2(np.fft.fft2(rng.normal(size=(height, width))) * fine).real
    pyramid = steerable_pyramid.decompose(image)
    # Bands have one half of the spectrum, and an octave of N samples the transform's gain image.size / N.
    energy = np.sum(pyramid.residual**2)
    energy += sum(np.sum(np.abs(octave) ** 2) * octave[0].size / image.size / 2 for octave in pyramid.bands)
    assert energy == pytest.approx(np.sum(image**2), rel=1e-4)


def test_residual_is_the_part_above_the_first_octave():
    checkers = np.indices((32, 40)).sum(axis=0) % 2 * 2.0 - 1
    pyramid = steerable_pyramid.decompose(checkers)
    np.testing.assert_allclose(pyramid.residual, checkers, atol=1e-4)
    assert max(np.abs(octave).max() for octave in pyramid.bands) < 0.02


def test_small_images_are_refused():
    with pytest.raises(ValueError, match=r"needs at least 16 x 16 pixels, the image has 40 x 15\."):
        steerable_pyramid.decompose(np.zeros((15, 40)))
