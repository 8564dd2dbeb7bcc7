"""Bicubic resizing has the kernels, sizes and borders of MATLAB's imresize."""

import numpy as np
import pytest

from nr_vqm.handcrafted import bicubic


def noise(height=37, width=45, seed=0):
    return np.random.default_rng(seed).uniform(0, 255, (height, width))


def test_halving_has_the_published_kernel_and_repeats_the_edge():
    kernel = np.array([-3, -9, 29, 111, 111, 29, -9, -3]) / 256
    x = noise(17, 1)
    mirrored = np.concatenate([x[3::-1], x, x[:-5:-1]])[:, 0]
    wanted = [kernel @ mirrored[2 * k + 1 : 2 * k + 9] for k in range(9)]
    got = bicubic.halve(np.repeat(x, 6, axis=1))
    assert got.shape == (9, 3)
    np.testing.assert_allclose(got, np.repeat(np.array(wanted)[:, None], 3, axis=1), rtol=1e-12)


def test_resize_keeps_a_plane_and_doubles_by_the_cubic_kernel():
    rows, columns = np.mgrid[:14, :18]
    plane = 3.0 * rows - 2 * columns
    got = bicubic.resize(plane, 28, 36)[8:-8, 8:-8]
    rows, columns = np.mgrid[8:20, 8:28]
    np.testing.assert_allclose(got, 3 * (rows / 2 - 0.25) - 2 * (columns / 2 - 0.25), atol=1e-12)


def test_resize_takes_complex_maps_channels_and_any_size():
    x = noise(7, 10) + 1j * noise(7, 10, seed=1)
    got = bicubic.resize(x, 3, 23)
    np.testing.assert_allclose(got.real, bicubic.resize(x.real, 3, 23))
    np.testing.assert_allclose(got.imag, bicubic.resize(x.imag, 3, 23))
    channels = bicubic.resize(np.stack([x.real, x.imag], axis=-1), 3, 23)
    np.testing.assert_allclose(channels[..., 1], got.imag)
    np.testing.assert_allclose(bicubic.resize(np.full((1, 1), 5), 4, 2), 5)


def test_rescaling_by_a_factor_rounds_sizes_up():
    x = np.random.default_rng(7).normal(size=(27, 48))
    reduced = bicubic.rescale(x, 8 / 9)
    assert reduced.shape == (24, 43)
    np.testing.assert_allclose(bicubic.rescale(np.full((27, 48), 5.0), 8 / 9), 5)
    # Rows shrink by the same factor as in a resize to 24; columns not, which would be 43/48.
    np.testing.assert_allclose(reduced[:, :10], bicubic.rescale(x[:, :24], 8 / 9)[:, :10])
    np.testing.assert_array_equal(bicubic.rescale(x, 0.5), bicubic.halve(x))


def test_samples_are_added_in_ascending_order():
    x = np.random.default_rng(7).normal(size=(40, 1))
    kernel = np.array([bicubic._cubic(np.array(0.5 * (tap - 3.5))) for tap in range(8)])
    kernel /= kernel.sum()
    for row in range(2, 18):  # away from the border
        wanted = 0.0
        for tap in range(8):
            wanted += kernel[tap] * x[2 * row + tap - 3, 0]
        assert bicubic._apply_in_order(bicubic._resize_weights(40, 20, 0.5), x)[row, 0] == wanted


@pytest.mark.parametrize("scale", [0.5, 8 / 9, 0.3, 1.7, 2, 4])
@pytest.mark.parametrize("shape", [(70, 41), (5, 3), (1, 1)])
def test_both_ways_give_the_same(shape, scale):
    x = np.random.default_rng(7).normal(size=shape) + 1j * np.random.default_rng(8).normal(size=shape)
    np.testing.assert_allclose(
        bicubic._rescale(x, scale), bicubic._rescale(x, scale, in_order=True), rtol=1e-12, atol=1e-13
    )
