"""BRISQUE: 36 natural-scene statistics of a frame at two scales.

Source: Mittal, Moorthy and Bovik, "No-reference image quality assessment in the spatial domain", TIP 2012, as in the
authors' release (Laboratory for Image and Video Engineering, The University of Texas at Austin); written anew.
"""

import os

import numpy as np

from nr_vqm.handcrafted import frame_sampling
from nr_vqm.handcrafted.natural_scene import ggd, halve, mscn, pair_statistics, shift_products, with_sides
from nr_vqm.video.raw_video import RawFormat

NUM_FEATURES = 36


def feature_names() -> list[str]:
    """Name the 36 features, in order."""
    pairs = [
        f"{direction}_{value}"
        for direction in ("horizontal", "vertical", "main_diagonal", "secondary_diagonal")
        for value in ("shape", "mean", "left_variance", "right_variance")
    ]
    return [f"{scale}_{name}" for scale in ("full", "half") for name in ("shape", "variance", *pairs)]


def features(luma: np.ndarray) -> np.ndarray:
    """Compute BRISQUE's features of one frame.

    Args:
        luma: shape (height, width), 0-255, the decoder's own.

    Returns:
        float64, shape (36,): for the full and the half size the shape (0.2-10) and the variance of the normalised
        luma, and of its products with four neighbours the shape, mean and both variances. NaN where a product has no
        samples on one side of zero, as in a constant frame.
    """
    luma = np.asarray(luma, np.float64)
    return np.array(_scale(luma) + _scale(halve(luma)))


def _scale(luma):
    z, _ = mscn(luma, border="zero")
    alpha, deviation = ggd(z)
    values = [alpha, deviation**2]
    for product in shift_products(with_sides(z, luma)):
        values += pair_statistics(product)
    return values


def video_features(path: str | os.PathLike, raw: RawFormat | str | None = None) -> np.ndarray:
    """Average `features` over one frame a second of a video.

    Returns:
        float64, shape (36,), finite.

    Raises:
        FileNotFoundError, ValueError: as `frame_sampling.read_sampled`; or no sampled frame has texture.
    """
    found = frame_sampling.average(path, raw, lambda frame, _: features(frame.y))
    return frame_sampling.require_defined(found, "BRISQUE", path)
