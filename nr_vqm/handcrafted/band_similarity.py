"""Similarity of complex steerable bands: CW-SSIM without its constants.

Source: M. P. Sampat, Z. Wang, S. Gupta, A. C. Bovik and M. K. Markey, "Complex wavelet structural similarity: a new
image similarity index" (IEEE TIP, 2009). Written from the formula.
"""

import cv2
import numpy as np

from nr_vqm.handcrafted import natural_scene

BOX = 7
EDGE = BOX // 2
# So many products stay in a core's second-level cache between the steps.
CHUNK_PIXELS = 32768


class SmoothedBand:
    """A complex band and the local means of its energy, which several comparisons share.

    Args:
        values: complex128, shape (rows, columns), both at least BOX.
        magnitude: their magnitudes, float64; None: computed.
    """

    def __init__(self, values: np.ndarray, magnitude: np.ndarray | None = None):
        self.values = values
        self.magnitude = np.abs(values) if magnitude is None else magnitude
        self.energy = _box(self.magnitude * self.magnitude)

    def similarity(self, other: "SmoothedBand") -> float:
        """Compare two bands of one size.

        The map 2 |box(p q*)| / box(|p|^2 + |q|^2) is averaged with a Gaussian whose standard deviation is a quarter of
        the band's height along both axes.

        Returns:
            0-1; NaN where both are zero.
        """
        height, width = self.energy.shape
        deviation = self.values.shape[0] / 4
        rows, columns = (natural_scene.gaussian_window(size, deviation) for size in (height, width))
        step = max(1, CHUNK_PIXELS // width)
        total = 0.0
        for start in range(0, height, step):
            inner, outer = slice(start, start + step), slice(start, start + step + 2 * EDGE)
            product = self.values[outer] * other.values[outer].conj()
            common = np.abs(_box(product.view(np.float64).reshape(*product.shape, 2)).view(np.complex128)[..., 0])
            with np.errstate(divide="ignore", invalid="ignore"):
                common /= self.energy[inner] + other.energy[inner]
            total += rows[inner] @ common @ columns
        return 2 * float(total)


def _box(values: np.ndarray) -> np.ndarray:
    """Mean over BOX x BOX pixels, where they lie inside; shape (rows - 6, columns - 6, ...)."""
    return cv2.blur(values, (BOX, BOX))[EDGE:-EDGE, EDGE:-EDGE]
