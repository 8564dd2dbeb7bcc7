"""Magnitudes of complex steerable bands: divisive normalisation and statistics.

Source: Y. Zhang, A. K. Moorthy, D. M. Chandler and A. C. Bovik, "C-DIIVINE" (Signal Processing: Image Communication,
2014); normalisation with Gaussian scale mixtures (J. Portilla et al., IEEE TIP 2003).
"""

import functools
import math
from collections.abc import Iterator, Sequence

import numpy as np
import scipy.linalg
from scipy.linalg.blas import dgemm
from scipy.special import digamma, gammaln, polygamma

from nr_vqm.handcrafted import natural_scene

# Pixels and samples processed at a time, so that their data stay in a core's second-level cache.
CHUNK_PIXELS, CHUNK_SAMPLES = 4096, 32768
MAX_STEPS, TOLERANCE = 500, 1e-4


def normalised(
    bands: np.ndarray, magnitudes: np.ndarray, parents: Sequence[np.ndarray | None] = (None,) * 6
) -> list[np.ndarray]:
    """Divide every coefficient by the local strength of its neighbours, and return the magnitudes.

    The neighbours y (a row vector of magnitudes) are the 3 x 3 surround in the same band, the parent in the next octave
    if given, and the other orientations at the same position. Their strength is sqrt(y C^-1 y' / N), where C is the
    mean of y' y over the band.

    Args:
        bands: complex128, shape (num_orientations, rows, columns), the bands of one octave.
        magnitudes: float64, shape (num_orientations, rows, columns), their magnitudes.
        parents: per orientation the magnitudes of the parents, float64, shape (rows, columns), or None.

    Returns:
        Per orientation the normalised magnitudes without the outermost pixels, float64, shape (rows - 2, columns - 2).
    """
    found = []
    for b, (band, parent) in enumerate(zip(bands, parents, strict=True)):
        neighbours = _Neighbours(magnitudes, b, parent)
        # As in FRIQUEE's release, N does not count the other orientations.
        strength = np.sqrt(neighbours.mahalanobis() / (9 if parent is None else 10))
        centred = band[1:-1, 1:-1] - band[1:-1, 1:-1].mean()
        # Where all neighbours are zero, the coefficient itself is zero as well.
        centred *= np.divide(1, strength, out=np.zeros_like(strength), where=strength > 0)
        centred -= centred.mean()
        found.append(np.abs(centred))
    return found


class _Neighbours:
    """The neighbours of every pixel of one band, accessed in groups of rows.

    Args:
        magnitudes: float64, shape (num_orientations, rows, columns).
        band: number of the orientation.
        parent: float64, shape (rows, columns), magnitudes of the parents, or None.
    """

    def __init__(self, magnitudes: np.ndarray, band: int, parent: np.ndarray | None) -> None:
        self.surround = np.lib.stride_tricks.sliding_window_view(magnitudes[band], (3, 3)).transpose(2, 3, 0, 1)
        others = [other for b, other in enumerate(magnitudes) if b != band]
        self.single = [other[1:-1, 1:-1] for other in ([] if parent is None else [parent]) + others]
        self.shape = self.surround.shape[2:]

    def mahalanobis(self) -> np.ndarray:
        """Return y C^-1 y' at every inner pixel, shape (rows - 2, columns - 2)."""
        # Faster than rows @ rows.T, for which NumPy calls the routine for symmetric products.
        products = (dgemm(1, rows.T, rows.T, trans_a=True) for _, rows in self._chunks())
        covariance = sum(products) / math.prod(self.shape)
        whiten = _inverse_root(covariance)
        squares = np.empty(self.shape)
        for place, rows in self._chunks():
            white = whiten @ rows
            np.einsum("ij,ij->j", white, white, out=squares[place].reshape(-1))
        return squares

    def _chunks(self) -> Iterator[tuple[slice, np.ndarray]]:
        """Yield row slices and the neighbours there, shape (num_neighbours, num_pixels), in a buffer that is reused."""
        height, width = self.shape
        step = max(1, CHUNK_PIXELS // width)
        buffer = np.empty((9 + len(self.single)) * step * width)
        for start in range(0, height, step):
            place = slice(start, min(start + step, height))
            size = place.stop - place.start
            rows = buffer[: (9 + len(self.single)) * size * width].reshape(-1, size, width)
            rows[:9].reshape(3, 3, size, width)[:] = self.surround[:, :, place]
            for row, values in zip(rows[9:], self.single, strict=True):
                row[:] = values[place]
            yield place, rows.reshape(len(rows), -1)


def _inverse_root(covariance: np.ndarray) -> np.ndarray:
    """Return a matrix R with R'R = C^-1.

    If C is not positive definite, its negative eigenvalues are set to zero, the others are rescaled to the same trace,
    and directions without variance are ignored.
    """
    try:
        lower = np.linalg.cholesky(covariance)
        return scipy.linalg.solve_triangular(lower, np.eye(len(lower)), lower=True)
    except np.linalg.LinAlgError:
        values, vectors = np.linalg.eigh(covariance)
        kept = values > max(0, len(values) * np.finfo(float).eps * values[-1])
        scale = values.sum() / values[values > 0].sum() if kept.any() else 1
        return vectors[:, kept].T / np.sqrt(scale * values[kept])[:, None]


class LogMagnitudes:
    """Logarithms and moments of magnitudes, the input of `fit`.

    Args:
        magnitudes: float64, any shape, at least 0.
    """

    def __init__(self, magnitudes: np.ndarray) -> None:
        self.count = magnitudes.size
        self.total = magnitudes.sum()
        self.square_total = np.vdot(magnitudes, magnitudes)
        self.logs = np.log(np.maximum(magnitudes, np.finfo(float).tiny)).ravel()

    def power_sums(self, power: float) -> np.ndarray:
        """Return the sums of r^power (ln r)^k over all magnitudes r, for k = 0, 1, 2; shape (3,)."""
        sums = np.zeros(3)
        with np.errstate(over="ignore", invalid="ignore"):
            for start in range(0, len(self.logs), CHUNK_SAMPLES):
                log = self.logs[start : start + CHUNK_SAMPLES]
                powers = power * log
                np.exp(powers, out=powers)
                sums[:2] += powers.sum(), powers @ log
                powers *= log
                sums[2] += powers @ log
        return sums


def fit(samples: Sequence[LogMagnitudes]) -> tuple[float, float]:
    """Fit the magnitude density of a circular generalised Gaussian by maximum likelihood.

    The density of a magnitude r is proportional to r exp(-(r/a)^b).

    Args:
        samples: sets of magnitudes that are fitted together.

    Returns:
        The log scale ln a and the shape b; both NaN if Newton's method does not converge.
    """
    count, total, square_total = (sum(getattr(s, name) for s in samples) for name in ("count", "total", "square_total"))
    if not square_total > 0:
        return math.nan, math.nan
    # The start is the ratio itself and not the shape with that ratio, as in the original; the last digits of the result
    # depend on the start.
    shape = _start_ratios()[np.abs(_start_ratios() - total**2 / (count * square_total)).argmin()]
    for _ in range(MAX_STEPS):
        sums = sum((s.power_sums(shape) for s in samples), np.zeros(3))
        if not (np.isfinite(sums).all() and sums[0] > 0):
            break
        step = _newton_step(shape, sums, count)
        shape -= step
        if not 0 < shape < math.inf:
            break
        if abs(step) < TOLERANCE:
            power_sum = sum(s.power_sums(shape)[0] for s in samples)
            return math.log(shape * power_sum / (2 * count)) / shape, shape
    return math.nan, math.nan


@functools.cache
def _start_ratios() -> np.ndarray:
    """Return (mean magnitude)^2 / mean squared magnitude for the shapes 0.1-10."""
    shapes = np.arange(100, 10001) / 1000
    return np.exp(2 * gammaln(3 / shapes) - gammaln(2 / shapes) - gammaln(4 / shapes))


def _newton_step(shape: float, sums: np.ndarray, count: int) -> float:
    """Return the Newton step f / f' of the likelihood equation f(shape) = 0."""
    psi, psi1 = digamma(2 / shape), polygamma(1, 2 / shape)
    log = math.log(shape * sums[0] / (2 * count))
    mean, square = sums[1:] / sums[0]
    value = 1 + 2 * psi / shape - 2 * mean + 2 / shape * log
    slope = -2 * psi / shape**2 - 4 * psi1 / shape**3 - 2 * (square - mean**2)
    slope += -2 / shape**2 * log + 2 / shape**2 + 2 * mean / shape
    return value / slope


def corner_difference(magnitudes: np.ndarray) -> tuple[float, float]:
    """Fit a generalised Gaussian to the second differences r(y, x) - r(y-1, x) - r(y, x-1) + r(y-1, x-1).

    Args:
        magnitudes: float64, shape (rows, columns); indices wrap around.

    Returns:
        The standard deviation and the shape (0.2-10).
    """
    down = magnitudes - np.roll(magnitudes, 1, axis=0)
    corner = down - np.roll(down, 1, axis=1)
    corner -= corner.mean()
    shape, sigma = natural_scene.ggd(corner)
    return sigma, shape
