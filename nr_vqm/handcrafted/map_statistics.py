"""A map of a frame with its normalised maps, and those statistics of it that FRIQUEE and VIDEVAL share.

Source: D. Ghadiyaram and A. C. Bovik, "Perceptual quality prediction on authentically distorted images using a bag of
features approach" (Journal of Vision, 2017), as the authors' release computes them.
FRIQUEE: copyright Laboratory for Image and Video Engineering, University of Texas at Austin.
"""

import dataclasses
import functools
import math

import numpy as np

from nr_vqm.handcrafted import bicubic, natural_scene

DIFFERENCE_NAMES = (
    "difference_shape",
    "difference_deviation",
    "difference_skewness",
    "difference_kurtosis",
    "difference_deviation_skewness",
    "difference_deviation_kurtosis",
)
LAPLACIAN_NAMES = ("laplacian_shape", "laplacian_deviation", "laplacian_skewness", "laplacian_kurtosis")
NARROW, WIDE = natural_scene.gaussian_window(7, 7 / 6), natural_scene.gaussian_window(7, 1.75)
LAPLACIAN_FILTER = math.sqrt(2) * np.array([1, 4, 6, 4, 1]) / 16


@dataclasses.dataclass(frozen=True)
class NormalisedMap:
    """A map with the normalised maps that several statistics share, each computed once.

    Values outside the frame are taken as zero.

    Attributes:
        values: float64, shape (height, width).
    """

    values: np.ndarray

    @functools.cached_property
    def _normalised(self) -> tuple[np.ndarray, np.ndarray]:
        return natural_scene.mscn(self.values, border="zero")

    @property
    def mscn(self) -> np.ndarray:
        """MSCN coefficients of the map, float64, shape (height, width)."""
        return self._normalised[0]

    @functools.cached_property
    def sided_mscn(self) -> np.ndarray:
        """MSCN coefficients with flat areas just above zero, for asymmetric fits (`natural_scene.with_sides`)."""
        return natural_scene.with_sides(self.mscn, self.values)

    @property
    def deviation(self) -> np.ndarray:
        """Local standard deviations of the map, float64, shape (height, width)."""
        return self._normalised[1]

    @functools.cached_property
    def mscn_of_deviation(self) -> np.ndarray:
        """MSCN coefficients of the local standard deviations, float64, shape (height, width)."""
        return natural_scene.mscn(self.deviation, border="zero")[0]


def halved(image: np.ndarray) -> NormalisedMap:
    """Return a map of half the size."""
    return NormalisedMap(np.ascontiguousarray(bicubic.halve(image)))


def difference_map(deviation: np.ndarray) -> NormalisedMap:
    """A difference of Gaussians of local standard deviations."""
    narrow, wide = (natural_scene.separable_filter(deviation, window, border="zero") for window in (NARROW, WIDE))
    return NormalisedMap(narrow - wide)


def difference_block(deviation: np.ndarray) -> list[float]:
    """The 6 values DIFFERENCE_NAMES of a `difference_map`."""
    difference = difference_map(deviation)
    skews = [natural_scene.skew_kurt(image) for image in (difference.mscn, difference.mscn_of_deviation)]
    return [*natural_scene.ggd(difference.mscn), *skews[0], *skews[1]]


def laplacian_block(image: np.ndarray) -> list[float]:
    """Compute the 4 values `LAPLACIAN_NAMES` of the finest level of a map's Laplacian pyramid."""
    low = np.zeros_like(image)
    low[::2, ::2] = natural_scene.separable_filter(image, LAPLACIAN_FILTER, border="mirror")[::2, ::2]
    detail = image - natural_scene.separable_filter(low, LAPLACIAN_FILTER, border="mirror")
    detail[np.abs(detail) < natural_scene.FLAT] = 0
    return [*natural_scene.ggd(detail), *natural_scene.skew_kurt(detail)]
