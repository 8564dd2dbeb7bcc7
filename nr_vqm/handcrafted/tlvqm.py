"""TLVQM: motion, flicker, spatial activity and sharpness of a video's frames; the 13 values that VIDEVAL uses.

Source: J. Korhonen, "Two-level approach for no-reference consumer video quality assessment", TIP 2019, as VIDEVAL
computes it (vztu/VIDEVAL, MIT); written anew.
"""

import numpy as np

from nr_vqm.handcrafted import bicubic, colour_maps, key_point_motion, natural_scene
from nr_vqm.handcrafted.key_point_motion import SOBEL, correlate_in_order

REACHES_ACROSS = 40  # the largest displacement, in pixels of the halved frame, is the full width over this
GRADIENT_BORDER = 4  # pixels of the halved frame
LAB_UNITS = (100, 50, 50)  # of lightness and the two colour axes
MAX_SHARPNESS_WIDTH = 1280  # a wider frame is halved before its sharpness is measured
BLOCK = 16  # pixels between blocks, which are one pixel larger
MAX_LAG = 6
MIN_SIZE = BLOCK + 1
EDGE_ENERGY = 1e-4  # of a block, above which its sharpness counts


def motion_feature_names() -> list[str]:
    """Name the 7 values of `motion_features`, in order."""
    return [
        "motion_intensity",
        "background_motion_deviation",
        "spatial_activity",
        "jerkiness",
        "temporal_activity",
        "vertical_motion",
        "static_flicker_deviation",
    ]


def still_feature_names() -> list[str]:
    """Name the 6 values of `still_features`, in order."""
    return [
        "colour_gradient_mean",
        "colour_gradient_deviation",
        "colourfulness",
        "edge_width",
        "edge_first_lag",
        "weak_edge_deviation",
    ]


def halved_luma(luma: np.ndarray) -> np.ndarray:
    """The luma that `motion_features` takes: 0-1, float64, of half the size (rounded up)."""
    return np.ascontiguousarray(bicubic.halve(np.asarray(luma, np.float64) / 255, in_order=True))


def motion_features(this: np.ndarray, previous: np.ndarray, following: np.ndarray, *, full_width: int) -> np.ndarray:
    """Describe the motion between three consecutive frames and the flicker where nothing moves.

    Args:
        this, previous, following: `halved_luma` of the frames.
        full_width: pixels of the frames before they were halved.

    Returns:
        float64, shape (7,), in the order of `motion_feature_names`: intensities and standard deviations at least 0;
        vertical motion is 0 for downwards and 0.5 for none.
    """
    reach = max(1, full_width // REACHES_ACROSS)
    gradients = _gradients(this)
    motion = key_point_motion.estimate(this, previous, following, gradients, reach)
    intensity, background, jerkiness, vertical = _motion_statistics(motion, this.shape, reach)
    changes = np.abs(this - previous), np.abs(this - following)
    return np.array(
        [
            intensity,
            background,
            np.hypot(*gradients).std(ddof=1) ** 0.25,
            jerkiness,
            ((changes[0].mean() + changes[1].mean()) / 2) ** 0.25,
            vertical,
            _flicker_deviation(changes, _static_area(motion, this.shape, reach)),
        ]
    )


def _gradients(image: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Vertical and horizontal Sobel response, 0 near the border."""
    gradients = correlate_in_order(image, SOBEL), correlate_in_order(image, SOBEL.T)
    for gradient in gradients:
        inside = gradient[GRADIENT_BORDER:-GRADIENT_BORDER, GRADIENT_BORDER:-GRADIENT_BORDER].copy()
        gradient[:] = 0
        gradient[GRADIENT_BORDER:-GRADIENT_BORDER, GRADIENT_BORDER:-GRADIENT_BORDER] = inside
    return gradients


def _motion_statistics(
    motion: key_point_motion.Motion, shape: tuple[int, ...], reach: int
) -> tuple[float, float, float, float]:
    """Compute intensity, standard deviation of the intensity of the background, jerkiness and vertical motion."""
    if not len(motion.points):
        return 0.0, 0.0, 0.0, 0.5
    into, out = -motion.backward / reach, motion.forward / reach  # both along time
    lengths = np.sqrt((np.square(into).sum(axis=1) + np.square(out).sum(axis=1)) / 4)
    intensity = (lengths.sum() * reach**2 / (shape[0] * shape[1])) ** 0.25
    mean = (motion.forward - motion.backward) / 2
    centre, width = mean.mean(axis=0), _deviation(mean)
    background = ((mean > centre - width) & (mean < centre + width)).all(axis=1)
    spread = float(_deviation(lengths[background])) if background.any() else 0.0
    if not lengths.any():
        return 0.0, spread, 0.0, 0.5
    jerk = np.sqrt(np.hypot(*((into - out) / 2).T)).mean()
    return intensity, spread, jerk, (into[:, 0] + out[:, 0]).mean() / 4 + 0.5


def _deviation(samples: np.ndarray) -> np.ndarray:
    """Standard deviation (N - 1) of each column; 0 for one sample."""
    return samples.std(axis=0, ddof=1) if len(samples) > 1 else np.zeros(samples.shape[1:])


def _static_area(motion: key_point_motion.Motion, shape: tuple[int, ...], reach: int) -> np.ndarray:
    """1 where no moving key point is near, in this frame or where it comes from or goes to; else 0."""
    area = np.ones(shape)
    moving = motion.backward.any(axis=1) | motion.forward.any(axis=1)
    for displacement in (np.zeros_like(motion.points), motion.backward, motion.forward):
        for row, column in (motion.points + displacement)[moving]:
            area[max(0, row - reach) : row + reach + 1, max(0, column - reach) : column + reach + 1] = 0
    return area


def _flicker_deviation(changes: tuple[np.ndarray, np.ndarray], area: np.ndarray) -> float:
    size = area.sum()
    if not size:
        return 0.0
    mean = ((area * changes[0]).sum() + (area * changes[1]).sum()) / size / 2
    return (area * np.abs(np.maximum(*changes) - mean)).sum() / size


def still_features(y: np.ndarray, u: np.ndarray, v: np.ndarray) -> np.ndarray:
    """Describe colour and sharpness of one frame.

    Args:
        y, u, v: 0-255, limited range, all of the same shape (height, width), at least MIN_SIZE x MIN_SIZE.

    Returns:
        float64, shape (6,), at least 0, in the order of `still_feature_names`. The three sharpness values are 0 where
        no block has an edge.

    Raises:
        ValueError: the frame is too small.
    """
    if min(y.shape) < MIN_SIZE:
        height, width = y.shape
        raise ValueError(f"TLVQM needs frames of at least {MIN_SIZE} x {MIN_SIZE} pixels, found {width} x {height}.")
    lab = colour_maps.lab_of_rgb(colour_maps.rgb_of_ycbcr(y, u, v))
    gradient = np.zeros(y.shape)
    inside = np.s_[1:-1, 1:-1]
    for channel, unit in zip(lab, LAB_UNITS, strict=True):
        for kernel in (SOBEL, SOBEL.T):
            gradient[inside] += np.square(natural_scene.correlate(channel / unit, kernel)[inside])
    np.sqrt(gradient, out=gradient)
    colours = zip(lab[1:], LAB_UNITS[1:], strict=True)
    colourfulness = np.sqrt(sum(np.square(channel / unit).mean() for channel, unit in colours))
    return np.array([gradient.mean(), gradient.std(ddof=1), colourfulness, *_sharpness(gradient)])


def _sharpness(image: np.ndarray) -> list[float]:
    """Autocorrelation of edges at lags 2 to 6 and at lag 2, relative to lag 1; edge contrast of the weaker blocks."""
    if image.shape[1] > MAX_SHARPNESS_WIDTH:
        image = np.ascontiguousarray(bicubic.halve(image))
    across, down = natural_scene.correlate(image, SOBEL.T), natural_scene.correlate(image, SOBEL)
    starts = (np.arange(BLOCK // 2 - 1, size - 3 * BLOCK // 2, BLOCK) for size in image.shape)
    places = np.array([place.ravel() for place in np.meshgrid(*starts, indexing="ij")])
    energy = _block_products(across, down, places, 0, 0)
    strong = energy > EDGE_ENERGY
    if not strong.any():
        return [0.0, 0.0, 0.0]
    energy, places = energy[strong], places[:, strong]
    lags = np.array(
        [
            sum(_block_products(across, down, places, *lag) for lag in ((i, 0), (0, i), (i, i))) / energy
            for i in range(1, MAX_LAG + 1)
        ]
    )
    decay = (lags / np.where(lags[0] > 0, lags[0], 1)).mean(axis=1)
    contrast = _blocks(np.hypot(across, down), places).std(axis=(-2, -1), ddof=1)
    return [decay[1:].mean(), decay[1], contrast[contrast <= contrast.mean()].mean()]


def _block_products(
    across: np.ndarray, down: np.ndarray, places: np.ndarray, row_lag: int, column_lag: int
) -> np.ndarray:
    """Mean products of the gradients with themselves a lag below and to the right, one value a block."""
    weights: tuple[float, float] = (1, 1)
    if row_lag or column_lag:
        weights = row_lag / (row_lag + column_lag), column_lag / (row_lag + column_lag)
    lagged = places + np.array([[row_lag], [column_lag]])
    return sum(
        weight * (_blocks(image, places) * _blocks(image, lagged)).mean(axis=(-2, -1))
        for weight, image in zip(weights, (across, down), strict=True)
        if weight
    )


def _blocks(image: np.ndarray, places: np.ndarray) -> np.ndarray:
    """Blocks of BLOCK + 1 pixels a side from each place (row, column), shape (places, BLOCK + 1, BLOCK + 1)."""
    return np.lib.stride_tricks.sliding_window_view(image, (BLOCK + 1, BLOCK + 1))[tuple(places)]
