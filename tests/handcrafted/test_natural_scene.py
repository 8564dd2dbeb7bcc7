import numpy as np
import pytest
from scipy import ndimage, special, stats

from nr_vqm.handcrafted import natural_scene


def noise(height=37, width=45, seed=0):
    return np.random.default_rng(seed).uniform(0, 255, (height, width))


def test_gaussian_window_by_hand():
    e = np.exp(-0.5)
    np.testing.assert_allclose(natural_scene.gaussian_window(3, 1), [e / (1 + 2 * e), 1 / (1 + 2 * e), e / (1 + 2 * e)])


@pytest.mark.parametrize(
    ("border", "scipy_mode"),
    [("zero", "constant"), ("nearest", "nearest"), ("symmetric", "reflect"), ("mirror", "mirror")],
)
def test_mscn_against_plain_convolution(border, scipy_mode):
    x = noise()
    window = np.outer(natural_scene.MSCN_WINDOW, natural_scene.MSCN_WINDOW)
    mean = ndimage.correlate(x, window, mode=scipy_mode)
    sigma = np.sqrt(np.abs(ndimage.correlate(x * x, window, mode=scipy_mode) - mean**2))
    got_z, got_sigma = natural_scene.mscn(x, border=border)
    np.testing.assert_allclose(got_sigma, sigma, atol=1e-10)
    np.testing.assert_allclose(got_z, (x - mean) / (sigma + 1), atol=1e-10)


def test_flat_areas_lie_just_above_zero_unless_black():
    x = np.zeros((20, 40))
    x[:, 20:] = 200
    z = natural_scene.with_sides(natural_scene.mscn(x, border="zero")[0], x)
    assert (z[4:-4, 4:12] == 0).all()
    assert (z[4:-4, 26:34] == natural_scene.JUST_ABOVE_ZERO).all()
    assert (np.abs(z[4:-4, 18:22]) > 0.1).all()


def test_mscn_is_zero_in_flat_areas_and_takes_integers():
    x = np.full((20, 26), 77, np.uint8)
    z, _ = natural_scene.mscn(x, border="nearest")
    assert not z.any()
    z, _ = natural_scene.mscn(x, border="zero")
    assert z[0, 0] > 0 and not z[3:-3, 3:-3].any()


@pytest.mark.slow
@pytest.mark.parametrize("shape", [0.7, 1, 2, 5])
def test_ggd_finds_the_shape_of_exact_quantiles(shape):
    samples = stats.gennorm.ppf((np.arange(200_000) + 0.5) / 200_000, shape, scale=3)
    alpha, s = natural_scene.ggd(samples)
    assert alpha == pytest.approx(shape, abs=0.012)
    assert s == pytest.approx(stats.gennorm.std(shape, scale=3), rel=1e-3)


def test_aggd_finds_both_sides():
    # a fifth below zero with a quarter of the scale: the mode is at zero where the density is continuous
    half = stats.gennorm.ppf((1 + (np.arange(80_000) + 0.5) / 80_000) / 2, 1.4)
    alpha, left, right = natural_scene.aggd(np.concatenate([-0.25 * half[::4], half, np.zeros(0)]))
    assert alpha == pytest.approx(1.4, abs=0.01)
    assert left / right == pytest.approx(0.25, rel=1e-3)
    assert right == pytest.approx(stats.gennorm.std(1.4), rel=1e-3)


def test_aggd_worked_by_hand():
    # magnitude (3 + 0 + 1 + 1 + 5) / 5 = 2, square (9 + 0 + 1 + 1 + 25) / 5 = 7.2; a zero belongs to no side
    alpha, left, right = natural_scene.aggd(np.array([-3.0, 0, 1, -1, 5]))
    assert (left, right) == pytest.approx((np.sqrt(5), np.sqrt(13)))
    q = np.sqrt(5 / 13)
    wanted = 4 / 7.2 * (q**3 + 1) * (q + 1) / (q**2 + 1) ** 2
    inverse = special.gamma(2 / natural_scene.SHAPES) ** 2
    inverse /= special.gamma(1 / natural_scene.SHAPES) * special.gamma(3 / natural_scene.SHAPES)
    assert alpha == natural_scene.SHAPES[np.abs(inverse - wanted).argmin()]


def test_fits_along_axes_equal_single_fits():
    blocks = np.random.default_rng(1).standard_t(4, (3, 2, 8, 9))
    for fit in (natural_scene.ggd, natural_scene.aggd):
        together = fit(blocks, sample_axes=2)
        for place in np.ndindex(3, 2):
            np.testing.assert_allclose([part[place] for part in together], fit(blocks[place]), rtol=1e-12)


def test_undefined_fits_are_nan_without_a_warning():
    alpha, s = natural_scene.ggd(np.zeros(9))
    assert np.isnan(alpha) and s == 0
    alpha, left, right = natural_scene.aggd(np.array([0.0, 1, 2]))
    assert np.isnan(alpha) and np.isnan(left) and right == pytest.approx(np.sqrt(2.5))
    assert np.isnan(natural_scene.pair_statistics(np.zeros((4, 5)))).all()
    assert np.isnan(natural_scene.skew_kurt(np.full(7, 3.0))).all()


def test_scale_factor_and_mean_of_a_laplacian():
    assert natural_scene.scale_factor(1.0) == pytest.approx(np.sqrt(1 / 2))
    assert natural_scene.aggd_mean(1.0, 2.0, 5.0) == pytest.approx(3)


def test_skew_and_kurt():
    v = noise(4, 5) ** 2
    assert natural_scene.skew_kurt(v) == pytest.approx((stats.skew(v, None), stats.kurtosis(v, None, fisher=False)))


def test_shift_products_move_down_and_right():
    z = noise(4, 5)
    right, down_right = natural_scene.shift_products(z, [(0, 1), (1, 1)])
    assert right[2, 3] == z[2, 3] * z[2, 2] and right[2, 0] == z[2, 0] * z[2, 4]
    assert down_right[2, 3] == z[2, 3] * z[1, 2]
