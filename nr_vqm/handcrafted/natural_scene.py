"""Natural-scene statistics shared by the hand-crafted methods: normalised maps and distribution fits.

All computations use float64, because a local variance is the difference of two nearly equal squares. Undefined values,
such as the shape of a map without contrast, are NaN and cause no NumPy warning.

Sources: Mittal, Moorthy and Bovik, "No-reference image quality assessment in the spatial domain", TIP 2012; Lasmar,
Stitou and Berthoumieu, "Multiscale skewed heavy tailed model for texture analysis", ICIP 2009. Where they leave a
choice open, this module follows the authors' releases (University of Texas at Austin). The treatment of flat areas
(`FLAT`) is our own, decision 0015.
"""

import math
from collections.abc import Iterable, Iterator
from typing import TypeVar, overload

import cv2
import numpy as np

PAIR_SHIFTS = ((0, 1), (1, 0), (1, 1), (-1, 1))  # (rows down, columns right) of BRISQUE and FRIQUEE
# A normalised value of smaller magnitude is rounding noise, whose sign would assign it to one side of an AGGD fit.
FLAT = 1e-9
# In flat areas MATLAB's normalised values are the rounding error of a sum of weights, mostly just above zero.
JUST_ABOVE_ZERO = 1e-15
CHUNK = 2**14  # samples summed at a time, so that they stay in the cache
SHAPES = np.arange(200, 10001) / 1000  # the candidate shapes of a fit
Real = TypeVar("Real", float, np.ndarray)
# Of numbers and small arrays. SciPy has both, and is 140 MB that scoring would need for nothing else.
_gamma, _gammaln = np.vectorize(math.gamma, otypes=[float]), np.vectorize(math.lgamma, otypes=[float])
_BORDERS = {
    "zero": cv2.BORDER_CONSTANT,
    "nearest": cv2.BORDER_REPLICATE,
    "symmetric": cv2.BORDER_REFLECT,
    "mirror": cv2.BORDER_REFLECT_101,
}


def gaussian_window(size: int, sigma: float) -> np.ndarray:
    """Sample a one-dimensional Gaussian window.

    Args:
        size: number of samples, one apart and symmetric about the centre.
        sigma: standard deviation in samples.

    Returns:
        float64, shape (size,), sum 1.
    """
    x = np.arange(size) - (size - 1) / 2
    window = np.exp(-(x**2) / (2 * sigma**2))
    return window / window.sum()


def separable_filter(x: np.ndarray, window: np.ndarray, *, border: str) -> np.ndarray:
    """Correlate a map with the outer product of a window with itself.

    Args:
        x: float64, shape (height, width).
        window: float64, one-dimensional, of odd length.
        border: values outside the map: 'zero', 'nearest' (the edge pixel), 'symmetric' (mirrored, edge pixel repeated)
            or 'mirror' (mirrored, edge pixel not repeated).

    Returns:
        float64, shape (height, width).
    """
    return cv2.sepFilter2D(np.ascontiguousarray(x, np.float64), -1, window, window, borderType=_BORDERS[border])


def correlate(x: np.ndarray, kernel: np.ndarray) -> np.ndarray:
    """Correlate a map with a kernel, with zeros outside the map.

    Args:
        x: float64, shape (height, width).
        kernel: float64, odd sizes.

    Returns:
        float64, shape (height, width).
    """
    return cv2.filter2D(x, cv2.CV_64F, kernel, borderType=cv2.BORDER_CONSTANT)


MSCN_WINDOW = gaussian_window(7, 7 / 6)


def mscn(x: np.ndarray, *, border: str) -> tuple[np.ndarray, np.ndarray]:
    """Compute mean-subtracted contrast-normalised (MSCN) coefficients.

    Args:
        x: any real type, shape (height, width), usually 0-255.
        border: values outside the map, as in `separable_filter`: 'zero' for BRISQUE and FRIQUEE, 'nearest' for NIQE and
            V-BLIINDS.

    Returns:
        z and sigma, both float64, shape (height, width). sigma is the local standard deviation, at least 0;
        z = (x - local mean) / (sigma + 1), exactly 0 where its magnitude is below `FLAT`.
    """
    x = np.asarray(x, np.float64)
    mean = separable_filter(x, MSCN_WINDOW, border=border)
    sigma = separable_filter(x * x, MSCN_WINDOW, border=border)
    z = x - mean
    np.multiply(mean, mean, out=mean)
    sigma -= mean
    np.sqrt(np.abs(sigma, out=sigma), out=sigma)
    z /= np.add(sigma, 1, out=mean)
    z[np.abs(z, out=mean) < FLAT] = 0
    return z, sigma


def with_sides(z: np.ndarray, x: np.ndarray) -> np.ndarray:
    """Set MSCN coefficients of flat areas to `JUST_ABOVE_ZERO`, except in black areas.

    An asymmetric fit then counts the product of two flat neighbours as positive, as the published values of BRISQUE and
    FRIQUEE do. In black areas (x = 0) the authors' release has no rounding error, so z stays 0.

    Args:
        z: float64, shape (height, width): the coefficients that `mscn` returns for x.
        x: the map, shape (height, width).

    Returns:
        float64, shape (height, width).
    """
    return np.where((z == 0) & (x != 0), JUST_ABOVE_ZERO, z)


def shift_products(z: np.ndarray, shifts: Iterable[tuple[int, int]] = PAIR_SHIFTS) -> Iterator[np.ndarray]:
    """Yield the products of a map with circularly shifted copies of itself.

    Args:
        z: float64, shape (..., height, width); the last two axes are shifted.
        shifts: (rows down, columns right) of each copy, in pixels.

    Yields:
        float64, the shape of z, one array per shift.
    """
    for shift in shifts:
        yield z * np.roll(z, shift, axis=(-2, -1))


def _gaussian_ratio(shape: np.ndarray) -> np.ndarray:
    """Return variance / (mean magnitude)^2 of a generalised Gaussian; it decreases with the shape."""
    return np.exp(_gammaln(1 / shape) + _gammaln(3 / shape) - 2 * _gammaln(2 / shape))


_NEGATIVE_RATIOS = -_gaussian_ratio(SHAPES)  # ascending
_INVERSE_RATIOS = 1 / _gaussian_ratio(SHAPES)  # ascending


def _nearest_shape(table: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Return the shapes whose entries of an ascending table are nearest to values; NaN for NaN.

    Of two equally near entries the one of the smaller shape is used.
    """
    after = np.clip(np.searchsorted(table, values), 1, len(table) - 1)
    before = after - 1
    nearest = np.where(values - table[before] <= table[after] - values, before, after)
    return np.where(np.isnan(values), np.nan, SHAPES[nearest])


def _sums(v: np.ndarray, sample_axes: int) -> np.ndarray:
    """Sum over the last `sample_axes` axes of v, separately for negative and positive samples.

    Chunks that stay in the processor's cache make this three times as fast as sums over whole arrays.

    Returns:
        float64, shape (6, ...): count, sum of squares and sum of magnitudes of the negative samples, then of the
        positive ones.
    """
    shape = v.shape[: v.ndim - sample_axes]
    rows = np.ascontiguousarray(v, np.float64).reshape(math.prod(shape), -1)
    sums = np.zeros((len(rows), 6))
    for row, total in zip(rows, sums, strict=True):
        for start in range(0, row.size, CHUNK):
            part = row[start : start + CHUNK]
            below, above = np.minimum(part, 0), np.maximum(part, 0)
            total += (
                np.count_nonzero(part < 0),
                np.dot(below, below),
                -below.sum(),
                np.count_nonzero(part > 0),
                np.dot(above, above),
                above.sum(),
            )
    return sums.T.reshape(6, *shape)


@overload
def ggd(v: np.ndarray) -> tuple[float, float]: ...
@overload
def ggd(v: np.ndarray, *, sample_axes: int) -> tuple[np.ndarray, np.ndarray]: ...
def ggd(v: np.ndarray, *, sample_axes: int | None = None) -> tuple[float | np.ndarray, float | np.ndarray]:
    """Fit a zero-mean generalised Gaussian distribution (GGD) by moment matching.

    Args:
        v: float64, at least one sample; the mean is not subtracted.
        sample_axes: number of trailing axes that hold the samples of one fit, so that an array of shape (n, height,
            width) with 2 sample axes gives n fits. None: all samples belong to one fit.

    Returns:
        The shape alpha, 0.2-10 in steps of 0.001 (2 is a Gaussian, 1 a Laplacian; NaN where all samples are 0), and
        the root mean square of the samples. Two numbers, or with `sample_axes` two float64 arrays, one entry per fit.
    """
    _, below_square, below, _, above_square, above = _sums(v, v.ndim if sample_axes is None else sample_axes)
    count = v.size / np.size(below)
    variance = (below_square + above_square) / count
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = variance / np.square((below + above) / count)
    return _nearest_shape(_NEGATIVE_RATIOS, -ratio)[()], np.sqrt(variance)


@overload
def aggd(v: np.ndarray) -> tuple[float, float, float]: ...
@overload
def aggd(v: np.ndarray, *, sample_axes: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]: ...
def aggd(
    v: np.ndarray, *, sample_axes: int | None = None
) -> tuple[float | np.ndarray, float | np.ndarray, float | np.ndarray]:
    """Fit an asymmetric generalised Gaussian distribution (AGGD) with its mode at zero by moment matching.

    Args:
        v: float64, at least one sample.
        sample_axes: number of trailing axes that hold the samples of one fit. None: all samples belong to one fit.

    Returns:
        The shape alpha, 0.2-10 in steps of 0.001, and the root mean squares of the negative and of the positive
        samples; zeros belong to neither. Without negative (or positive) samples that root mean square and alpha are
        NaN. Three numbers, or with `sample_axes` three float64 arrays, one entry per fit.
    """
    count_below, below_square, below, count_above, above_square, above = _sums(
        v, v.ndim if sample_axes is None else sample_axes
    )
    count = v.size / np.size(below)
    with np.errstate(divide="ignore", invalid="ignore"):
        left = np.sqrt(below_square / count_below)
        right = np.sqrt(above_square / count_above)
        q = left / right
        ratio = np.square(below + above) / count / (below_square + above_square)
        ratio = ratio * (q**3 + 1) * (q + 1) / np.square(q * q + 1)
    return _nearest_shape(_INVERSE_RATIOS, ratio)[()], left, right


def scale_factor(alpha: Real) -> Real:
    """Return scale / standard deviation of a generalised Gaussian of shape alpha.

    The value is sqrt(gamma(1/alpha) / gamma(3/alpha)).
    """
    return np.exp((_gammaln(1 / alpha) - _gammaln(3 / alpha)) / 2)


def aggd_mean(alpha: Real, left_scale: Real, right_scale: Real) -> Real:
    """Return the mean of an asymmetric generalised Gaussian.

    Args:
        alpha: its shape.
        left_scale: its scale below zero: root mean square (see `aggd`) times `scale_factor`.
        right_scale: its scale above zero.
    """
    return (right_scale - left_scale) * _gamma(2 / alpha) / _gamma(1 / alpha)


def pair_statistics(product: np.ndarray) -> list[float]:
    """Compute the four AGGD parameters that BRISQUE and FRIQUEE use for a product of neighbouring coefficients.

    Args:
        product: float64, shape (height, width), from `shift_products`.

    Returns:
        Shape, mean, left and right variance of the fitted AGGD.
    """
    alpha, left, right = aggd(product)
    factor = scale_factor(alpha)
    return [alpha, aggd_mean(alpha, left * factor, right * factor), left**2, right**2]


def skew_kurt(v: np.ndarray) -> tuple[float, float]:
    """Compute the skewness m3 / m2^1.5 and the kurtosis m4 / m2^2 (3 for a Gaussian).

    Args:
        v: float64 samples, any array shape. Central moments are divided by their number N.

    Returns:
        Skewness and kurtosis; NaN where all samples are equal.
    """
    centred = v - v.mean()
    square = centred * centred
    m2 = square.mean()
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.vdot(square, centred) / v.size / m2**1.5, np.vdot(square, square) / v.size / m2**2


def skew(v: np.ndarray) -> float:
    """Compute the skewness only; see `skew_kurt`."""
    return skew_kurt(v)[0]


def kurt(v: np.ndarray) -> float:
    """Compute the kurtosis only; see `skew_kurt`."""
    return skew_kurt(v)[1]
