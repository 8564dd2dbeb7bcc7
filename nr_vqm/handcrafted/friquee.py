"""FRIQUEE: 560 natural-scene statistics of a frame in several colour spaces.

Source: D. Ghadiyaram and A. C. Bovik, "Perceptual quality prediction on authentically distorted images using a bag of
features approach" (Journal of Vision, 2017). Where the article leaves a choice open, the code follows the authors'
release.
FRIQUEE: copyright Laboratory for Image and Video Engineering, University of Texas at Austin.

A frame is converted to several maps (`colour_maps`). Each map is normalised once (`map_statistics.NormalisedMap`)
and described by blocks of statistics (the functions whose names end in `_block`).

In feature names and variables, "deviation" is a local or global standard deviation.
"""

import math
import os
from collections.abc import Sequence

import numpy as np

from nr_vqm.handcrafted import (
    colour_maps,
    complex_diivine,
    frame_sampling,
    map_statistics,
    natural_scene,
    steerable_pyramid,
)
from nr_vqm.handcrafted.map_statistics import (
    DIFFERENCE_NAMES,
    LAPLACIAN_NAMES,
    NormalisedMap,
    difference_block,
    laplacian_block,
)
from nr_vqm.video.raw_video import RawFormat

NUM_FEATURES = 560
NUM_GRAY_FEATURES = 62  # the first features; if they are undefined, the frame has no texture
MIN_SIZE = steerable_pyramid.MIN_SIZE
PAIRS = ("right", "down", "down_right", "up_right")  # names of natural_scene.PAIR_SHIFTS
PAIR_NAMES = tuple(f"pair_{pair}_{name}" for pair in PAIRS for name in ("shape", "mean", "left", "right")) + tuple(
    f"pair_{pair}_{name}" for pair in PAIRS for name in ("skewness", "kurtosis")
)
DEVIATION_NAMES = ("deviation_kurtosis", "deviation_skewness", "deviation_mean")
MSCN_NAMES = ("mscn_shape", "mscn_deviation", "mscn_kurtosis", "mscn_skewness")
MSCN_OF_DEVIATION_NAMES = tuple(f"deviation_{name}" for name in MSCN_NAMES)
OPPONENT_NAMES = ("shape", "left", "right", "kurtosis", "skewness")
HISTOGRAM_BINS = 100


def features(rgb: np.ndarray) -> np.ndarray:
    """Compute the FRIQUEE features of one frame.

    Args:
        rgb: uint8 RGB, shape (height, width, 3), at least `MIN_SIZE` pixels high and wide. For frames of a video use
            `colour_maps.rgb_for_friquee`.

    Returns:
        float64, shape (560,), in the order of `feature_names`. Undefined values are NaN: shapes and skewness of a map
        without contrast (the chroma and yellow maps of a grey frame), and fits that do not converge.

    Raises:
        ValueError: the frame is not uint8 RGB, or is smaller than `MIN_SIZE`.
    """
    _check(rgb)
    gray, chroma, yellow = (colour(rgb) for colour in (colour_maps.gray, colour_maps.chroma, colour_maps.yellow))
    long, medium, short = colour_maps.lms(rgb)
    values = [*luma_features(gray, yellow), *chroma_features(chroma)]
    for cone in (medium, short):
        values += cone_features(cone)
    values += [*opponent_features(long, medium, short), *hue_and_saturation_features(rgb)]
    for image in (gray, chroma, medium, short):
        values += complex_diivine.features(image).tolist()
    return np.array(values)


def feature_names() -> list[str]:
    """Return the names of the 560 features, in the order of `features`."""
    whole = [*DIFFERENCE_NAMES, *LAPLACIAN_NAMES]
    names = _at_two_scales("gray", [*PAIR_NAMES, *DEVIATION_NAMES, *MSCN_NAMES])
    names += ["yellow_deviation_mscn_misfit", "yellow_mscn_misfit", *(f"gray_full_{name}" for name in whole)]
    names += _at_two_scales("chroma", [*PAIR_NAMES, *DEVIATION_NAMES, *MSCN_NAMES, *MSCN_OF_DEVIATION_NAMES])
    names += [f"chroma_full_{name}" for name in whole]
    for cone in ("medium", "short"):
        names += _at_two_scales(cone, [*DEVIATION_NAMES, *MSCN_NAMES, *MSCN_OF_DEVIATION_NAMES])
        names += [f"{cone}_full_{name}" for name in whole]
    names += [f"{axis}_{name}" for axis in ("red_green", "blue_yellow") for name in OPPONENT_NAMES]
    names += [f"{name}_{value}" for name in ("hue", "saturation") for value in ("mean", "deviation")]
    maps = ("gray", "chroma", "medium", "short")
    return names + [f"{name}_{value}" for name in maps for value in complex_diivine.feature_names()]


def video_features(path: str | os.PathLike[str], *, raw: RawFormat | str | None = None) -> np.ndarray:
    """Compute the FRIQUEE features of a video: the mean of `features` over one frame per second, ignoring NaN.

    Args:
        path: the video file.
        raw: format of a headerless .yuv file, as a `RawFormat` or its text form; None for all other files.

    Returns:
        float64, shape (560,). NaN where a value is undefined in every sampled frame, for example the chroma features of
        a video without colour; a regression should replace them by the mean over its training videos.

    Raises:
        FileNotFoundError: the file does not exist.
        ValueError: the video cannot be decoded or declares no frame rate, its frames are smaller than `MIN_SIZE`, or no
            sampled frame has texture.
    """
    mean = frame_sampling.average(path, raw, lambda frame, _: features(colour_maps.rgb_for_friquee(*frame)))
    frame_sampling.require_defined(mean[:NUM_GRAY_FEATURES], "FRIQUEE", path)
    return mean


def _at_two_scales(image: str, names: Sequence[str]) -> list[str]:
    """Return the names of a map's values at full size, then at half size."""
    return [f"{image}_{scale}_{name}" for scale in ("full", "half") for name in names]


def _check(rgb: np.ndarray) -> None:
    """Raise ValueError unless rgb is a uint8 RGB frame of sufficient size."""
    if rgb.dtype != np.uint8 or rgb.ndim != 3 or rgb.shape[2] != 3:
        raise ValueError(f"FRIQUEE needs uint8 RGB of shape (height, width, 3). Received: {rgb.dtype} {rgb.shape}.")
    height, width = rgb.shape[:2]
    if min(height, width) < MIN_SIZE:
        raise ValueError(f"FRIQUEE needs frames of at least {MIN_SIZE} x {MIN_SIZE} pixels, found {width} x {height}.")


def luma_features(gray: np.ndarray, yellow: np.ndarray) -> list[float]:
    """Compute the 74 features of the grey map, which include two of the yellow-blue map.

    Args:
        gray: float64, shape (height, width), from `colour_maps.gray`.
        yellow: float64, shape (height, width), from `colour_maps.yellow`.
    """
    full, half = NormalisedMap(gray), map_statistics.halved(gray)
    values: list[float] = []
    for scale in (full, half):
        values += [*pair_block(scale.sided_mscn), *deviation_block(scale.deviation), *mscn_block(scale.mscn)]
    contrast = NormalisedMap(yellow)
    values += [misfit(contrast.mscn_of_deviation), misfit(contrast.mscn)]
    return [*values, *difference_block(full.deviation), *laplacian_block(gray)]


def chroma_features(chroma: np.ndarray) -> list[float]:
    """Compute the 80 features of the chroma map.

    Args:
        chroma: float64, shape (height, width), from `colour_maps.chroma`.
    """
    full, half = NormalisedMap(chroma), map_statistics.halved(chroma)
    values: list[float] = []
    for scale in (full, half):
        values += [*pair_block(scale.sided_mscn), *_deviation_and_mscn_blocks(scale)]
    return [*values, *difference_block(full.deviation), *laplacian_block(chroma)]


def cone_features(cone: np.ndarray) -> list[float]:
    """Compute the 32 features of the map of the medium or the short cone.

    Args:
        cone: float64, shape (height, width), from `colour_maps.lms`.
    """
    full, half = NormalisedMap(cone), map_statistics.halved(cone)
    values = [*_deviation_and_mscn_blocks(full), *_deviation_and_mscn_blocks(half)]
    return [*values, *difference_block(full.deviation), *laplacian_block(cone)]


def _deviation_and_mscn_blocks(image: NormalisedMap) -> list[float]:
    blocks = deviation_block(image.deviation), mscn_block(image.mscn), mscn_block(image.mscn_of_deviation)
    return [value for block in blocks for value in block]


def opponent_features(long: np.ndarray, medium: np.ndarray, short: np.ndarray) -> list[float]:
    """Compute the 10 features of the opponent maps red-green and blue-yellow.

    The opponent maps combine the MSCN coefficients of the logarithms of the cone responses.

    Args:
        long: response of the long cones, float64, shape (height, width), from `colour_maps.lms`.
        medium: response of the medium cones.
        short: response of the short cones.
    """
    black = long == 0
    long, medium, short = (natural_scene.mscn(np.log1p(cone), border="zero")[0] for cone in (long, medium, short))
    flat = ~black & (long == 0) & (medium == 0) & (short == 0)
    values: list[float] = []
    # Rounding errors of the release place flat white areas below zero in red-green and above zero in blue-yellow.
    for opponent, side in (
        ((long - medium) / math.sqrt(2), -natural_scene.JUST_ABOVE_ZERO),
        ((long + medium - 2 * short) / math.sqrt(6), natural_scene.JUST_ABOVE_ZERO),
    ):
        opponent[flat] = side
        skewness, kurtosis = natural_scene.skew_kurt(opponent)
        values += [*natural_scene.aggd(opponent), kurtosis, skewness]
    return values


def hue_and_saturation_features(rgb: np.ndarray) -> list[float]:
    """Compute mean and standard deviation (divisor N - 1) of hue, then of saturation.

    Args:
        rgb: uint8 RGB, shape (height, width, 3).
    """
    maps = colour_maps.hue_and_saturation(rgb)
    return [value for image in maps for value in (image.mean(), image.std(ddof=1))]


def pair_block(sided_mscn: np.ndarray) -> list[float]:
    """Compute the 24 values `PAIR_NAMES` of the products of neighbouring MSCN coefficients.

    Args:
        sided_mscn: float64, shape (height, width), from `NormalisedMap.sided_mscn`.
    """
    products = list(natural_scene.shift_products(sided_mscn))
    fits = [value for product in products for value in natural_scene.pair_statistics(product)]
    return fits + [value for product in products for value in natural_scene.skew_kurt(product)]


def deviation_block(deviation: np.ndarray) -> list[float]:
    """Compute the 3 values `DEVIATION_NAMES` of a map of local standard deviations."""
    skewness, kurtosis = natural_scene.skew_kurt(deviation)
    return [kurtosis, skewness, deviation.mean()]


def mscn_block(mscn: np.ndarray) -> list[float]:
    """Compute the 4 values `MSCN_NAMES` of a map of MSCN coefficients."""
    skewness, kurtosis = natural_scene.skew_kurt(mscn)
    return [*natural_scene.ggd(mscn), kurtosis, skewness]


def misfit(mscn: np.ndarray) -> float:
    """Compute the squared distance between the histogram of MSCN coefficients and a generalised Gaussian.

    As in the authors' release, the Gaussian is fitted to the centres of the 100 histogram bins, each counted once.

    Args:
        mscn: float64, shape (height, width).

    Returns:
        The squared distance divided by the fitted variance, at least 0; NaN if all coefficients are equal.
    """
    low, high = mscn.min(), mscn.max()
    if low == high:
        return math.nan
    counts, edges = np.histogram(mscn, HISTOGRAM_BINS, (low, high))
    centres = (edges[1:] + edges[:-1]) / 2
    shape, deviation = natural_scene.ggd(centres)
    scale = deviation * natural_scene.scale_factor(shape)
    density = np.exp(-((np.abs(centres) / scale) ** shape))
    return float(np.sum(np.square(density / density.sum() - counts / mscn.size)) / deviation**2)
