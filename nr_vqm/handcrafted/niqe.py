"""NIQE: the distance of a frame's statistics from those of undamaged photographs; needs no training.

Source: Mittal, Soundararajan and Bovik, "Making a completely blind image quality analyzer", SPL 2013, as in the
authors' release (Laboratory for Image and Video Engineering, The University of Texas at Austin); written anew. The
prior is theirs: PRIORS_NOTICE.txt.
"""

import functools
import os
from pathlib import Path

import numpy as np

from nr_vqm.handcrafted import frame_sampling
from nr_vqm.handcrafted.natural_scene import aggd, aggd_mean, halve, mscn, scale_factor, shift_products
from nr_vqm.video.raw_video import RawFormat

BLOCK = 96  # pixels a side at full size
SHIFTS = ((0, 1), (1, 0), (1, 1), (1, -1))
PRIORS = {"photographs": "niqe_prior.npz", "frames": "video_bliinds_prior.npz"}


def feature_names() -> list[str]:
    """Name the one feature."""
    return ["niqe"]


def block_feature_names() -> list[str]:
    """Name the 36 statistics of a block, in order."""
    pairs = [
        f"{direction}_{value}"
        for direction in ("horizontal", "vertical", "main_diagonal", "secondary_diagonal")
        for value in ("shape", "mean", "left_scale", "right_scale")
    ]
    return [f"{scale}_{name}" for scale in ("full", "half") for name in ("shape", "scale", *pairs)]


def block_features(luma: np.ndarray) -> np.ndarray:
    """Compute the statistics of every whole block of 96 x 96 pixels, from the top left.

    Args:
        luma: shape (height, width), 0-255, at least 96 x 96.

    Returns:
        float64, shape (blocks, 36), blocks row by row; NaN where a block has no samples on one side of zero.

    Raises:
        ValueError: the frame is smaller than a block.
    """
    rows, columns = luma.shape[0] // BLOCK, luma.shape[1] // BLOCK
    if not rows * columns:
        raise ValueError(f"NIQE needs a frame of at least {BLOCK}x{BLOCK}. Received: {luma.shape[1]}x{luma.shape[0]}.")
    luma = np.asarray(luma[: rows * BLOCK, : columns * BLOCK], np.float64)
    return np.hstack([_scale(luma, BLOCK), _scale(halve(luma), BLOCK // 2)])


def _scale(luma, block):
    z, _ = mscn(luma, border="nearest")
    strips = z.reshape(-1, block, z.shape[1] // block, block).swapaxes(1, 2)
    return np.concatenate([_strip(np.ascontiguousarray(strip)) for strip in strips])  # a strip stays in the cache


def _strip(blocks):
    """The 18 statistics of blocks, shape (blocks, block, block)."""
    alpha, left, right = aggd(blocks, sample_axes=2)
    values = [alpha, (left + right) / 2 * scale_factor(alpha)]
    for product in shift_products(blocks, SHIFTS):
        alpha, left, right = aggd(product, sample_axes=2)
        factor = scale_factor(alpha)
        values += [alpha, aggd_mean(alpha, left * factor, right * factor), left * factor, right * factor]
    return np.stack(values, axis=1)


@functools.cache
def prior(name: str) -> tuple[np.ndarray, np.ndarray]:
    """Load the statistics of undamaged pictures.

    Args:
        name: a key of `PRIORS`: 'photographs' for NIQE, 'frames' for V-BLIINDS.

    Returns:
        mean, shape (36,), and covariance, shape (36, 36), of `block_features`.
    """
    with np.load(Path(__file__).with_name(PRIORS[name]), allow_pickle=False) as file:
        return file["mean"], file["covariance"]


def moments(blocks: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean and covariance (N - 1) of a frame's `block_features`.

    Args:
        blocks: float64, shape (blocks, 36).

    Returns:
        mean, shape (36,), of each column without its NaN; covariance, shape (36, 36), of the blocks without NaN. Both
        NaN where fewer than two blocks have none.
    """
    complete = blocks[~np.isnan(blocks).any(axis=1)]
    if len(complete) < 2:
        return np.full(blocks.shape[1], np.nan), np.full((blocks.shape[1],) * 2, np.nan)
    return np.nanmean(blocks, axis=0), np.cov(complete, rowvar=False)


def distance(mean: np.ndarray, covariance: np.ndarray, prior_name: str) -> float:
    """Distance of a frame's `moments` from a `prior`; 0 is natural, higher is worse, NaN stays NaN."""
    if np.isnan(mean).any():
        return np.nan
    prior_mean, prior_covariance = prior(prior_name)
    difference = mean - prior_mean
    return float(np.sqrt(difference @ np.linalg.pinv((covariance + prior_covariance) / 2) @ difference))


def features(luma: np.ndarray) -> np.ndarray:
    """Compute the NIQE of one frame.

    Args:
        luma: shape (height, width), 0-255, the decoder's own, at least 96 x 96.

    Returns:
        float64, shape (1,), about 2-15, lower is better; NaN where fewer than two blocks have texture.

    Raises:
        ValueError: the frame is smaller than a block.
    """
    return np.array([distance(*moments(block_features(luma)), "photographs")])


def video_features(path: str | os.PathLike, raw: RawFormat | str | None = None) -> np.ndarray:
    """Average `features` over one frame a second of a video.

    Returns:
        float64, shape (1,), finite.

    Raises:
        FileNotFoundError, ValueError: as `frame_sampling.read_sampled`; or the frames are smaller than a block, or
            none has two blocks with texture.
    """
    found = frame_sampling.average(path, raw, lambda frame, _: features(frame.y))
    return frame_sampling.require_defined(found, "NIQE", path)
