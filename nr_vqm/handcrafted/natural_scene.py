"""Natural-scene statistics that the hand-crafted methods share: normalised maps, shape estimates, bicubic resizing.

All in float64: the local variance is a difference of squares, which cancels. Values that are undefined (the shape of a
map without contrast) are NaN, without a NumPy warning.

Sources: Mittal, Moorthy and Bovik, "No-reference image quality assessment in the spatial domain", TIP 2012; Lasmar,
Stitou and Berthoumieu, "Multiscale skewed heavy tailed model for texture analysis", ICIP 2009. Where they leave a
choice open, it follows the authors' releases (University of Texas at Austin); the flat rule is ours.
"""

import functools
import math
from collections.abc import Iterable, Iterator

import cv2
import numpy as np
import scipy.sparse
from scipy.linalg.blas import dasum
from scipy.special import gamma, gammaln

PAIR_SHIFTS = ((0, 1), (1, 0), (1, 1), (-1, 1))  # (rows down, columns right) of BRISQUE and FRIQUEE
FLAT = 1e-9  # below it a normalised value is rounding noise, whose sign would decide its side of an AGGD
# In flat areas MATLAB's normalised values are the rounding error of a sum of weights, mostly just above zero.
JUST_ABOVE_ZERO = 1e-15
CHUNK = 2**14  # samples that are summed at a time
SHAPES = np.arange(200, 10001) / 1000  # the shapes that a fit chooses from
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
        border: what lies outside: 'zero', 'nearest' (the edge pixel), 'symmetric' (mirrored with the edge pixel) or
            'mirror' (mirrored without it).

    Returns:
        float64, of the same shape.
    """
    return cv2.sepFilter2D(np.ascontiguousarray(x, np.float64), -1, window, window, borderType=_BORDERS[border])


MSCN_WINDOW = gaussian_window(7, 7 / 6)


def mscn(x: np.ndarray, *, border: str) -> tuple[np.ndarray, np.ndarray]:
    """Normalise a map by its local mean and standard deviation (MSCN coefficients).

    Args:
        x: shape (height, width), usually 0-255.
        border: 'zero' (BRISQUE, FRIQUEE) or 'nearest' (NIQE, V-BLIINDS): what lies outside.

    Returns:
        z, float64: (x - mean) / (sigma + 1), exactly 0 where its magnitude is below `FLAT`.
        sigma, float64: the local standard deviation, at least 0.
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
    """Lift flat areas just above zero, unless they are black.

    A fit that tells the sides of zero apart counts a product of flat neighbours as positive then, as the published
    values of BRISQUE and FRIQUEE do. Where x is 0 the release's sum of weights is exact, and z stays 0.

    Args:
        z: `mscn` of x.
        x: shape (height, width).

    Returns:
        float64, same shape.
    """
    return np.where((z == 0) & (x != 0), JUST_ABOVE_ZERO, z)


def shift_products(z: np.ndarray, shifts: Iterable[tuple[int, int]] = PAIR_SHIFTS) -> Iterator[np.ndarray]:
    """Yield the products of a map with itself, shifted circularly in its last two axes.

    Args:
        z: shape (..., height, width).
        shifts: pairs (rows down, columns right).
    """
    for shift in shifts:
        yield z * np.roll(z, shift, axis=(-2, -1))


def _gaussian_ratio(shape: np.ndarray) -> np.ndarray:
    """Variance over squared mean magnitude of a generalised Gaussian; falls with the shape."""
    return np.exp(gammaln(1 / shape) + gammaln(3 / shape) - 2 * gammaln(2 / shape))


_NEGATIVE_RATIOS = -_gaussian_ratio(SHAPES)  # ascending
_INVERSE_RATIOS = 1 / _gaussian_ratio(SHAPES)  # ascending


def _nearest_shape(table, values):
    """The shape whose ascending table entry is nearest, the smaller on a tie; NaN for NaN."""
    after = np.clip(np.searchsorted(table, values), 1, len(table) - 1)
    before = after - 1
    nearest = np.where(values - table[before] <= table[after] - values, before, after)
    return np.where(np.isnan(values), np.nan, SHAPES[nearest])


def _sums(v, sample_axes):
    """Sums over the trailing axes, float64, shape (6, ...).

    They are the number, the squares and the magnitudes of the samples below zero, then of those above. Taken in chunks
    that stay in the processor's cache, three times as fast as in one piece.
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
                dasum(below),
                np.count_nonzero(part > 0),
                np.dot(above, above),
                dasum(above),
            )
    return sums.T.reshape(6, *shape)


def ggd(v: np.ndarray, *, sample_axes: int | None = None) -> tuple[np.ndarray, np.ndarray]:
    """Fit a generalised Gaussian of mean zero by its moments.

    Args:
        v: float64 samples, at least one; no mean is removed.
        sample_axes: the number of last axes that hold the samples of one fit; None: all are one fit.

    Returns:
        alpha: the shape, 0.2-10 in steps of 0.001 (2 is a Gaussian, 1 a Laplacian); NaN where all samples are 0.
        s: the standard deviation about zero.
    """
    _, below_square, below, _, above_square, above = _sums(v, v.ndim if sample_axes is None else sample_axes)
    count = v.size / np.size(below)
    variance = (below_square + above_square) / count
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = variance / np.square((below + above) / count)
    return _nearest_shape(_NEGATIVE_RATIOS, -ratio)[()], np.sqrt(variance)


def aggd(v: np.ndarray, *, sample_axes: int | None = None) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Fit an asymmetric generalised Gaussian with its mode at zero by its moments.

    Args:
        v: float64 samples, at least one.
        sample_axes: the number of last axes that hold the samples of one fit; None: all are one fit.

    Returns:
        alpha: the shape, 0.2-10 in steps of 0.001.
        left, right: root mean square of the samples below and above zero; zeros count for neither.
        A side without samples is NaN, and makes alpha NaN.
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


def scale_factor(alpha: np.ndarray) -> np.ndarray:
    """Scale over standard deviation of a generalised Gaussian of shape alpha: sqrt(gamma(1/alpha)/gamma(3/alpha))."""
    return np.exp((gammaln(1 / alpha) - gammaln(3 / alpha)) / 2)


def aggd_mean(alpha: np.ndarray, left_scale: np.ndarray, right_scale: np.ndarray) -> np.ndarray:
    """Mean of an asymmetric generalised Gaussian, from its shape and its two scales (deviations x `scale_factor`)."""
    return (right_scale - left_scale) * gamma(2 / alpha) / gamma(1 / alpha)


def pair_statistics(product: np.ndarray) -> list[float]:
    """Describe a product of neighbours as BRISQUE and FRIQUEE do.

    Args:
        product: of `shift_products`.

    Returns:
        alpha, mean, squared left and right deviation of its AGGD.
    """
    alpha, left, right = aggd(product)
    factor = scale_factor(alpha)
    return [alpha, aggd_mean(alpha, left * factor, right * factor), left**2, right**2]


def skew_kurt(v: np.ndarray) -> tuple[float, float]:
    """Skewness m3 / m2^1.5 and kurtosis m4 / m2^2 (3 for a Gaussian), of central moments with 1/N.

    Args:
        v: float64 samples of any shape.

    Returns:
        skewness and kurtosis; NaN where all samples are equal.
    """
    centred = v - v.mean()
    square = centred * centred
    m2 = square.mean()
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.vdot(square, centred) / v.size / m2**1.5, np.vdot(square, square) / v.size / m2**2


def skew(v: np.ndarray) -> float:
    """Skewness alone, as `skew_kurt`."""
    return skew_kurt(v)[0]


def kurt(v: np.ndarray) -> float:
    """Kurtosis alone, as `skew_kurt`."""
    return skew_kurt(v)[1]


def resize(x: np.ndarray, height: int, width: int) -> np.ndarray:
    """Resize bicubically, with anti-aliasing where it shrinks, as MATLAB's imresize to a given size.

    Args:
        x: real or complex, shape (rows, columns, ...).
        height, width: of the result.

    Returns:
        float64 or complex128, shape (height, width, ...); not rounded, not clipped.
    """
    rows, columns = x.shape[:2]
    return _resize(x, _resize_matrix(rows, height, height / rows), _resize_matrix(columns, width, width / columns))


def halve(x: np.ndarray) -> np.ndarray:
    """Halve a map by the kernel of `resize`, as MATLAB's imresize(x, 0.5): odd sizes round up, the scale stays 0.5.

    Args:
        x: real or complex, shape (rows, columns, ...).

    Returns:
        float64 or complex128, shape (ceil(rows/2), ceil(columns/2), ...).
    """
    return rescale(x, 0.5)


def rescale(x: np.ndarray, scale: float) -> np.ndarray:
    """Resize by a factor, by the kernel of `resize`, as MATLAB's imresize(x, scale): the factor holds on both axes.

    Args:
        x: real or complex, shape (rows, columns, ...).
        scale: above 0.

    Returns:
        float64 or complex128, shape (ceil(scale rows), ceil(scale columns), ...).
    """
    return _resize(x, *(_resize_matrix(size, math.ceil(scale * size), scale) for size in x.shape[:2]))


def _resize(x, rows, columns):
    """Resize the axes in the order that makes the array between them small."""
    x = np.asarray(x, np.complex128 if np.iscomplexobj(x) else np.float64)
    if rows.shape[0] < rows.shape[1]:
        return np.swapaxes(_apply(columns, np.swapaxes(_apply(rows, x), 0, 1)), 0, 1)
    return _apply(rows, np.swapaxes(_apply(columns, np.swapaxes(x, 0, 1)), 0, 1))


def _apply(matrix, x):
    """Multiply a matrix of weights with the first axis; real and imaginary parts are columns side by side."""
    columns = np.ascontiguousarray(x).reshape(len(x), -1)
    return (matrix @ columns.view(np.float64)).view(x.dtype).reshape(-1, *x.shape[1:])


@functools.lru_cache(maxsize=64)
def _resize_matrix(n_in, n_out, scale):
    """The weights of one axis, sparse, shape (n_out, n_in)."""
    antialias = min(scale, 1)
    width = 4 / antialias
    centres = np.arange(1, n_out + 1) / scale + (1 - 1 / scale) / 2
    taps = np.floor(centres - width / 2)[:, None] + np.arange(int(np.ceil(width)) + 2)
    weights = _cubic(antialias * (centres[:, None] - taps))
    weights /= weights.sum(axis=1, keepdims=True)
    mirrored = (taps.astype(int) - 1) % (2 * n_in)  # from 0, the edge repeated
    mirrored = np.minimum(mirrored, 2 * n_in - 1 - mirrored)
    rows = np.repeat(np.arange(n_out), taps.shape[1])
    matrix = scipy.sparse.csr_array((weights.ravel(), (rows, mirrored.ravel())), shape=(n_out, n_in))
    matrix.eliminate_zeros()
    return matrix


def _cubic(x):
    """Keys' kernel with a = -0.5."""
    x = np.abs(x)
    near = 1.5 * x**3 - 2.5 * x**2 + 1
    far = -0.5 * x**3 + 2.5 * x**2 - 4 * x + 2
    return np.where(x <= 1, near, np.where(x <= 2, far, 0))
