"""VIDEVAL: 60 features of a video, selected from BRISQUE, GM-LOG, HIGRADE, FRIQUEE and TLVQM.

Source: Z. Tu, Y. Wang, N. Birkbeck, B. Adsumilli and A. C. Bovik, "UGC-VQA: benchmarking blind video quality assessment
for user generated content", TIP 2021, and the authors' release (vztu/VIDEVAL, MIT); written anew. It follows the
release that computed the published rows, two oddities included: two values of halved maps are those of full maps.

Every second frame is described by 50 values, which are averaged, or whose standard deviations are taken, over windows
of a second that overlap by one frame; colour gradient and sharpness are those of one frame a second.
"""

import collections
import functools
import os
import warnings
from collections.abc import Iterable, Iterator

import numpy as np

from nr_vqm.handcrafted import (
    bicubic,
    colour_maps,
    frame_sampling,
    gm_log,
    higrade,
    map_statistics,
    natural_scene,
    tlvqm,
)
from nr_vqm.handcrafted.map_statistics import NormalisedMap
from nr_vqm.video import reader
from nr_vqm.video.decoder_client import DecoderDied
from nr_vqm.video.planes import Planes
from nr_vqm.video.raw_video import RawFormat

NUM_FEATURES = 60
MIN_SIZE = 40  # pixels a side: a smaller frame has no room for TLVQM's motion search
MIN_FRAMES = 4
LIGHT_SIZE = 480  # of the light form: pixels of the shorter side
LIGHT_RATE = 3  # of the light form: frames per second
GM_LOG_COLUMNS = (1, 3, 7, 17, 19, 22, 33, 39)
LUMA_NAMES = (
    "full_pair_right_left",
    "full_pair_down_left",
    "half_pair_right_left",
    "half_pair_down_right_shape",
    *(f"gm_log_{gm_log.feature_names()[column]}" for column in GM_LOG_COLUMNS),
    *(f"higrade_{name}" for name in higrade.feature_names()),
    "full_pair_right_skewness",
    "full_pair_down_mean",
    "full_deviation_mean",
    "full_pair_right_shape",
    "half_deviation_mean",
    "half_mscn_skewness",
    "difference_deviation",
    "difference_kurtosis",
    "difference_deviation_kurtosis",
    "laplacian_shape",
    "laplacian_deviation",
)
COLOUR_NAMES = (
    "chroma_full_pair_right_right",
    "chroma_full_pair_down_shape",
    "chroma_full_pair_down_right_left",
    "chroma_full_pair_up_right_kurtosis",
    "chroma_full_deviation_skewness",
    "chroma_full_pair_down_kurtosis",
    "chroma_half_deviation_kurtosis",
    "chroma_half_deviation_mean",
    "chroma_difference_deviation",
    "chroma_difference_skewness",
    "chroma_laplacian_skewness",
    "short_half_deviation_mscn_deviation",
)
UNDEFINED_IN_GREY = ("chroma_full_pair_down_right_left_average", "chroma_laplacian_skewness_average")
FRAME_NAMES = (*LUMA_NAMES, *COLOUR_NAMES, *tlvqm.motion_feature_names())
UNDEFINED_SHAPE = natural_scene.SHAPES[0]  # the release's, of products without a negative or a positive sample
AVERAGED = (1, 2, 3, 6, 8, 9, 11, *range(12, 20), 24, 26, 28, 29, 31, *range(33, 48))
SPREAD = (0, 4, 5, 7, 10, 11, 16, 20, 21, 22, 23, 25, 27, 28, 30, 32, 44, 48, 49)


def feature_names() -> list[str]:
    """Return the names of the 60 features, in the order of the published rows."""
    names = [f"{FRAME_NAMES[column]}_average" for column in AVERAGED]
    names += [f"{FRAME_NAMES[column]}_variation" for column in SPREAD]
    return names + tlvqm.still_feature_names()


_DEFINED_IN_GREY = [name not in UNDEFINED_IN_GREY for name in feature_names()]


def video_features(
    path: str | os.PathLike[str], *, raw: RawFormat | str | None = None, light: bool = False
) -> np.ndarray:
    """Compute the VIDEVAL features of a video.

    Args:
        path: the video file.
        raw: format of a headerless .yuv file, as a `RawFormat` or its text form; None for all other files.
        light: compute VIDEVAL light, as in `features`.

    Returns:
        float64, shape (60,). NaN in the two UNDEFINED_IN_GREY where no frame has colour; a regression fills them with
        the mean of its training videos. The others are finite.

    Raises:
        FileNotFoundError: the file does not exist.
        ValueError: the video cannot be decoded, declares no frame rate, is too short or too small (see `features`), or
            no frame has texture.

    Warns:
        UserWarning: the decoder reports a problem with the frames, for example a damaged file.
    """
    with reader.read_planes(path, raw) as frames:
        if not frames.info.fps:
            raise ValueError(f"VIDEVAL needs a frame rate, {path} declares none.")
        try:
            found = features(frames, frames.info.fps, light=light)
        except DecoderDied:
            raise
        except ValueError as error:
            raise ValueError(f"{path}: {error}") from error
        for message in frames.warnings:
            warnings.warn(f"{path}: {message}", stacklevel=2)
    frame_sampling.require_defined(found[_DEFINED_IN_GREY], "VIDEVAL", path)
    return found


def features(frames: Iterable[Planes], fps: float, *, light: bool = False) -> np.ndarray:
    """Compute VIDEVAL features of a video.

    Args:
        frames: all frames in order, 0-255, interpreted as limited range. At most half a
            second of them is held in memory.
        fps: frames per second, above 0.
        light: use 3 frames per second, reduced to 480 pixels of the shorter side where they are larger.

    Returns:
        float64, shape (60,), in the order of `feature_names`; NaN where a value is undefined in every frame: some of a
        video without texture, UNDEFINED_IN_GREY of one without colour.

    Raises:
        ValueError: fewer than MIN_FRAMES frames, frames smaller than MIN_SIZE x MIN_SIZE, or no frame rate.
    """
    second = max(1, int(fps + 0.5))
    step, hop = (max(1, second // LIGHT_RATE), LIGHT_RATE) if light else (2, max(1, second // 2))
    rows: list[np.ndarray] = []
    passing = _observe((_Frame(frame, light) for frame in frames), step, rows)
    stills = [tlvqm.still_features(*frame.ycbcr()) for frame in frame_sampling.sample(passing, fps)]
    if not rows:
        raise ValueError(f"VIDEVAL needs at least {MIN_FRAMES} frames.")
    averages, deviations = pool(np.array(rows), hop)
    still = frame_sampling.mean_of_frames(stills)
    return np.concatenate([averages[list(AVERAGED)], deviations[list(SPREAD)], still])


class _Frame:
    """A frame, reduced in the light form; nothing but what several frames need is kept."""

    def __init__(self, planes: Planes, light: bool) -> None:
        height, width = planes.y.shape
        if min(height, width) < MIN_SIZE:
            raise ValueError(
                f"VIDEVAL needs frames of at least {MIN_SIZE} x {MIN_SIZE} pixels, found {width} x {height}."
            )
        self._planes = planes
        self._scale = min(1, LIGHT_SIZE / min(height, width)) if light else 1

    @functools.cached_property
    def luma(self) -> np.ndarray:
        """0-255, float64."""
        return self._reduced(self._planes.y.astype(np.float64))

    def ycbcr(self) -> list[np.ndarray]:
        """Luma and both chroma planes, 0-255, float64, of one size."""
        y, *chroma = self._planes
        return [self.luma, *(self._reduced(bicubic.resize(plane, *y.shape)) for plane in chroma)]

    @functools.cached_property
    def halved_luma(self) -> np.ndarray:
        """As `tlvqm.halved_luma`."""
        return tlvqm.halved_luma(self.luma)

    def _reduced(self, plane: np.ndarray) -> np.ndarray:
        return plane if self._scale == 1 else np.ascontiguousarray(bicubic.rescale(plane, self._scale))


def _observe(frames: Iterable[_Frame], step: int, rows: list[np.ndarray]) -> Iterator[_Frame]:
    """Pass frames through, and append the values of every step-th to rows: from the second to the last but two."""
    held: collections.deque[_Frame] = collections.deque(maxlen=MIN_FRAMES)
    for number, frame in enumerate(frames):
        held.append(frame)
        if number + 1 >= MIN_FRAMES and (number + 1 - MIN_FRAMES) % step == 0:
            rows.append(_frame_features(*list(held)[:3]))
        yield frame


def _frame_features(previous: _Frame, this: _Frame, following: _Frame) -> np.ndarray:
    ycbcr = this.ycbcr()
    luma = ycbcr[0]
    motion = tlvqm.motion_features(
        this.halved_luma, previous.halved_luma, following.halved_luma, full_width=luma.shape[1]
    )
    return np.concatenate([luma_features(luma), colour_features(*ycbcr), motion])


def single_frame_features(previous: Planes, this: Planes, following: Planes) -> tuple[np.ndarray, np.ndarray]:
    """Compute those features of a frame whose averages VIDEVAL uses.

    Args:
        previous, this, following: three consecutive frames, as of `features`, of one size.

    Returns:
        The values that `features` averages over the video, float64, shape (35,), and its six of colour and sharpness:
        all features but the standard deviations, in their order.

    Raises:
        ValueError: frames smaller than MIN_SIZE x MIN_SIZE.
    """
    frames = [_Frame(planes, light=False) for planes in (previous, this, following)]
    still = tlvqm.still_features(*frames[1].ycbcr())
    return _frame_features(*frames)[list(AVERAGED)], still


def luma_features(luma: np.ndarray) -> list[float]:
    """The 31 values LUMA_NAMES of one frame.

    Args:
        luma: float64, shape (height, width), 0-255.
    """
    full, half = NormalisedMap(luma), map_statistics.halved(luma)
    right, down = natural_scene.shift_products(full.sided_mscn, ((0, 1), (1, 0)))
    half_right, half_diagonal = natural_scene.shift_products(half.sided_mscn, ((0, 1), (1, 1)))
    _, right_left, _ = natural_scene.aggd(right)
    _, down_mean, down_left, _ = natural_scene.pair_statistics(down)
    brisque = right_left**2, down_left, natural_scene.aggd(half_right)[1] ** 2, _shape(half_diagonal)
    # The release takes the second shape from the full map too.
    pairs = natural_scene.skew(right), down_mean, full.deviation.mean(), _shape(right)
    halves = half.deviation.mean(), natural_scene.skew(half.mscn)
    difference = dict(
        zip(map_statistics.DIFFERENCE_NAMES, map_statistics.difference_block(full.deviation), strict=True)
    )
    differences = [difference[name] for name in LUMA_NAMES if name in difference]
    selected = gm_log.features(luma)[list(GM_LOG_COLUMNS)]
    laplacian = map_statistics.laplacian_block(luma)[:2]
    return [*brisque, *selected, *higrade.features(luma), *pairs, *halves, *differences, *laplacian]


def colour_features(y: np.ndarray, cb: np.ndarray, cr: np.ndarray) -> list[float]:
    """The 12 values COLOUR_NAMES of one frame.

    Args:
        y, cb, cr: 0-255, limited range, all of the same shape (height, width).
    """
    whole = (np.clip(np.floor(plane + 0.5), 0, 255) for plane in (y, cb, cr))
    rgb = np.floor(255 * colour_maps.rgb_of_ycbcr(*whole) + 0.5).astype(np.uint8)
    return [*_chroma_features(colour_maps.sharp_chroma(rgb)), _short_cone_feature(colour_maps.cone(rgb, 2))]


def _chroma_features(chroma: np.ndarray) -> list[float]:
    full, half = NormalisedMap(chroma), map_statistics.halved(chroma)
    right, down, diagonal, other_diagonal = natural_scene.shift_products(full.sided_mscn)
    # The kurtosis of `down` should be that of the halved map; the published rows hold that of the full one.
    pairs = [natural_scene.aggd(right)[2] ** 2, _shape(down), natural_scene.aggd(diagonal)[1] ** 2]
    shapes = natural_scene.kurt(other_diagonal), natural_scene.skew(full.deviation), natural_scene.kurt(down)
    halves = natural_scene.kurt(half.deviation), half.deviation.mean()
    difference = map_statistics.difference_map(full.deviation).mscn
    differences = natural_scene.ggd(difference)[1], natural_scene.skew(difference)
    laplacian_skewness = map_statistics.laplacian_block(chroma)[2]
    return [*pairs, *shapes, *halves, *differences, laplacian_skewness]


def _shape(product: np.ndarray) -> float:
    shape = natural_scene.aggd(product)[0]
    return UNDEFINED_SHAPE if np.isnan(shape) else shape


def _short_cone_feature(short: np.ndarray) -> float:
    return natural_scene.ggd(map_statistics.halved(short).mscn_of_deviation)[1]


def pool(rows: np.ndarray, hop: int) -> tuple[np.ndarray, np.ndarray]:
    """Average over windows the windows' means and standard deviations, ignoring NaN.

    Args:
        rows: float64, shape (frames, values).
        hop: frames from one window to the next; a window has one frame more. A shorter video is one window.

    Returns:
        averages and standard deviations (N - 1; 0 of a single frame), each float64, shape (values,); NaN where all
        frames are.
    """
    windows = [rows[start : start + hop + 1] for start in range(0, len(rows) - hop, hop)] or [rows]
    averages = [frame_sampling.mean_of_frames(window) for window in windows]
    deviations = [_deviation(window) for window in windows]
    return frame_sampling.mean_of_frames(averages), frame_sampling.mean_of_frames(deviations)


def _deviation(window: np.ndarray) -> np.ndarray:
    count = (~np.isnan(window)).sum(axis=0)
    squares = np.square(window - frame_sampling.mean_of_frames(window))
    deviation = np.sqrt(np.nansum(squares, axis=0) / np.maximum(count - 1, 1))
    return np.where(count > 0, deviation, np.nan)
