"""Phase differences between neighbours in complex steerable bands.

Source: the relative phase is that of A. Vo and S. Oraintara (Signal Processing, 2010); the fit is J. T. Kent and D. E.
Tyler, "Maximum likelihood estimation for the wrapped Cauchy distribution" (Journal of Applied Statistics, 1988).
"""

import math

import cv2
import numpy as np

# So many differences stay in a core's second-level cache between the steps.
CHUNK = 32768
MAX_STEPS, TOLERANCE = 1000, 1e-5
# Nearer to the circle than this, the next step would divide by rounding errors.
ALL_THE_SAME = 1e-12


def concentrations(band: np.ndarray, magnitude: np.ndarray) -> tuple[float, float]:
    """Concentration of the phase differences to the left and to the upper neighbour.

    Rows are circular; the first column takes no part, as in FRIQUEE's program. The phase of a zero is 0.

    Args:
        band: complex128, shape (rows, columns).
        magnitude: its magnitude, float64.

    Returns:
        two values between 0 (differences in all directions alike) and 1 (all the same); NaN where the iteration does
        not converge.
    """
    zero = magnitude == 0
    scale = 1 / np.where(zero, 1, magnitude)
    phasors = np.stack([band.real * scale, band.imag * scale])
    phasors[0][zero] = 1
    here, left = phasors[:, :, 1:], phasors[:, :, :-1]
    above = np.roll(here, 1, axis=1)
    return tuple(wrapped_cauchy_concentration(_differences(neighbour, here)) for neighbour in (left, above))


def _differences(neighbour, here):
    """Cosine and sine of the phase of `neighbour` less that of `here`, shape (2, samples)."""
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
    """Fit a wrapped Cauchy distribution to directions.

    Args:
        points: cosines and sines, float64, shape (2, samples).

    Returns:
        its concentration, 0-1; NaN where the iteration does not converge.
    """
    centre = np.array([0.3, 0.3])
    for _ in range(MAX_STEPS):
        before, centre = centre, _weighted_mean(points, centre)
        length = math.hypot(*centre)
        if length > 1 - ALL_THE_SAME:
            return 1.0
        if np.abs(centre - before).max() < TOLERANCE:
            return (1 - math.sqrt(1 - length**2)) / length if length else 0.0
    return math.nan


def _weighted_mean(points: np.ndarray, centre: np.ndarray) -> np.ndarray:
    """One step of the iteration: the mean of the points, weighted by 1 / (1 - centre . point)."""
    total, weighted = 0.0, np.zeros(2)
    for start in range(0, points.shape[1], CHUNK):
        part = points[:, start : start + CHUNK]
        # 1 - centre . point in one pass
        (weights,) = cv2.addWeighted(part[:1], -centre[0], part[1:], -centre[1], 1)
        np.reciprocal(weights, out=weights)
        total += weights.sum()
        weighted += part @ weights
    return weighted / total
