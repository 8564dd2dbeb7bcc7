"""GM-LOG: joint statistics of gradient magnitude and Laplacian of Gaussian, 40 values of a frame.

Source: Xue, Mou, Zhang, Bovik and Feng, "Blind image quality assessment using joint statistics of gradient magnitude
and Laplacian features", TIP 2014, as VIDEVAL computes it (vztu/VIDEVAL, MIT); written anew.
"""

import math

import numpy as np

from nr_vqm.handcrafted import natural_scene

NUM_FEATURES = 40
MIN_SIZE = 7  # pixels a side: the border that is dropped, and one pixel
BINS = 10
SIGMA = 0.5
WINDOW = 2 * math.ceil(3 * SIGMA) + 1
NORMALISING_SIGMA = 2 * SIGMA
NORMALISING_WINDOW = natural_scene.gaussian_window(2 * math.ceil(3 * NORMALISING_SIGMA) + 1, NORMALISING_SIGMA)
BORDER = math.ceil(3 * NORMALISING_SIGMA) - 1  # dropped: what lies outside the frame would take part
GRADIENT_SCALE = 2.5  # gradient magnitude over Laplacian, on average
STABILISER = 0.2  # keeps the normaliser off zero
BIN_WIDTH = 0.2
EMPTY = 1e-4  # keeps conditional probabilities of empty bins at zero


def feature_names() -> list[str]:
    """Name the 40 features, in order."""
    groups = ("gradient", "laplacian", "gradient_dependency", "laplacian_dependency")
    return [f"{group}_{number}" for group in groups for number in range(1, BINS + 1)]


def features(luma: np.ndarray) -> np.ndarray:
    """Compute GM-LOG features of one frame.

    Args:
        luma: shape (height, width), 0-255, at least MIN_SIZE x MIN_SIZE.

    Returns:
        float64, shape (40,), 0-1: histograms of the normalised gradient magnitude and Laplacian in ten bins, then of
        their dependencies (the sums of the conditional probabilities), each adding up to 1.

    Raises:
        ValueError: the frame is too small.
    """
    if min(luma.shape) < MIN_SIZE:
        height, width = luma.shape
        raise ValueError(f"GM-LOG needs frames of at least {MIN_SIZE} x {MIN_SIZE} pixels, found {width} x {height}.")
    gradient, laplacian = normalised_maps(np.asarray(luma, np.float64))
    counts = np.bincount((BINS * _bin(gradient) + _bin(laplacian)).ravel(), minlength=BINS * BINS)
    joint = counts.reshape(BINS, BINS) / gradient.size
    marginals = joint.sum(axis=1), joint.sum(axis=0)
    of_gradient = (joint / (marginals[1] + EMPTY)).sum(axis=1)
    of_laplacian = (joint / (marginals[0][:, None] + EMPTY)).sum(axis=0)
    return np.concatenate([*marginals, of_gradient / of_gradient.sum(), of_laplacian / of_laplacian.sum()])


def normalised_maps(luma: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Gradient magnitude and absolute Laplacian of Gaussian, divided by their local joint energy.

    Args:
        luma: float64, shape (height, width).

    Returns:
        both float64, shape (height - 2 BORDER, width - 2 BORDER), at least 0.
    """
    across, down = (natural_scene.correlate(luma, kernel) for kernel in _gradient_kernels())
    gradient = np.sqrt(across * across + down * down) / GRADIENT_SCALE
    laplacian = np.abs(natural_scene.correlate(luma, _laplacian_kernel()))
    energy = (gradient * gradient + laplacian * laplacian) / 2
    norm = np.sqrt(natural_scene.separable_filter(energy, NORMALISING_WINDOW, border="zero")) + STABILISER
    inside = np.s_[BORDER:-BORDER, BORDER:-BORDER]
    return (gradient / norm)[inside], (laplacian / norm)[inside]


def _bin(value: np.ndarray) -> np.ndarray:
    """Return zero-based bin numbers; the last bin has no upper limit."""
    return np.clip(np.ceil(value / BIN_WIDTH), 1, BINS).astype(np.intp) - 1


def _gradient_kernels() -> tuple[np.ndarray, np.ndarray]:
    """Return the kernels of the horizontal and vertical derivative: differences of shifted Gaussians."""
    window = natural_scene.gaussian_window(WINDOW + 2, SIGMA)
    window = np.outer(window, window)
    across = window[1:-1, 1:-1] - window[1:-1, 2:]
    across /= np.abs(across).sum()
    return across, np.ascontiguousarray(across.T)


def _laplacian_kernel() -> np.ndarray:
    """Return a Laplacian-of-Gaussian kernel with sum 0 and sum of magnitudes 1."""
    x = np.arange(WINDOW) - WINDOW // 2
    squares = np.square(x)[:, None] + np.square(x)
    gauss = np.exp(-squares / (2 * SIGMA**2))
    kernel = gauss / gauss.sum() * (squares - 2 * SIGMA**2) / SIGMA**4
    kernel -= kernel.mean()
    return kernel / np.abs(kernel).sum()
