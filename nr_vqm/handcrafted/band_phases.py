"""Concentration of the phase differences between neighbouring coefficients of complex steerable bands.

Sources: relative phase: A. Vo and S. Oraintara (Signal Processing, 2010); fit: J. T. Kent and D. E.
Tyler, "Maximum likelihood estimation for the wrapped Cauchy distribution" (Journal of Applied Statistics, 1988).
"""

import math

import cv2
import numpy as np

CHUNK = 32768  # phase differences processed at a time, so that they stay in a core's second-level cache
MAX_STEPS, TOLERANCE = 1000, 1e-5
# Closer than this to the unit circle, the next iteration would divide by rounding errors.
UNIT_CIRCLE_MARGIN = 1e-12


def concentrations(band: np.ndarray, magnitude: np.ndarray) -> tuple[float, float]:
    """Compute the concentration of the phase differences to the left and to the upper neighbour.

    As in FRIQUEE's release, the upper neighbour of the first row is the last row, and the first column is not used.
    The phase of a zero coefficient is 0.

    Args:
        band: complex128, shape (rows, columns).
        magnitude: float64, shape (rows, columns), the magnitudes of the band.

    Returns:
        The concentrations for the left and the upper neighbour, each from 0 (uniformly distributed phase differences)
        to 1 (all equal); NaN where the fit does not converge.
    """
    zero = magnitude == 0
    scale = 1 / np.where(zero, 1, magnitude)
    phasors = np.stack([band.real * scale, band.imag * scale])
    phasors[0][zero] = 1
    here, left = phasors[:, :, 1:], phasors[:, :, :-1]
    above = np.roll(here, 1, axis=1)
    return (
        wrapped_cauchy_concentration(_differences(left, here)),
        wrapped_cauchy_concentration(_differences(above, here)),
    )


def _differences(neighbour: np.ndarray, here: np.ndarray) -> np.ndarray:
    """Return cosine and sine of phase(neighbour) - phase(here), shape (2, num_samples); both of shape (2, ...)."""
    rows, columns = here.shape[1:]
    differences = np.empty((2, rows, columns))
    step = max(1, CHUNK // columns)
    for start in range(0, rows, step):
        place = slice(start, start + step)
        (a, b), (c, d) = neighbour[:, place], here[:, place]
        cosine, sine = differences[:, place]
        np.multiply(a, c, out=cosine)
        cosine += b * d
        np.multiply(b, c, out=sine)
        sine -= a * d
    return differences.reshape(2, -1)


def wrapped_cauchy_concentration(points: np.ndarray) -> float:
    """Fit a wrapped Cauchy distribution to angles by maximum likelihood.

    Args:
        points: float64, shape (2, num_samples): cosines and sines of the angles.

    Returns:
        The concentration parameter, 0-1; NaN if the iteration does not converge.
    """
    centre = np.array([0.3, 0.3])
    for _ in range(MAX_STEPS):
        before, centre = centre, _weighted_mean(points, centre)
        length = math.hypot(*centre)
        if length > 1 - UNIT_CIRCLE_MARGIN:
            return 1.0
        if np.abs(centre - before).max() < TOLERANCE:
            return (1 - math.sqrt(1 - length**2)) / length if length else 0.0
    return math.nan


def _weighted_mean(points: np.ndarray, centre: np.ndarray) -> np.ndarray:
    """Return the mean of the points weighted by 1 / (1 - centre . point): one iteration of the fit."""
    weighted = np.zeros(2)
    for start in range(0, points.shape[1], CHUNK):
        part = points[:, start : start + CHUNK]
        # weights = 1 - centre . point, computed in one pass over the memory
        (weights,) = cv2.addWeighted(part[:1], -centre[0], part[1:], -centre[1], 1)
        np.reciprocal(weights, out=weights)
        weighted += part @ weights
    # Each weight times (1 - centre . point) is 1, so the sum of the weights needs no pass of its own.
    return weighted / (points.shape[1] + centre @ weighted)
