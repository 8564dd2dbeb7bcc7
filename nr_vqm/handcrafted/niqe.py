"""NIQE: distance of a frame's statistics from those of undistorted photographs; needs no subjective scores.

Source: Mittal, Soundararajan and Bovik, "Making a completely blind image quality analyzer", SPL 2013, as in the
authors' release (Laboratory for Image and Video Engineering, The University of Texas at Austin). The code is our own;
the two priors are the authors' (PRIORS_NOTICE.txt).
"""

import functools
import os
from pathlib import Path

import numpy as np

from nr_vqm.handcrafted import bicubic, frame_sampling
from nr_vqm.handcrafted.natural_scene import aggd, aggd_mean, mscn, scale_factor, shift_products
from nr_vqm.video.raw_video import RawFormat

BLOCK = 96  # pixels a side at full size
SHIFTS = ((0, 1), (1, 0), (1, 1), (1, -1))
PRIORS = {"photographs": "niqe_prior.npz", "frames": "video_bliinds_prior.npz"}


def feature_names() -> list[str]:
    """Return the name of the only feature."""
    return ["niqe"]


def block_feature_names() -> list[str]:
    """Return the names of the 36 statistics of a block, in the order of `block_features`."""
    pairs = [
        f"{direction}_{value}"
        for direction in ("horizontal", "vertical", "main_diagonal", "secondary_diagonal")
        for value in ("shape", "mean", "left_scale", "right_scale")
    ]
    return [f"{scale}_{name}" for scale in ("full", "half") for name in ("shape", "scale", *pairs)]


def block_features(luma: np.ndarray) -> np.ndarray:
    """Compute the natural-scene statistics of every complete block of 96 x 96 pixels, starting at the top left.

    Args:
        luma: shape (height, width), 0-255, at least 96 x 96 pixels.

    Returns:
        float64, shape (num_blocks, 36), blocks row by row; NaN where a fit of a block has no negative or no positive
        samples.

    Raises:
        ValueError: the frame is smaller than a block.
    """
    rows, columns = luma.shape[0] // BLOCK, luma.shape[1] // BLOCK
    if not rows * columns:
        raise ValueError(f"NIQE needs a frame of at least {BLOCK}x{BLOCK}. Received: {luma.shape[1]}x{luma.shape[0]}.")
    luma = np.asarray(luma[: rows * BLOCK, : columns * BLOCK], np.float64)
    return np.hstack([_scale_features(luma, BLOCK), _scale_features(bicubic.halve(luma), BLOCK // 2)])


def _scale_features(luma: np.ndarray, block: int) -> np.ndarray:
    """Return the 18 statistics of each block at one scale, shape (num_blocks, 18); `block` is its size in pixels."""
    z, _ = mscn(luma, border="nearest")
    strips = z.reshape(-1, block, z.shape[1] // block, block).swapaxes(1, 2)
    # One row of blocks at a time, so that it stays in the processor's cache.
    return np.concatenate([_strip_features(np.ascontiguousarray(strip)) for strip in strips])


def _strip_features(blocks: np.ndarray) -> np.ndarray:
    """Return the 18 statistics, shape (num_blocks, 18), of blocks of shape (num_blocks, size, size)."""
    alpha, left, right = aggd(blocks, sample_axes=2)
    values = [alpha, (left + right) / 2 * scale_factor(alpha)]
    for product in shift_products(blocks, SHIFTS):
        alpha, left, right = aggd(product, sample_axes=2)
        factor = scale_factor(alpha)
        values += [alpha, aggd_mean(alpha, left * factor, right * factor), left * factor, right * factor]
    return np.stack(values, axis=1)


@functools.cache
def prior(name: str) -> tuple[np.ndarray, np.ndarray]:
    """Load the mean and covariance of `block_features` over undistorted images.

    Args:
        name: a key of `PRIORS`: 'photographs' for NIQE, 'frames' for V-BLIINDS.

    Returns:
        Mean, float64, shape (36,), and covariance, float64, shape (36, 36).
    """
    with np.load(Path(__file__).with_name(PRIORS[name]), allow_pickle=False) as file:
        return file["mean"], file["covariance"]


def moments(blocks: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Compute the mean and the covariance of the block statistics of one frame.

    Args:
        blocks: float64, shape (num_blocks, 36), from `block_features`.

    Returns:
        Mean, shape (36,), of the defined values of each column, and covariance (divisor N - 1), shape (36, 36), of the
        blocks without NaN. Both are all NaN if fewer than two blocks are without NaN.
    """
    complete = blocks[~np.isnan(blocks).any(axis=1)]
    if len(complete) < 2:
        return np.full(blocks.shape[1], np.nan), np.full((blocks.shape[1],) * 2, np.nan)
    return np.nanmean(blocks, axis=0), np.cov(complete, rowvar=False)


def distance(mean: np.ndarray, covariance: np.ndarray, prior_name: str) -> float:
    """Compute the distance of a frame's statistics from a prior.

    Args:
        mean: float64, shape (36,), from `moments`.
        covariance: float64, shape (36, 36), from `moments`.
        prior_name: a key of `PRIORS`.

    Returns:
        At least 0; 0 is natural, larger values are less natural. NaN if the mean holds NaN.
    """
    if np.isnan(mean).any():
        return np.nan
    prior_mean, prior_covariance = prior(prior_name)
    difference = mean - prior_mean
    return float(np.sqrt(difference @ np.linalg.pinv((covariance + prior_covariance) / 2) @ difference))


def features(luma: np.ndarray) -> np.ndarray:
    """Compute the NIQE score of one frame.

    Args:
        luma: the decoded luma plane without range conversion, shape (height, width), 0-255, at least 96 x 96 pixels.

    Returns:
        float64, shape (1,), typically 2-15, lower is better; NaN if fewer than two blocks have texture.

    Raises:
        ValueError: the frame is smaller than a block.
    """
    return np.array([distance(*moments(block_features(luma)), "photographs")])


def video_features(path: str | os.PathLike[str], *, raw: RawFormat | str | None = None) -> np.ndarray:
    """Compute the NIQE score of a video: the mean of `features` over one frame per second.

    Args:
        path: the video file.
        raw: format of a headerless .yuv file, as a `RawFormat` or its text form; None for all other files.

    Returns:
        float64, shape (1,), finite.

    Raises:
        FileNotFoundError: the file does not exist.
        ValueError: the video cannot be decoded or declares no frame rate, its frames are smaller than 96 x 96, or no
            sampled frame has two blocks with texture.
    """
    found = frame_sampling.average(path, raw, lambda frame, _: features(frame.y))
    return frame_sampling.require_defined(found, "NIQE", path)
