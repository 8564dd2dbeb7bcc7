"""Complex steerable pyramid with three octaves and six orientations.

Source: E. P. Simoncelli and W. T. Freeman, "The steerable pyramid" (ICIP 1995), in the complex form of J. Portilla
and E. P. Simoncelli (IJCV 2000). The filters are interpolated in tables, as in the original program: only
with the same tables are FRIQUEE's published values reproduced to 1e-12.
"""

import dataclasses
import functools
import math

import numpy as np
import scipy.fft

NUM_SCALES = 3
NUM_ORIENTATIONS = 6
# The coarsest band of a 16-pixel axis has 4 samples.
MIN_SIZE = 16


@dataclasses.dataclass(frozen=True)
class Pyramid:
    """The bands of one image.

    Attributes:
        residual: float64, shape (height, width): the frequencies above the first octave.
        bands: for each octave, finest first, complex128 of shape (NUM_ORIENTATIONS, rows, columns). The first has the
            size of the image, each following one half of it.
    """

    residual: np.ndarray
    bands: tuple[np.ndarray, ...]


@dataclasses.dataclass(frozen=True)
class _Filters:
    """Filter responses for one image size, in the frequency order of `scipy.fft` (zero first).

    Attributes:
        high: shape (height, width), filter of the residual.
        oriented: per octave, shape (NUM_ORIENTATIONS, rows, columns), filters of the bands.
        low: per octave, shape (rows, columns), low-pass filter applied to the previous octave (or to the image).
        kept: per octave but the first, the row and column indices of the previous octave's frequencies that it keeps.
    """

    high: np.ndarray
    oriented: tuple[np.ndarray, ...]
    low: tuple[np.ndarray, ...]
    kept: tuple[tuple[np.ndarray, np.ndarray], ...]


def decompose(image: np.ndarray) -> Pyramid:
    """Decompose an image into oriented complex bands.

    Args:
        image: float, shape (height, width), both at least MIN_SIZE.

    Returns:
        The pyramid. Real and imaginary part of a band are a quadrature pair of filtered images. Band values grow by a
        factor of 4 per octave, because the inverse transforms are not rescaled, as in the original.

    Raises:
        ValueError: the image is smaller than MIN_SIZE.
    """
    if min(image.shape) < MIN_SIZE:
        height, width = image.shape
        raise ValueError(
            f"The pyramid needs at least {MIN_SIZE} x {MIN_SIZE} pixels, the image has {width} x {height}."
        )
    filters = _filters(*image.shape)
    spectrum = scipy.fft.fft2(image)
    residual = scipy.fft.ifft2(spectrum * filters.high).real
    bands = []
    for scale in range(NUM_SCALES):
        if scale:
            spectrum = spectrum[np.ix_(*filters.kept[scale - 1])]
        spectrum = spectrum * filters.low[scale]
        # (-i)^5 = -i turns the odd power of the cosine into quadrature pairs.
        oriented = -1j * spectrum * filters.oriented[scale]
        bands.append(scipy.fft.ifft2(oriented, overwrite_x=True))
    return Pyramid(residual, tuple(bands))


@functools.lru_cache(maxsize=1)
def _filters(height: int, width: int) -> _Filters:
    """Compute all filters for one image size. Only the last size is cached: 540p takes 40 MB."""
    radius, angle = _frequencies(height, width)
    high = _radial(radius, 0)
    low = [_radial(radius, 0, low=True)]
    oriented, kept = [], []
    for scale in range(1, NUM_SCALES + 1):
        if scale > 1:
            kept.append((_central(radius.shape[0]), _central(radius.shape[1])))
            radius, angle = radius[np.ix_(*kept[-1])], angle[np.ix_(*kept[-1])]
            low.append(_radial(radius, scale - 1, low=True))
        turns = np.pi * np.arange(NUM_ORIENTATIONS) / NUM_ORIENTATIONS
        oriented.append(np.stack([_radial(radius, scale) * _angular(angle - turn) for turn in turns]))
    return _Filters(high, tuple(oriented), tuple(low), tuple(kept))


def _frequencies(height: int, width: int) -> tuple[np.ndarray, np.ndarray]:
    """Return log2 of the distance from frequency zero and the angle, both of shape (height, width).

    A distance of 1 is half the sampling rate along an axis; angles are in radians.
    """
    y = (np.arange(height) - height // 2)[:, None] / (height / 2)
    x = (np.arange(width) - width // 2)[None, :] / (width / 2)
    distance = np.sqrt(x**2 + y**2)
    # Frequency zero has no logarithm; as in the original it gets the value of its left neighbour.
    distance[height // 2, width // 2] = distance[height // 2, width // 2 - 1]
    return scipy.fft.ifftshift(np.log2(distance)), scipy.fft.ifftshift(np.arctan2(y, x))


def _central(size: int) -> np.ndarray:
    """Return the indices of the lowest half of `size` frequencies, zero first."""
    half = math.ceil((size - 0.5) / 2)
    return scipy.fft.ifftshift(np.arange(half) - half // 2) % size


def _radial(radius: np.ndarray, scale: int, *, low: bool = False) -> np.ndarray:
    """Evaluate the radial filter, a raised cosine one octave wide.

    Args:
        radius: log2 of the distance from frequency zero.
        scale: number of octaves below half the sampling rate at which the filter reaches 1.
        low: return the complementary low-pass filter.
    """
    angles = np.pi * np.arange(-257, 2) / 512
    curve = np.abs(np.cos(angles))
    # np.interp repeats the end values beyond the table; as in the original, each end value equals its neighbour.
    curve[0], curve[-1] = curve[1], curve[-2]
    if low:
        curve = np.sqrt(1 - curve**2)
    return np.interp(radius, -0.5 + 2 / np.pi * (angles + np.pi / 4) - scale, curve)


def _angular(angle: np.ndarray) -> np.ndarray:
    """Evaluate the angular filter: the fifth power of the cosine within 90 degrees of angle 0, else zero."""
    order = NUM_ORIENTATIONS - 1
    gain = 2 ** (2 * order) * math.factorial(order) ** 2 / (NUM_ORIENTATIONS * math.factorial(2 * order))
    table = np.pi * np.arange(-2049, 1026) / 1024
    folded = np.abs((table + np.pi) % (2 * np.pi) - np.pi)
    curve = np.where(folded < np.pi / 2, 2 * np.sqrt(gain) * np.cos(table) ** order, 0)
    return np.interp(angle, table, curve)
