"""HIGRADE: natural-scene statistics of a frame's gradient magnitude; the eight values that VIDEVAL uses.

Source: Kundu, Ghadiyaram, Bovik and Evans, "No-reference quality assessment of tone-mapped HDR pictures", TIP 2017, as
VIDEVAL computes it (vztu/VIDEVAL, MIT); written anew.
"""

import cv2
import numpy as np

from nr_vqm.handcrafted import bicubic, natural_scene

NUM_FEATURES = 8
LOG_OFFSET = 0.1
# The upper and lower neighbours less the left and right ones.
CROSS = np.array([[0, 1, 0], [-1, 0, -1], [0, 1, 0]], np.float64)


def feature_names() -> list[str]:
    """Name the 8 features, in order."""
    return [
        "full_deviation",
        "full_log_square_deviation",
        "full_log_square_shape",
        "full_log_cross_shape",
        "half_deviation",
        "half_main_diagonal_difference_shape",
        "half_secondary_diagonal_difference_shape",
        "half_cross_deviation",
    ]


def features(luma: np.ndarray) -> np.ndarray:
    """Compute VIDEVAL's HIGRADE features of one frame.

    Args:
        luma: shape (height, width), 0-255.

    Returns:
        float64, shape (8,): standard deviations (at least 0) and shapes (0.2-10) of generalised Gaussians, fitted to
        the normalised gradient magnitude and differences of neighbours in it or in its logarithm, at full size, then
        of the halved gradient magnitude. A shape is NaN where all samples are equal.
    """
    gradient = gradient_magnitude(np.asarray(luma, np.float64))
    full = natural_scene.mscn(gradient, border="zero")[0]
    half = natural_scene.mscn(np.ascontiguousarray(bicubic.halve(gradient)), border="zero")[0]
    log = np.log(np.abs(full) + LOG_OFFSET)
    square = log + np.roll(log, (1, 1), (0, 1)) - np.roll(log, 1, 1) - np.roll(log, 1, 0)
    square_shape, square_deviation = _fit(square)
    return np.array(
        [
            full.std(),
            square_deviation,
            square_shape,
            _fit(natural_scene.correlate(log, CROSS))[0],
            half.std(),
            _fit(half - np.roll(half, (1, 1), (0, 1)))[0],
            _fit(half - np.roll(half, (-1, 1), (0, 1)))[0],
            natural_scene.correlate(half, CROSS).std(),
        ]
    )


def gradient_magnitude(luma: np.ndarray) -> np.ndarray:
    """Length of the Sobel gradient, edges repeated, as MATLAB's imgradient.

    Args:
        luma: float64, shape (height, width).

    Returns:
        float64, the same shape, at least 0.
    """
    across, down = (cv2.Sobel(luma, cv2.CV_64F, *axes, borderType=cv2.BORDER_REPLICATE) for axes in ((1, 0), (0, 1)))
    return np.sqrt(across * across + down * down)


def _fit(samples: np.ndarray) -> tuple[float, float]:
    """Fit a generalised Gaussian to the mean-free samples; return its shape and standard deviation."""
    return natural_scene.ggd(samples - samples.mean())
