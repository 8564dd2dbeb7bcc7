"""V-BLIINDS: 46 features of a video from its frames' statistics, the DCT of their differences, and block motion.

Source: Saad, Bovik and Charrier, "Blind prediction of natural video quality", TIP 2014, as in the authors' release
(Laboratory for Image and Video Engineering, The University of Texas at Austin); written anew. The prior is theirs:
PRIORS_NOTICE.txt.
"""

import collections
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
from nr_vqm.video.raw_video import RawFormat

NUM_FEATURES = 46
SKIPPED = 5  # frames at either end without natural-scene statistics
MIN_FRAMES = 3  # of two pairs, the least that has a change from pair to pair
DC_BLOCK, DC_REACH = 16, 7
MOTION_BLOCK, MOTION_REACH = 10, 15
DCT_SIZE = 5
_DCT = scipy.fft.dct(np.eye(DCT_SIZE), norm="ortho", axis=0)
_DCT_OF_BLOCKS = np.kron(_DCT, _DCT)  # pixels of a block, row by row -> coefficients, vertical frequency first
_ZIGZAG = "00 01 10 20 11 02 03 12 21 30 40 31 22 13 04 14 23 32 41 42 33 24 34 43 44".split()
_ORDER = [DCT_SIZE * int(row) + int(column) for row, column in _ZIGZAG]
_SHAPES = np.arange(30, 10001) / 1000
_RATIOS = np.exp(gammaln(1 / _SHAPES) + gammaln(3 / _SHAPES) - 2 * gammaln(2 / _SHAPES))  # descending
_NO_SHAPE = 11.0  # of a ratio outside the table, as in the release
_SMOOTHING = gaussian_window(5, 0.5)


def feature_names() -> list[str]:
    """Name the 46 features, in order."""
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
    """Compute the 46 features of a video.

    Args:
        frames: luma, each of shape (height, width), at least 96 x 96, 0-255, uint8 or floating point.

    Returns:
        float64, shape (46,). 0-35: means over the frames (without the first and last five) of `niqe.moments`; 36: of
        `niqe.distance`; all 37 NaN for fewer than 11 frames, or where no frame has two blocks with texture. 37-45, as
        ln(1 + value), at least 0: variation of the DC of motion-compensated blocks, change of the mean difference, five
        ratios of DCT shapes, coherency (0 to ln 2) and globality of motion.

    Raises:
        ValueError: fewer than 3 frames, or frames smaller than 96 x 96.
    """
    statistics, pairs, held = [], [], collections.deque(maxlen=SKIPPED + 1)
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


def _pair(frame, before):
    """The values of a frame and the one before it, a dict."""
    difference = np.asarray(frame, np.float64) - before
    coefficients = block_dct(difference)
    vectors = three_step_search(frame, before, block=MOTION_BLOCK, reach=MOTION_REACH)
    return {
        "dc_deviation": _dc_deviation(frame, before),
        "dc": coefficients[0].mean(),
        "bands": _bands(coefficients),
        "coherency": coherency(vectors),
        "lengths": np.bincount(np.square(vectors).sum(axis=2).ravel()),  # how often each squared length occurs
    }


def _temporal(pairs, pixels):
    """Features 37-45 before the logarithm."""
    values = {name: np.array([pair[name] for pair in pairs]) for name in ("dc_deviation", "dc", "bands", "coherency")}
    low, middle, high = values["bands"].T
    ratios = [
        high / (0.1 + low),
        high / (0.1 + middle),
        (high + middle) / 2 / (0.1 + low),
        high / (0.1 + (middle + low) / 2),
        middle / (0.1 + low),
    ]
    return [
        np.abs(np.diff(values["dc_deviation"])).mean(),
        np.abs(np.diff(values["dc"])).mean(),
        *np.exp(np.log(ratios).mean(axis=1)),
        values["coherency"].mean(),
        global_motion([pair["lengths"] for pair in pairs], pixels),
    ]


def _dc_deviation(frame, before):
    """Standard deviation (N - 1) of the DC of what motion compensation leaves, over blocks of 16 x 16."""
    size = DC_BLOCK
    vectors = three_step_search(frame, before, block=size, reach=DC_REACH)
    rows, columns = vectors.shape[:2]
    # A vector that leads outside is clipped to the frame; the release would stop with an error.
    y = np.clip(size * np.arange(rows)[:, None] + vectors[..., 0], 0, frame.shape[0] - size)
    x = np.clip(size * np.arange(columns) + vectors[..., 1], 0, frame.shape[1] - size)
    sums = integral(before)
    matches = sums[y + size, x + size] - sums[y, x + size] - sums[y + size, x] + sums[y, x]
    return np.std((block_sums(frame, size) - matches) / size, ddof=1)


def block_dct(x: np.ndarray) -> np.ndarray:
    """Orthonormal DCT of every whole block of 5 x 5.

    Args:
        x: float64, shape (height, width).

    Returns:
        float64, shape (25, blocks), the vertical frequency first.
    """
    rows, columns = x.shape[0] // DCT_SIZE, x.shape[1] // DCT_SIZE
    blocks = x[: rows * DCT_SIZE, : columns * DCT_SIZE].reshape(rows, DCT_SIZE, columns, DCT_SIZE)
    return _DCT_OF_BLOCKS @ blocks.transpose(1, 3, 0, 2).reshape(DCT_SIZE**2, -1)


def dct_shapes(coefficients: np.ndarray) -> np.ndarray:
    """Fit the shape of a generalised Gaussian to the values of each frequency, without their mean.

    Args:
        coefficients: float64, shape (frequencies, blocks), at least two blocks.

    Returns:
        float64, shape (frequencies,): 0.03-10 in steps of 0.001; 11 where none fits, as without any difference.
    """
    centred = coefficients - coefficients.mean(axis=1, keepdims=True)
    variances = np.einsum("ij,ij->i", centred, centred) / (centred.shape[1] - 1)
    ratios = variances / (np.square(np.abs(centred).mean(axis=1)) + 1e-7)
    found = np.searchsorted(-_RATIOS, -ratios, side="right") - 1
    return np.where((found >= 0) & (found < len(_SHAPES) - 1), _SHAPES[found], _NO_SHAPE)


def _bands(coefficients):
    """Geometric means of the shapes of 8 low, 8 middle and 8 high frequencies."""
    shapes = dct_shapes(coefficients)[_ORDER][1:]
    return np.exp(np.log(shapes).reshape(3, 8).mean(axis=1))


def coherency(vectors: np.ndarray) -> float:
    """Mean over blocks of how much the motion around a block has one direction.

    Args:
        vectors: of `three_step_search`.

    Returns:
        0 (no motion, or every direction) to 1.
    """
    dy, dx = np.moveaxis(vectors.astype(np.float64), -1, 0)
    yy, xx, xy = (separable_filter(product, _SMOOTHING, border="symmetric") for product in (dy * dy, dx * dx, dx * dy))
    total = np.square(yy + xx)
    part = np.square(yy - xx) + 4 * np.square(xy)
    return np.divide(part, total, out=np.zeros_like(part), where=total != 0).mean()


def global_motion(lengths: list[np.ndarray], pixels: int) -> float:
    """How far the mean length of the vectors is from the most frequent one, relative to that.

    Args:
        lengths: for each pair of frames how often each squared length 0, 1, 2 ... occurs.
        pixels: of a frame. The list of vectors counts as filled up with zeros to a hundredth of them, as in the
            release.

    Returns:
        at least 0.
    """
    means, modes = [], []
    for counts in lengths:
        values = np.sqrt(np.arange(len(counts)))
        total = max(pixels // MOTION_BLOCK**2, counts.sum())
        counts = counts + (total - counts.sum()) * (values == 0)
        means.append(values @ counts / total)
        modes.append(values[counts.argmax()])  # the smallest on a tie
    return np.abs(np.array(means) - modes).mean() / (1 + np.mean(modes))


def video_features(path: str | os.PathLike, raw: RawFormat | str | None = None) -> np.ndarray:
    """Compute `features` from all frames of a video.

    Returns:
        float64, shape (46,); 0-36 are NaN in a video of fewer than 11 frames, else all are finite.

    Raises:
        FileNotFoundError, ValueError: as `reader.read_planes` and `features`; or no frame has texture.

    Warns:
        UserWarning: what makes the frames doubtful, for example damage.
    """
    with reader.read_planes(path, raw) as frames:
        try:
            found = features(frame.y for frame in frames)
        except ValueError as error:
            raise ValueError(f"{path}: {error}") from error
        for message in frames.warnings:
            warnings.warn(f"{path}: {message}", stacklevel=2)
        if frames.decoded > 2 * SKIPPED:
            frame_sampling.require_defined(found, "V-BLIINDS", path)
    return found
