"""Similarity of complex steerable bands: complex-wavelet SSIM (CW-SSIM) without stabilising constants.

Source: M. P. Sampat, Z. Wang, S. Gupta, A. C. Bovik and M. K. Markey, "Complex wavelet structural similarity: a new
image similarity index" (IEEE TIP, 2009).
"""

import cv2
import numpy as np

from nr_vqm.handcrafted import natural_scene

BOX = 7  # height and width in coefficients of the local means
EDGE = BOX // 2
CHUNK_PIXELS = 32768  # products processed at a time, so that they stay in a core's second-level cache


class SmoothedBand:
    """A complex band with the local means of its energy, computed once for several comparisons.

    Args:
        values: complex128, shape (rows, columns), both at least `BOX`.
        magnitude: float64, shape (rows, columns), the magnitudes of the values; None to compute them.

    Attributes:
        values: the band.
        magnitude: its magnitudes.
        energy: float64, shape (rows - 6, columns - 6), local means of the squared magnitudes.
    """

    def __init__(self, values: np.ndarray, magnitude: np.ndarray | None = None) -> None:
        self.values = values
        self._parts = np.ascontiguousarray(values).view(np.float64).reshape(*values.shape, 2)
        self.magnitude = np.abs(values) if magnitude is None else magnitude
        self.energy = _box(self.magnitude * self.magnitude)

    def similarity(self, other: "SmoothedBand") -> float:
        """Compute the similarity to another band of the same size.

        The map 2 |box(p q*)| / box(|p|^2 + |q|^2), where box is the local mean, is averaged with a Gaussian window
        whose standard deviation is a quarter of the band's height along both axes.

        Args:
            other: the other band.

        Returns:
            0-1, 1 for equal bands; NaN if both bands are zero in the same window.
        """
        height, width = self.energy.shape
        sigma = self.values.shape[0] / 4
        rows, columns = (natural_scene.gaussian_window(size, sigma) for size in (height, width))
        step = max(1, CHUNK_PIXELS // width)
        total = 0.0
        for start in range(0, height, step):
            inner, outer = slice(start, start + step), slice(start, start + step + 2 * EDGE)
            product = cv2.mulSpectrums(self._parts[outer], other._parts[outer], 0, conjB=True)
            common = np.abs(_box(product).view(np.complex128)[..., 0])
            with np.errstate(divide="ignore", invalid="ignore"):
                common /= self.energy[inner] + other.energy[inner]
            total += rows[inner] @ common @ columns
        return 2 * float(total)


def _box(values: np.ndarray) -> np.ndarray:
    """Return the means of all complete windows of BOX x BOX pixels, shape (rows - 6, columns - 6, ...)."""
    return cv2.blur(values, (BOX, BOX))[EDGE:-EDGE, EDGE:-EDGE]
