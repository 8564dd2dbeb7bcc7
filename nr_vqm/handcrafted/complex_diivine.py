"""Complex DIIVINE: 82 statistics of the complex steerable pyramid of one image or feature map.

Source: Y. Zhang, A. K. Moorthy, D. M. Chandler and A. C. Bovik, "C-DIIVINE: No-reference image quality assessment
based on local magnitude and phase statistics of natural scenes" (Signal Processing: Image Communication, 2014), as
FRIQUEE computes it. The similarity of bands is CW-SSIM (M. P. Sampat et al., IEEE TIP 2009) without its constants.
FRIQUEE and DIIVINE: copyright Laboratory for Image and Video Engineering, University of Texas at Austin.
"""

import functools
import math
from collections.abc import Iterator, Sequence

import cv2
import numpy as np
import scipy.linalg
from scipy.special import digamma, gammaln, polygamma

from nr_vqm.handcrafted import natural_scene, steerable_pyramid

NUM_FEATURES = 82
PHASE_SHIFTS = {"right": (0, 1), "down": (1, 0)}
SIMILARITIES = ("scale3_scale2", "scale2_scale1", "scale2_residual", "scale1_residual", "scale3_scale1")
SIMILARITY_BOX = 7
# So many samples stay in a core's second-level cache while they are used several times.
CHUNK = 8192
MAX_NEWTON_STEPS, NEWTON_TOLERANCE = 500, 1e-4
MAX_PHASE_STEPS, PHASE_TOLERANCE = 1000, 1e-5
# Nearer to the circle than this, the next step would divide by rounding errors.
ALL_THE_SAME = 1e-12


def feature_names() -> list[str]:
    """Names of the values of `features`, in order."""
    orientations = range(steerable_pyramid.NUM_ORIENTATIONS)
    first = [f"scale1_orientation{b}" for b in orientations]
    second = [f"scale2_orientation{b}" for b in orientations]
    fits = [*first, "scale1_all", "scale2_all"]
    names = [f"{fit}_magnitude_log_scale" for fit in fits] + [f"{fit}_magnitude_shape" for fit in fits]
    names += [f"{band}_corner_difference_deviation" for band in first]
    names += [f"{band}_corner_difference_shape" for band in first]
    names += [f"{band}_phase_{shift}" for shift in PHASE_SHIFTS for band in first + second]
    return names + [f"{pair}_similarity_orientation{b}" for pair in SIMILARITIES for b in orientations]


def features(image: np.ndarray) -> np.ndarray:
    """Complex DIIVINE features of one map.

    Args:
        image: float, shape (height, width), both at least `steerable_pyramid.MIN_SIZE`.

    Returns:
        float64, shape (82,), in the order of `feature_names`. Log scales have no bound; shapes and deviations are
        positive; phase concentrations and similarities lie in 0-1. A fit that does not converge is NaN, and so are
        all values of a map without contrast.

    Raises:
        ValueError: the map is too small.
    """
    pyramid = steerable_pyramid.decompose(image)
    if np.ptp(image) == 0:
        # Its bands hold nothing but rounding errors.
        return np.full(NUM_FEATURES, np.nan)
    first, second = pyramid.bands[:2]
    parents = enlarged_bands(second, first.shape[1:])
    first_magnitudes = normalised_magnitudes(first, parent_magnitudes(pyramid, parents))
    second_magnitudes = normalised_magnitudes(second)
    fits = [fit_magnitudes([band]) for band in first_magnitudes]
    fits += [fit_magnitudes(bands) for bands in (first_magnitudes, second_magnitudes)]
    corners = [corner_difference(band) for band in first_magnitudes]
    phasors = [unit_phasors(band) for band in (*first, *second)]
    phases = [phase_concentration(p, shift) for shift in PHASE_SHIFTS.values() for p in phasors]
    by_kind = np.transpose(fits).ravel(), np.transpose(corners).ravel()
    return np.concatenate([*by_kind, phases, similarities(pyramid, parents)])


def enlarged_bands(bands: np.ndarray, shape: tuple[int, int]) -> list[np.ndarray]:
    """Resize complex bands bicubically.

    Args:
        bands: complex128, shape (NUM_ORIENTATIONS, rows, columns).
        shape: (rows, columns) of the results.
    """
    return [np.ascontiguousarray(natural_scene.resize(band, *shape)) for band in bands]


def parent_magnitudes(pyramid: steerable_pyramid.Pyramid, enlarged: Sequence[np.ndarray]) -> list[np.ndarray]:
    """Magnitudes of the second octave at the places of the first: enlarged twofold, cropped where sizes are odd.

    Args:
        pyramid: of the map.
        enlarged: the second octave resized to exactly the first one's size.
    """
    height, width = pyramid.residual.shape
    doubled = tuple(2 * size for size in pyramid.bands[1].shape[1:])
    if doubled != (height, width):
        enlarged = [band[:height, :width] for band in enlarged_bands(pyramid.bands[1], doubled)]
    return [np.abs(band) for band in enlarged]


def normalised_magnitudes(bands: np.ndarray, parents: Sequence[np.ndarray] = ()) -> list[np.ndarray]:
    """Divide every coefficient by the strength of its neighbours, as a Gaussian scale mixture does.

    The neighbours are the 3 x 3 surround in the same band, the parent in the next octave if given, and the other
    orientations at the same place. Their strength is the root of y C^-1 y' / N with their covariance C.

    Args:
        bands: complex128, shape (NUM_ORIENTATIONS, rows, columns), of one octave.
        parents: magnitudes of the parents, one per orientation, float64 of shape (rows, columns).

    Returns:
        For each orientation, the magnitudes without the outermost pixels, float64, shape (rows - 2, columns - 2).
    """
    magnitudes = np.abs(bands)
    normalised = []
    for b, band in enumerate(bands):
        neighbours = [magnitudes[b, y : y - 2 or None, x : x - 2 or None] for y in range(3) for x in range(3)]
        neighbours += [parent[1:-1, 1:-1] for parent in parents[b : b + 1]]
        # N leaves the other orientations out of the count, as FRIQUEE's program does.
        count = len(neighbours)
        neighbours += [other[1:-1, 1:-1] for c, other in enumerate(magnitudes) if c != b]
        strength = np.sqrt(_mahalanobis(neighbours) / count)
        centred = band[1:-1, 1:-1] - band[1:-1, 1:-1].mean()
        # Where all neighbours are zero the coefficient is, too.
        centred *= np.divide(1, strength, out=np.zeros_like(strength), where=strength > 0)
        normalised.append(np.abs(centred - centred.mean()))
    return normalised


def _mahalanobis(columns: Sequence[np.ndarray]) -> np.ndarray:
    """y C^-1 y' at every place, where y holds one value of each column and C is the mean of y' y."""
    covariance = sum(rows @ rows.T for _, rows in _chunks(columns)) / columns[0].size
    whiten = _inverse_root(covariance)
    squares = np.empty(columns[0].shape)
    for place, rows in _chunks(columns):
        white = whiten @ rows
        squares[place] = np.einsum("ij,ij->j", white, white).reshape(squares[place].shape)
    return squares


def _chunks(columns: Sequence[np.ndarray]) -> Iterator[tuple[slice, np.ndarray]]:
    """Yield slices of rows, and the columns' values there, shape (len(columns), samples)."""
    height, width = columns[0].shape
    step = max(1, CHUNK // width)
    for start in range(0, height, step):
        place = slice(start, min(start + step, height))
        yield place, np.stack([column[place] for column in columns]).reshape(len(columns), -1)


def _inverse_root(covariance: np.ndarray) -> np.ndarray:
    """A matrix R with R'R = C^-1. Negative eigenvalues of C count as zero and the others are scaled to its trace;
    directions without variance are ignored."""
    try:
        lower = np.linalg.cholesky(covariance)
        return scipy.linalg.solve_triangular(lower, np.eye(len(lower)), lower=True)
    except np.linalg.LinAlgError:
        values, vectors = np.linalg.eigh(covariance)
        kept = values > max(0, len(values) * np.finfo(float).eps * values[-1])
        scale = values.sum() / values[values > 0].sum() if kept.any() else 1
        return vectors[:, kept].T / np.sqrt(scale * values[kept])[:, None]


def fit_magnitudes(magnitudes: Sequence[np.ndarray]) -> tuple[float, float]:
    """Fit r^(1) exp(-(r/a)^b), the magnitude of a circular generalised Gaussian, by maximum likelihood.

    Args:
        magnitudes: non-negative samples in arrays of any shapes; all are one fit.

    Returns:
        ln a and the shape b; NaN both where Newton's method does not converge.
    """
    count = sum(r.size for r in magnitudes)
    logs = [np.log(np.maximum(r, np.finfo(float).tiny)).ravel() for r in magnitudes]
    mean, mean_square = (sum(np.sum(r**power) for r in magnitudes) / count for power in (1, 2))
    if not mean_square > 0:
        return math.nan, math.nan
    # The ratio itself, not the shape that has it: so does the original, and the last digits depend on the start.
    shape = _start_ratios()[np.abs(_start_ratios() - mean**2 / mean_square).argmin()]
    for _ in range(MAX_NEWTON_STEPS):
        sums = _log_sums(logs, shape)
        if not all(map(math.isfinite, sums)):
            break
        step = _newton_step(shape, sums, count)
        shape -= step
        if not 0 < shape < math.inf:
            break
        if abs(step) < NEWTON_TOLERANCE:
            return math.log(shape * _log_sums(logs, shape)[0] / (2 * count)) / shape, shape
    return math.nan, math.nan


@functools.cache
def _start_ratios() -> np.ndarray:
    """Squared mean over mean square of a magnitude, for shapes 0.1-10."""
    shapes = np.arange(100, 10001) / 1000
    return np.exp(2 * gammaln(3 / shapes) - gammaln(2 / shapes) - gammaln(4 / shapes))


def _log_sums(logs: Sequence[np.ndarray], shape: float) -> tuple[float, float, float]:
    """Sums over r of r^shape (ln r)^k, k = 0, 1, 2, from ln r."""
    sums = np.zeros(3)
    for values in logs:
        for start in range(0, len(values), CHUNK):
            log = values[start : start + CHUNK]
            with np.errstate(over="ignore", invalid="ignore"):
                power = np.exp(shape * log)
                weighted = power * log
                sums += power.sum(), weighted.sum(), weighted @ log
    return tuple(sums)


def _newton_step(shape: float, sums: tuple[float, float, float], count: int) -> float:
    """f / f' of the likelihood equation f = 0 of the shape."""
    s0, s1, s2 = sums
    psi, psi1 = digamma(2 / shape), polygamma(1, 2 / shape)
    log = math.log(shape * s0 / (2 * count))
    mean, square = s1 / s0, s2 / s0
    value = 1 + 2 * psi / shape - 2 * mean + 2 / shape * log
    slope = -2 * psi / shape**2 - 4 * psi1 / shape**3 - 2 * (square - mean**2)
    slope += -2 / shape**2 * log + 2 / shape**2 + 2 * mean / shape
    return value / slope


def corner_difference(magnitudes: np.ndarray) -> tuple[float, float]:
    """Deviation and generalised-Gaussian shape of r(y, x) - r(y-1, x) - r(y, x-1) + r(y-1, x-1), circular.

    Args:
        magnitudes: float64, shape (rows, columns).
    """
    down = magnitudes - np.roll(magnitudes, 1, axis=0)
    corner = down - np.roll(down, 1, axis=1)
    corner -= corner.mean()
    shape, deviation = natural_scene.ggd(corner)
    return deviation, shape


def unit_phasors(band: np.ndarray) -> np.ndarray:
    """exp(i phase) of every coefficient, complex128; 1 where a coefficient is zero."""
    magnitude = np.abs(band)
    with np.errstate(divide="ignore", invalid="ignore"):
        phasors = band / magnitude
    phasors[magnitude == 0] = 1
    return phasors


def phase_concentration(phasors: np.ndarray, shift: tuple[int, int]) -> float:
    """Concentration of the wrapped Cauchy distribution of the phase differences between neighbours.

    Args:
        phasors: complex128, shape (rows, columns), from `unit_phasors`.
        shift: (rows down, columns right) to the neighbour, circular. The first column takes no part.

    Returns:
        0 (all differences alike often) to 1 (all the same); NaN where the iteration does not converge.

    Source: J. T. Kent and D. E. Tyler, "Maximum likelihood estimation for the wrapped Cauchy distribution" (1988).
    """
    relative = (np.roll(phasors, shift, (0, 1)) * phasors.conj())[:, 1:]
    angles = np.stack([relative.real.ravel(), relative.imag.ravel()])
    centre = np.array([0.3, 0.3])
    for _ in range(MAX_PHASE_STEPS):
        before, centre = centre, _weighted_centre(angles, centre)
        length = math.hypot(*centre)
        if length > 1 - ALL_THE_SAME:
            return 1.0
        if np.abs(centre - before).max() < PHASE_TOLERANCE:
            return (1 - math.sqrt(1 - length**2)) / length if length else 0.0
    return math.nan


def _weighted_centre(points: np.ndarray, centre: np.ndarray) -> np.ndarray:
    """One step of the iteration: the mean of points on the circle, weighted by 1 / (1 - centre . point)."""
    total, weighted = 0.0, np.zeros(2)
    for start in range(0, points.shape[1], CHUNK):
        part = points[:, start : start + CHUNK]
        weights = 1 / (1 - centre @ part)
        total += weights.sum()
        weighted += part @ weights
    return weighted / total


def similarities(pyramid: steerable_pyramid.Pyramid, second_enlarged: Sequence[np.ndarray]) -> np.ndarray:
    """Similarity of bands of one orientation in different octaves, and with the high-pass residual.

    Args:
        pyramid: of the map.
        second_enlarged: its second octave resized to the size of the first.

    Returns:
        float64, shape (30,): SIMILARITIES, each for all orientations.
    """
    residual = SmoothedBand(pyramid.residual.astype(np.complex128))
    found = []
    for first, second, third, enlarged in zip(*pyramid.bands, second_enlarged, strict=True):
        first_band, enlarged_band = SmoothedBand(first), SmoothedBand(enlarged)
        pairs = [
            (SmoothedBand(natural_scene.resize(third, *second.shape)), SmoothedBand(second)),
            (enlarged_band, first_band),
            (enlarged_band, residual),
            (first_band, residual),
            (SmoothedBand(natural_scene.resize(third, *first.shape)), first_band),
        ]
        found.append([p.similarity(q) for p, q in pairs])
    return np.array(found).T.ravel()


class SmoothedBand:
    """A complex band and the local means of its energy, which several comparisons share.

    Attributes:
        values: complex128, shape (rows, columns).
        energy: float64, shape (rows - 6, columns - 6).
    """

    def __init__(self, values: np.ndarray):
        self.values = np.ascontiguousarray(values)
        self.energy = _box(values.real**2 + values.imag**2)

    def similarity(self, other: "SmoothedBand") -> float:
        """CW-SSIM of two bands of one size, 0-1; NaN where both are zero.

        The map 2 |box(p q*)| / box(|p|^2 + |q|^2) is averaged with a Gaussian whose standard deviation is a quarter of
        the band's height along both axes.
        """
        product = self.values * other.values.conj()
        product = _box(product.view(np.float64).reshape(*product.shape, 2))
        with np.errstate(divide="ignore", invalid="ignore"):
            similar = 2 * np.hypot(product[..., 0], product[..., 1]) / (self.energy + other.energy)
        deviation = self.values.shape[0] / 4
        rows, columns = (natural_scene.gaussian_window(size, deviation) for size in similar.shape)
        return float(rows @ similar @ columns)


def _box(values: np.ndarray) -> np.ndarray:
    """Mean over SIMILARITY_BOX x SIMILARITY_BOX pixels, where they lie inside."""
    edge = SIMILARITY_BOX // 2
    return cv2.blur(values, (SIMILARITY_BOX, SIMILARITY_BOX))[edge:-edge, edge:-edge]
