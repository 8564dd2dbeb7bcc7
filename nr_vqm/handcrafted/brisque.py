"""BRISQUE: 36 natural-scene statistics of a frame at two scales.

Source: Mittal, Moorthy and Bovik, "No-reference image quality assessment in the spatial domain", TIP 2012, as in the
authors' release (Laboratory for Image and Video Engineering, The University of Texas at Austin). The code is our own.
"""

import os

import numpy as np

from nr_vqm.handcrafted import bicubic, frame_sampling
from nr_vqm.handcrafted.natural_scene import ggd, mscn, pair_statistics, shift_products, with_sides
from nr_vqm.video.raw_video import RawFormat

NUM_FEATURES = 36


def feature_names() -> list[str]:
    """Return the names of the 36 features, in the order of `features`."""
    pairs = [
        f"{direction}_{value}"
        for direction in ("horizontal", "vertical", "main_diagonal", "secondary_diagonal")
        for value in ("shape", "mean", "left_variance", "right_variance")
    ]
    return [f"{scale}_{name}" for scale in ("full", "half") for name in ("shape", "variance", *pairs)]


def features(luma: np.ndarray) -> np.ndarray:
    """Compute the BRISQUE features of one frame.

    Args:
        luma: the decoded luma plane without range conversion, shape (height, width), 0-255, integer or floating point.

    Returns:
        float64, shape (36,), 18 values at full size, then 18 at half size: shape (0.2-10) and variance of the MSCN
        coefficients; then, for each of four neighbour directions, shape, mean, left and right variance of the product
        of neighbouring coefficients. NaN where such a product has no negative or no positive samples, as in a constant
        frame.
    """
    luma = np.asarray(luma, np.float64)
    return np.array(_scale_features(luma) + _scale_features(bicubic.halve(luma)))


def _scale_features(luma: np.ndarray) -> list[float]:
    """Return the 18 values of one scale."""
    z, _ = mscn(luma, border="zero")
    alpha, sigma = ggd(z)
    values = [alpha, sigma**2]
    for product in shift_products(with_sides(z, luma)):
        values += pair_statistics(product)
    return values


def video_features(path: str | os.PathLike[str], *, raw: RawFormat | str | None = None) -> np.ndarray:
    """Compute the BRISQUE features of a video: the mean of `features` over one frame per second.

    Args:
        path: the video file.
        raw: format of a headerless .yuv file, as a `RawFormat` or its text form; None for all other files.

    Returns:
        float64, shape (36,), finite.

    Raises:
        FileNotFoundError: the file does not exist.
        ValueError: the video cannot be decoded or declares no frame rate, or no sampled frame has texture.
    """
    found = frame_sampling.average(path, raw, lambda frame, _: features(frame.y))
    return frame_sampling.require_defined(found, "BRISQUE", path)
