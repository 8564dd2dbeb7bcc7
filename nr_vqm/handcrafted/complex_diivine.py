"""Complex DIIVINE (C-DIIVINE): 82 statistics of the complex steerable pyramid of an image or feature map.

Source: Y. Zhang, A. K. Moorthy, D. M. Chandler and A. C. Bovik, "C-DIIVINE: No-reference image quality assessment
based on local magnitude and phase statistics of natural scenes" (Signal Processing: Image Communication, 2014), as
FRIQUEE computes it.
FRIQUEE and DIIVINE: copyright Laboratory for Image and Video Engineering, University of Texas at Austin.
"""

from collections.abc import Sequence

import numpy as np

from nr_vqm.handcrafted import band_magnitudes, band_phases, bicubic, steerable_pyramid
from nr_vqm.handcrafted.band_similarity import SmoothedBand

NUM_FEATURES = 82
SIMILARITIES = ("scale3_scale2", "scale2_scale1", "scale2_residual", "scale1_residual", "scale3_scale1")


def feature_names() -> list[str]:
    """Return the names of the 82 features, in the order of `features`."""
    orientations = range(steerable_pyramid.NUM_ORIENTATIONS)
    first = [f"scale1_orientation{b}" for b in orientations]
    second = [f"scale2_orientation{b}" for b in orientations]
    fits = [*first, "scale1_all", "scale2_all"]
    names = [f"{fit}_magnitude_log_scale" for fit in fits] + [f"{fit}_magnitude_shape" for fit in fits]
    names += [f"{band}_corner_difference_deviation" for band in first]
    names += [f"{band}_corner_difference_shape" for band in first]
    names += [f"{band}_phase_{neighbour}" for neighbour in ("left", "above") for band in first + second]
    return names + [f"{pair}_similarity_orientation{b}" for pair in SIMILARITIES for b in orientations]


def features(image: np.ndarray) -> np.ndarray:
    """Compute the complex DIIVINE features of one map.

    Args:
        image: floating point, shape (height, width), both at least `steerable_pyramid.MIN_SIZE`.

    Returns:
        float64, shape (82,), in the order of `feature_names`. Log scales are unbounded, shapes and standard deviations
        ("deviation") positive, phase concentrations and similarities 0-1. A fit that does not converge is NaN, and so
        are all values of a map without contrast.

    Raises:
        ValueError: the map is too small.
    """
    pyramid = steerable_pyramid.decompose(image)
    if np.ptp(image) == 0:
        # The bands of a constant map are rounding errors only.
        return np.full(NUM_FEATURES, np.nan)
    magnitudes = [np.abs(octave) for octave in pyramid.bands]
    parents = enlarged(pyramid.bands[1], image.shape)
    return np.concatenate(
        [
            magnitude_features(pyramid, magnitudes, parent_magnitudes(pyramid, parents)),
            phase_features(pyramid, magnitudes),
            similarity_features(pyramid, magnitudes, parents),
        ]
    )


def enlarged(bands: np.ndarray, shape: tuple[int, int]) -> list[np.ndarray]:
    """Enlarge complex bands by bicubic interpolation.

    Args:
        bands: complex128, shape (num_bands, rows, columns).
        shape: (rows, columns) of the results.

    Returns:
        Per band a complex128 array of the given shape.
    """
    return [np.ascontiguousarray(bicubic.resize(band, *shape)) for band in bands]


def parent_magnitudes(pyramid: steerable_pyramid.Pyramid, parents: Sequence[np.ndarray]) -> list[np.ndarray]:
    """Return the magnitudes of the second octave, doubled in size and cropped to the size of the first octave.

    Args:
        pyramid: pyramid of the map.
        parents: per orientation the band of the second octave, enlarged to the size of the first octave.

    Returns:
        Per orientation the magnitudes, float64, shape (height, width).
    """
    height, width = pyramid.residual.shape
    rows, columns = pyramid.bands[1].shape[1:]
    doubled = (2 * rows, 2 * columns)
    if doubled != (height, width):
        parents = [band[:height, :width] for band in enlarged(pyramid.bands[1], doubled)]
    return [np.abs(band) for band in parents]


def magnitude_features(
    pyramid: steerable_pyramid.Pyramid, magnitudes: Sequence[np.ndarray], parents: Sequence[np.ndarray]
) -> np.ndarray:
    """Compute the 28 magnitude features: eight magnitude fits, then the corner differences of six bands.

    Args:
        pyramid: pyramid of the map.
        magnitudes: per octave the magnitudes of its bands.
        parents: from `parent_magnitudes`.

    Returns:
        float64, shape (28,).
    """
    first = band_magnitudes.normalised(pyramid.bands[0], magnitudes[0], parents)
    second = band_magnitudes.normalised(pyramid.bands[1], magnitudes[1])
    logs = [[band_magnitudes.LogMagnitudes(band) for band in octave] for octave in (first, second)]
    fits = [band_magnitudes.fit(samples) for samples in (*([band] for band in logs[0]), *logs)]
    corners = [band_magnitudes.corner_difference(band) for band in first]
    return np.concatenate([np.transpose(fits).ravel(), np.transpose(corners).ravel()])


def phase_features(pyramid: steerable_pyramid.Pyramid, magnitudes: Sequence[np.ndarray]) -> np.ndarray:
    """Compute the 24 phase features: concentrations of phase differences in the first two octaves.

    Args:
        pyramid: pyramid of the map.
        magnitudes: per octave the magnitudes of its bands.

    Returns:
        float64, shape (24,), 0-1.
    """
    octaves = zip(pyramid.bands[:2], magnitudes[:2], strict=True)
    bands = [pair for octave in octaves for pair in zip(*octave, strict=True)]
    return np.transpose([band_phases.concentrations(*pair) for pair in bands]).ravel()


def similarity_features(
    pyramid: steerable_pyramid.Pyramid, magnitudes: Sequence[np.ndarray], parents: Sequence[np.ndarray]
) -> np.ndarray:
    """Compute the 30 similarity features: the pairs of bands in `SIMILARITIES`, each for all orientations.

    Args:
        pyramid: pyramid of the map.
        magnitudes: per octave the magnitudes of its bands.
        parents: per orientation the band of the second octave, enlarged to the size of the first octave.

    Returns:
        float64, shape (30,), 0-1.
    """
    residual = SmoothedBand(pyramid.residual.astype(np.complex128))
    thirds_small = enlarged(pyramid.bands[2], pyramid.bands[1].shape[1:])
    found = []
    for b, parent in enumerate(parents):
        first, second = (SmoothedBand(pyramid.bands[s][b], magnitudes[s][b]) for s in range(2))
        second_enlarged = SmoothedBand(parent)
        (third,) = enlarged(pyramid.bands[2][b : b + 1], first.values.shape)
        pairs = [
            (SmoothedBand(thirds_small[b]), second),
            (second_enlarged, first),
            (second_enlarged, residual),
            (first, residual),
            (SmoothedBand(third), first),
        ]
        found.append([p.similarity(q) for p, q in pairs])
    return np.transpose(found).ravel()
