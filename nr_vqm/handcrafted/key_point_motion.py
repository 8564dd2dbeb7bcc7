"""Motion of corner points between three consecutive frames, as TLVQM estimates it.

Source: J. Korhonen, "Two-level approach for no-reference consumer video quality assessment", TIP 2019, as VIDEVAL
computes it (vztu/VIDEVAL, MIT); written anew. Rules that look odd (both searches ask the next frame about an ambiguous
match) are those of the authors' release.

Compressed video is full of ties (straight edges, copied blocks), which rounding errors decide. Therefore sums are taken
in the order of the authors' MATLAB, term by term, so that published values are reached to the last digits.
"""

from typing import NamedTuple

import numpy as np

SOBEL = (
    np.array([[-1, -2, -1], [0, 0, 0], [1, 2, 1]]) / 8
)  # answers to vertical changes; transposed, to horizontal ones
_CORNER = np.array([[1, 1, 1, 1, 1], [1, 1, 1, 1, 1], [-2, -2, 0, 1, 1], [-2, -2, -2, 1, 1], [-2, -2, -2, 1, 1]]) / 32
CORNERS = (_CORNER, _CORNER[::-1], _CORNER[::-1, ::-1], _CORNER[:, ::-1])
CORNER_THRESHOLD = 0.01  # of a key point's corner strength
STILL = 0.005  # matching cost at the same place below which no motion is searched
CLEAR = 0.8  # a clear best match costs at most this share of the second best
SIMILAR = 1.1  # an ambiguous match is taken where it costs less than this multiple of the best
BETTER = 0.9  # otherwise the best is taken where it costs less than this share of no motion
GAIN = 1.01  # motion must lower the cost by this factor


class Motion(NamedTuple):
    """Key points of a frame and where they come from and go to.

    Attributes:
        points: intp, shape (n, 2), rows and columns, the strongest corner first.
        backward, forward: intp, shape (n, 2): displacement of the match in the previous and the next frame.
    """

    points: np.ndarray
    backward: np.ndarray
    forward: np.ndarray


def correlate_in_order(image: np.ndarray, kernel: np.ndarray) -> np.ndarray:
    """As `natural_scene.correlate`, but slower: terms are added from the kernel's last to its first, column by column.

    Args:
        image: float64, shape (height, width).
        kernel: float64, odd sizes; its zeros are skipped.

    Returns:
        float64, the same shape as the image.
    """
    height, width = image.shape
    rows, columns = kernel.shape
    padded = np.pad(image, ((rows // 2,), (columns // 2,)))
    result = np.zeros_like(image)
    for column in reversed(range(columns)):
        for row in reversed(range(rows)):
            if kernel[row, column]:
                result += kernel[row, column] * padded[row : row + height, column : column + width]
    return result


def estimate(
    this: np.ndarray,
    previous: np.ndarray,
    following: np.ndarray,
    gradients: tuple[np.ndarray, np.ndarray],
    reach: int,
) -> Motion:
    """Find the key points of a frame and match them in its neighbours.

    Args:
        this, previous, following: halved luma, 0-1, float64, the same shape (height, width).
        gradients: vertical and horizontal Sobel response of `this`, its border set to 0.
        reach: pixels of the largest displacement along each axis, at least 1; also the distance of key points.

    Returns:
        Motion, of displacements from -reach to reach.
    """
    points = key_points(this, reach)
    if not len(points):
        return Motion(points, points, points)
    backward_costs, forward_costs = (
        matching_costs(points, gradients, (correlate_in_order(frame, SOBEL), correlate_in_order(frame, SOBEL.T)), reach)
        for frame in (previous, following)
    )
    backward = choose_matches(backward_costs, forward_costs, reach, clear_at_limit=True)
    forward = choose_matches(forward_costs, forward_costs, reach, clear_at_limit=False)
    return Motion(points, backward, forward)


def key_points(image: np.ndarray, reach: int) -> np.ndarray:
    """Choose corners from the strongest to the weakest, more than `reach` apart along one axis at least.

    Returns:
        intp, shape (n, 2), rows and columns, at least reach + 3 pixels from the border.
    """
    responses = np.abs([correlate_in_order(image, corner) for corner in CORNERS])
    margin = reach + 3
    inside = np.s_[margin:-margin, margin:-margin]
    # Transposed: of equal corners the first in a column counts, in the leftmost column.
    strength = np.zeros(image.shape[::-1])
    strength.T[inside] = (responses.max(axis=0) - responses.min(axis=0))[inside]
    points = []
    while strength.size:
        column, row = np.unravel_index(strength.argmax(), strength.shape)
        if strength[column, row] <= CORNER_THRESHOLD:
            break
        points.append((row, column))
        strength[max(0, column - reach) : column + reach + 1, max(0, row - reach) : row + reach + 1] = 0
    return np.array(points, np.intp).reshape(-1, 2)


def matching_costs(
    points: np.ndarray, gradients: tuple[np.ndarray, np.ndarray], others: tuple[np.ndarray, np.ndarray], reach: int
) -> np.ndarray:
    """Squared differences of the gradients around key points from those around every place within reach.

    Args:
        points: intp, shape (n, 2).
        gradients: vertical and horizontal Sobel response of the key points' frame.
        others: those of the frame that is searched.

    Returns:
        float64, shape (n, (2 reach + 1)^2): summed over 3 x 3 pixels; displacements column by column.
    """
    side = 2 * reach + 1
    rows, columns = points.T
    first = rows - reach - 1, columns - reach - 1
    windows = [np.lib.stride_tricks.sliding_window_view(other, (side + 2, side + 2))[first] for other in others]
    costs = np.zeros((len(points), side, side))
    around = [(0, 0)] + [(y, x) for y in (-1, 0, 1) for x in (-1, 0, 1) if y or x]
    for y, x in around:
        for gradient, window in zip(gradients, windows, strict=True):
            own = gradient[rows + y, columns + x][:, None, None]
            costs += np.square(own - window[:, 1 + y : 1 + y + side, 1 + x : 1 + x + side])
    return costs.swapaxes(1, 2).reshape(len(points), -1)


def choose_matches(costs: np.ndarray, following: np.ndarray, reach: int, *, clear_at_limit: bool) -> np.ndarray:
    """Choose the displacement of every key point.

    Args:
        costs: `matching_costs` in the frame that is searched.
        following: `matching_costs` in the next frame: an ambiguous match is judged by them in both searches.
        reach: of the search.
        clear_at_limit: whether a best cost of exactly CLEAR times the second best is a clear one.

    Returns:
        intp, shape (n, 2): rows and columns.
    """
    side, every = 2 * reach + 1, np.arange(len(costs))
    distances = _distances(reach)
    still = costs[:, side * reach + reach]
    first, second, lowest, runner_up = _two_lowest(costs)
    ratio_is_clear = lowest <= CLEAR * runner_up if clear_at_limit else lowest < CLEAR * runner_up
    clear = ratio_is_clear | (distances[first] < distances[second])
    nearest = np.where(CLEAR * costs <= lowest[:, None], distances, np.inf).argmin(axis=1)
    unclear = np.where(
        following[every, nearest] < SIMILAR * lowest,
        costs[every, nearest],
        np.where(lowest < still * BETTER, lowest, still),
    )
    chosen = np.where(clear, lowest, unclear)
    moves = (still > STILL) & (chosen * GAIN < still)
    place = (costs == chosen[:, None]).argmax(axis=1)
    columns, rows = np.divmod(place, side)
    return np.where(moves[:, None], np.stack([rows, columns], axis=1) - reach, 0)


def _distances(reach: int) -> np.ndarray:
    squares = np.square(np.arange(-reach, reach + 1))
    return np.sqrt(squares[:, None] + squares).ravel()


def _two_lowest(costs: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Places and values of the lowest and the second lowest cost, the first place on a tie."""
    every = np.arange(len(costs))
    first = costs.argmin(axis=1)
    lowest = costs[every, first]
    costs = costs.copy()
    costs[every, first] = np.inf
    second = costs.argmin(axis=1)
    return first, second, lowest, costs[every, second]
