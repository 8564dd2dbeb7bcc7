"""V-BLIINDS: 46 features of a video from natural-scene statistics, DCTs of frame differences, and block motion.

Source: Saad, Bovik and Charrier, "Blind prediction of natural video quality", TIP 2014, as in the authors' release
(Laboratory for Image and Video Engineering, The University of Texas at Austin); The code is our own;
the prior is the authors' (PRIORS_NOTICE.txt).
"""

import collections
import dataclasses
import os
import warnings
from collections.abc import Iterable

import numpy as np
import scipy.fft
from scipy.special import gammaln

from nr_vqm.handcrafted import frame_sampling, niqe
from nr_vqm.handcrafted.block_motion import block_sums, integral, three_step_search
from nr_vqm.handcrafted.natural_scene import gaussian_window, separable_filter
from nr_vqm.video import reader
from nr_vqm.video.decoder_client import DecoderDied
from nr_vqm.video.raw_video import RawFormat

NUM_FEATURES = 46
SKIPPED = 5  # frames at the start and at the end for which no natural-scene statistics are computed
MIN_FRAMES = 3  # two pairs of frames: the fewest between which a change can be measured
DC_BLOCK, DC_REACH = 16, 7
MOTION_BLOCK, MOTION_REACH = 10, 15
DCT_SIZE = 5
_DCT = scipy.fft.dct(np.eye(DCT_SIZE), norm="ortho", axis=0)
_DCT_OF_BLOCKS = np.kron(_DCT, _DCT)  # maps the pixels of a block, row by row, to its coefficients
_ZIGZAG = "00 01 10 20 11 02 03 12 21 30 40 31 22 13 04 14 23 32 41 42 33 24 34 43 44".split()
_ORDER = [DCT_SIZE * int(cell[0]) + int(cell[1]) for cell in _ZIGZAG]
_SHAPES = np.arange(30, 10001) / 1000
_RATIOS = np.exp(gammaln(1 / _SHAPES) + gammaln(3 / _SHAPES) - 2 * gammaln(2 / _SHAPES))  # descending
_NO_SHAPE = 11.0  # the release's value for a ratio outside the table
_SMOOTHING = gaussian_window(5, 0.5)


@dataclasses.dataclass(frozen=True)
class _FramePair:
    """Temporal values of one frame and the frame before it.

    Attributes:
        dc_deviation: standard deviation of the DC values of the motion-compensated difference, over blocks.
        dc: mean DC value of the frame difference.
        bands: shape (3,): DCT shapes of low, middle and high frequencies.
        coherency: motion coherency, 0-1.
        lengths: int, number of motion vectors of each squared length 0, 1, 2 ...
    """

    dc_deviation: float
    dc: float
    bands: np.ndarray
    coherency: float
    lengths: np.ndarray


def feature_names() -> list[str]:
    """Return the names of the 46 features, in the order of `features`."""
    return [
        *(f"mean_{name}" for name in niqe.block_feature_names()),
        "niqe_of_frames",
        "dc_variation",
        "difference_dc_change",
        *(f"shape_{name}" for name in ("hi_lo", "hi_mid", "hi_mid_lo", "hi_mid_and_lo", "mid_lo")),
        "motion_coherency",
        "global_motion",
    ]


def features(frames: Iterable[np.ndarray]) -> np.ndarray:
    """Compute the V-BLIINDS features of a video.

    Args:
        frames: all luma planes in order, each of shape (height, width), at least 96 x 96 pixels, 0-255, uint8 or
            floating point.

    Returns:
        float64, shape (46,). Features 0-35 are the mean block statistics (`niqe.moments`) and feature 36 the NIQE
        distance from the prior 'frames', averaged over all frames but the first and last five. They are NaN for fewer
        than 11 frames, or if no frame has two blocks with texture. Features 37-45 are ln(1 + value), at least 0:
        variation of the DC values of motion-compensated blocks, change of the mean frame difference, five ratios of
        DCT shapes, motion coherency (0 to ln 2) and global motion.

    Raises:
        ValueError: fewer than 3 frames, or frames smaller than 96 x 96.
    """
    statistics: list[np.ndarray] = []
    pairs: list[_FramePair] = []
    held: collections.deque[np.ndarray] = collections.deque(maxlen=SKIPPED + 1)
    number = -1
    for number, frame in enumerate(frames):
        if min(frame.shape) < niqe.BLOCK:
            size = f"{frame.shape[1]}x{frame.shape[0]}"
            raise ValueError(f"V-BLIINDS needs frames of at least {niqe.BLOCK}x{niqe.BLOCK}. Received: {size}.")
        if held:
            pairs.append(_pair(frame, held[-1]))
        held.append(frame)
        if number >= 2 * SKIPPED:
            mean, covariance = niqe.moments(niqe.block_features(held[0]))
            statistics.append(np.append(mean, niqe.distance(mean, covariance, "frames")))
    if number + 1 < MIN_FRAMES:
        raise ValueError(f"V-BLIINDS needs at least {MIN_FRAMES} frames. Received: {number + 1}.")
    spatial = frame_sampling.mean_of_frames(statistics) if statistics else np.full(37, np.nan)
    return np.concatenate([spatial, np.log1p(_temporal(pairs, frame.size))])


def _pair(frame: np.ndarray, before: np.ndarray) -> _FramePair:
    """Compute the temporal values of a frame and the frame before it."""
    difference = np.asarray(frame, np.float64) - before
    coefficients = block_dct(difference)
    vectors = three_step_search(frame, before, block=MOTION_BLOCK, reach=MOTION_REACH)
    return _FramePair(
        dc_deviation=_dc_deviation(frame, before),
        dc=coefficients[0].mean(),
        bands=_bands(coefficients),
        coherency=coherency(vectors),
        lengths=np.bincount(np.square(vectors).sum(axis=2).ravel()),
    )


def _temporal(pairs: list[_FramePair], pixels: int) -> list[float]:
    """Return features 37-45 before the logarithm; `pixels` is the number of pixels of a frame."""
    low, middle, high = np.array([pair.bands for pair in pairs]).T
    ratios = [
        high / (0.1 + low),
        high / (0.1 + middle),
        (high + middle) / 2 / (0.1 + low),
        high / (0.1 + (middle + low) / 2),
        middle / (0.1 + low),
    ]
    return [
        np.abs(np.diff([pair.dc_deviation for pair in pairs])).mean(),
        np.abs(np.diff([pair.dc for pair in pairs])).mean(),
        *np.exp(np.log(ratios).mean(axis=1)),
        np.mean([pair.coherency for pair in pairs]),
        global_motion([pair.lengths for pair in pairs], pixels),
    ]


def _dc_deviation(frame: np.ndarray, before: np.ndarray) -> float:
    """Return the standard deviation (divisor N - 1) of the DC values of the motion-compensated frame difference.

    A DC value is that of one block of 16 x 16 pixels.
    """
    size = DC_BLOCK
    vectors = three_step_search(frame, before, block=size, reach=DC_REACH)
    rows, columns = vectors.shape[:2]
    # A vector that leads outside is clipped to the frame; the release stops with an error there.
    y = np.clip(size * np.arange(rows)[:, None] + vectors[..., 0], 0, frame.shape[0] - size)
    x = np.clip(size * np.arange(columns) + vectors[..., 1], 0, frame.shape[1] - size)
    sums = integral(before)
    matches = sums[y + size, x + size] - sums[y, x + size] - sums[y + size, x] + sums[y, x]
    return float(np.std((block_sums(frame, size) - matches) / size, ddof=1))


def block_dct(x: np.ndarray) -> np.ndarray:
    """Compute the orthonormal DCT of every complete block of 5 x 5 pixels.

    Args:
        x: float64, shape (height, width).

    Returns:
        float64, shape (25, num_blocks); the coefficient of vertical frequency i and horizontal frequency j is row
        5 i + j.
    """
    rows, columns = x.shape[0] // DCT_SIZE, x.shape[1] // DCT_SIZE
    blocks = x[: rows * DCT_SIZE, : columns * DCT_SIZE].reshape(rows, DCT_SIZE, columns, DCT_SIZE)
    return _DCT_OF_BLOCKS @ blocks.transpose(1, 3, 0, 2).reshape(DCT_SIZE**2, -1)


def dct_shapes(coefficients: np.ndarray) -> np.ndarray:
    """Fit a generalised Gaussian to the mean-free coefficients of each frequency and return its shape.

    Args:
        coefficients: float64, shape (num_frequencies, num_blocks), at least two blocks.

    Returns:
        float64, shape (num_frequencies,): 0.03-10 in steps of 0.001; 11 where no shape fits, for example where all
        coefficients are equal.
    """
    centred = coefficients - coefficients.mean(axis=1, keepdims=True)
    variances = np.einsum("ij,ij->i", centred, centred) / (centred.shape[1] - 1)
    ratios = variances / (np.square(np.abs(centred).mean(axis=1)) + 1e-7)
    found = np.searchsorted(-_RATIOS, -ratios, side="right") - 1
    return np.where((found >= 0) & (found < len(_SHAPES) - 1), _SHAPES[found], _NO_SHAPE)


def _bands(coefficients: np.ndarray) -> np.ndarray:
    """Return the geometric mean shapes of the 8 low, 8 middle and 8 high frequencies, shape (3,)."""
    shapes = dct_shapes(coefficients)[_ORDER][1:]
    return np.exp(np.log(shapes).reshape(3, 8).mean(axis=1))


def coherency(vectors: np.ndarray) -> float:
    """Compute the motion coherency: how uniform the direction of motion is around a block, averaged over blocks.

    Args:
        vectors: int, shape (block_rows, block_columns, 2), from `three_step_search`.

    Returns:
        0 (no motion, or all directions alike) to 1 (a single direction).
    """
    dy, dx = np.moveaxis(vectors.astype(np.float64), -1, 0)
    yy, xx, xy = (separable_filter(product, _SMOOTHING, border="symmetric") for product in (dy * dy, dx * dx, dx * dy))
    total = np.square(yy + xx)
    part = np.square(yy - xx) + 4 * np.square(xy)
    return np.divide(part, total, out=np.zeros_like(part), where=total != 0).mean()


def global_motion(lengths: list[np.ndarray], pixels: int) -> float:
    """Compute the mean distance between the mean and the most frequent motion vector length of a frame pair.

    Args:
        lengths: per pair of frames, the number of motion vectors of each squared length 0, 1, 2 ...
        pixels: number of pixels of a frame. As in the release, zero vectors are added until there are pixels / 100
            vectors.

    Returns:
        The distance divided by 1 + the mean of the most frequent lengths; at least 0.
    """
    means, modes = [], []
    for counts in lengths:
        values = np.sqrt(np.arange(len(counts)))
        total = max(pixels // MOTION_BLOCK**2, counts.sum())
        counts = counts + (total - counts.sum()) * (values == 0)
        means.append(values @ counts / total)
        modes.append(values[counts.argmax()])  # the smallest on a tie
    return float(np.abs(np.array(means) - modes).mean() / (1 + np.mean(modes)))


def video_features(path: str | os.PathLike[str], *, raw: RawFormat | str | None = None) -> np.ndarray:
    """Compute the V-BLIINDS features of a video from all of its frames.

    Args:
        path: the video file.
        raw: format of a headerless .yuv file, as a `RawFormat` or its text form; None for all other files.

    Returns:
        float64, shape (46,), all finite; for a video of fewer than 11 frames, features 0-36 are NaN.

    Raises:
        FileNotFoundError: the file does not exist.
        ValueError: the video cannot be decoded, has fewer than 3 frames or frames smaller than 96 x 96, or no frame has
            texture.

    Warns:
        UserWarning: the decoder reports a problem with the frames, for example a damaged file.
    """
    with reader.read_planes(path, raw) as frames:
        try:
            found = features(frame.y for frame in frames)
        except DecoderDied:
            raise
        except ValueError as error:
            raise ValueError(f"{path}: {error}") from error
        for message in frames.warnings:
            warnings.warn(f"{path}: {message}", stacklevel=2)
        if frames.decoded > 2 * SKIPPED:
            frame_sampling.require_defined(found, "V-BLIINDS", path)
    return found
