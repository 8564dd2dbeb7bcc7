"""Complex steerable pyramid: three octaves, six orientations, bands with a one-sided spectrum.

Source: E. P. Simoncelli and W. T. Freeman, "The steerable pyramid" (ICIP 1995), in the complex form of J. Portilla
and E. P. Simoncelli (IJCV 2000). The filters are interpolated in tables, as the programs of the time did: FRIQUEE's
published values are reached to 1e-12 only with the same tables.
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
    """Bands of one image.

    Attributes:
        residual: float64, shape (height, width): what is above the first octave.
        bands: for each octave, finest first, complex128 of shape (NUM_ORIENTATIONS, rows, columns). The first has the
            size of the image, each following one half of it.
    """

    residual: np.ndarray
    bands: tuple[np.ndarray, ...]


@dataclasses.dataclass(frozen=True)
class _Filters:
    """Frequency responses for one image size; frequencies in the order of `scipy.fft`, zero first.

    Attributes:
        high: (height, width), response of the residual.
        oriented: for each octave, (NUM_ORIENTATIONS, rows, columns).
        low: for each octave, (rows, columns), what passes to it from the octave before, or from the image.
        kept: for each octave but the first, the rows and columns of the octave before that it keeps.
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
        The Pyramid. The real part of a band is an even-odd filtered image in units of the input times the octave's
        subsampling (the factor 4 per octave of an unnormalised inverse transform is kept, as in the original).

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
    """All responses for one size. One size is kept: all frames of a video have it, and 540p takes 40 MB."""
    radius, angle = _frequencies(height, width)
    high = _radial(radius, 0)
    low, oriented, kept = [np.sqrt(1 - high**2)], [], []
    low = [_radial(radius, 0, low=True)]
    for scale in range(1, NUM_SCALES + 1):
        if scale > 1:
            kept.append(tuple(_central(size) for size in radius.shape))
            radius, angle = radius[np.ix_(*kept[-1])], angle[np.ix_(*kept[-1])]
            low.append(_radial(radius, scale - 1, low=True))
        turns = np.pi * np.arange(NUM_ORIENTATIONS) / NUM_ORIENTATIONS
        oriented.append(np.stack([_radial(radius, scale) * _angular(angle - turn) for turn in turns]))
    return _Filters(high, tuple(oriented), tuple(low), tuple(kept))


def _frequencies(height: int, width: int) -> tuple[np.ndarray, np.ndarray]:
    """log2 of the distance from frequency zero (1 = half the sampling rate along an axis), and the angle."""
    y = (np.arange(height) - height // 2)[:, None] / (height / 2)
    x = (np.arange(width) - width // 2)[None, :] / (width / 2)
    distance = np.sqrt(x**2 + y**2)
    # log 0 is taken from the left neighbour, as in the original.
    distance[height // 2, width // 2] = distance[height // 2, width // 2 - 1]
    return scipy.fft.ifftshift(np.log2(distance)), scipy.fft.ifftshift(np.arctan2(y, x))


def _central(size: int) -> np.ndarray:
    """Indices of the lowest half of `size` frequencies, zero first."""
    half = math.ceil((size - 0.5) / 2)
    return scipy.fft.ifftshift(np.arange(half) - half // 2) % size


def _radial(radius: np.ndarray, scale: int, *, low: bool = False) -> np.ndarray:
    """Raised cosine over one octave that ends `scale` octaves below half the sampling rate; `low` its complement."""
    angles = np.pi * np.arange(-257, 2) / 512
    curve = np.abs(np.cos(angles))
    # Both ends level off, so that beyond the table the value stays.
    curve[0], curve[-1] = curve[1], curve[-2]
    if low:
        curve = np.sqrt(1 - curve**2)
    return np.interp(radius, -0.5 + 2 / np.pi * (angles + np.pi / 4) - scale, curve)


def _angular(angle: np.ndarray) -> np.ndarray:
    """Fifth power of the cosine on the half plane around angle 0, zero on the other one."""
    order = NUM_ORIENTATIONS - 1
    gain = 2 ** (2 * order) * math.factorial(order) ** 2 / (NUM_ORIENTATIONS * math.factorial(2 * order))
    table = np.pi * np.arange(-2049, 1026) / 1024
    folded = np.abs((table + np.pi) % (2 * np.pi) - np.pi)
    curve = np.where(folded < np.pi / 2, 2 * np.sqrt(gain) * np.cos(table) ** order, 0)
    return np.interp(angle, table, curve)
