"""Block motion estimation between two frames with the new three-step search, vectorised over all blocks.

Source: Li, Zeng and Liou, "A new three-step search algorithm for block motion estimation", TCSVT 1994, in the form that
the V-BLIINDS release uses (Saad, Bovik and Charrier, TIP 2014). Peculiarities of that release are kept and documented
below, because published feature values depend on them.
"""

import cv2
import numpy as np

CENTRE = 4
OFFSETS = np.array([(y, x) for y in (-1, 0, 1) for x in (-1, 0, 1)])  # the nine cells of a cost table, in raster order
CHUNK = 256  # blocks compared at a time, so that their neighbourhoods stay in the processor's cache
UNKNOWN_COST = 65537  # mean absolute difference assigned to candidates that were not evaluated


def three_step_search(current: np.ndarray, previous: np.ndarray, *, block: int, reach: int) -> np.ndarray:
    """Estimate the motion vector of every complete block of a frame.

    The cost is the mean absolute difference. Of equal costs the first in raster order is chosen, so that flat blocks
    drift up and left. Only candidates that lie completely inside the previous frame are evaluated.

    Args:
        current: luma, shape (height, width), uint8 or floating point. Floating-point sums are exact for values in steps
            of 2^-8.
        previous: luma of the previous frame, same shape and type.
        block: block height and width in pixels.
        reach: search parameter p: the first step is 2^(floor(log2(p + 1)) - 1) pixels.

    Returns:
        int, shape (block_rows, block_columns, 2): displacement (dy, dx) in pixels from the block to its match in the
        previous frame. Near a border the match may lie partly outside that frame (see `_refine_far`).
    """
    far = 2 ** (int(np.log2(reach + 1)) - 1)
    costs = _Costs(current, previous, block, margin=2 * far)
    table = costs.new_table()
    costs.fill_everywhere(table, CENTRE, 1)
    first, first_cost = _fill_ring(costs, table, far)
    second, second_cost = _fill_ring(costs, table, 1)
    near = second_cost <= first_cost
    moved = (first != CENTRE) | (second != CENTRE)
    places = np.zeros((len(first), 2), np.intp)
    which = np.flatnonzero(moved & near)
    places[which] = _refine_near(costs, which, OFFSETS[second[which]], second_cost[which])
    which = np.flatnonzero(moved & ~near)
    places[which] = _refine_far(costs, which, OFFSETS[first[which]] * far, first_cost[which], far)
    return places.reshape(*costs.grid, 2)


def _fill_ring(costs: "_Costs", table: np.ndarray, step: int) -> tuple[np.ndarray, np.ndarray]:
    """Write the costs of the eight candidates at distance `step` into the table; return what `_best` returns."""
    for cell in range(9):
        if cell != CENTRE:
            costs.fill_everywhere(table, cell, step)
    return _best(table)


def _best(table: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the cell of lowest cost of each block, and that cost; both of shape (num_blocks,)."""
    best = table.argmin(axis=1)
    return best, table[np.arange(len(table)), best]


def _refine_near(costs: "_Costs", which: np.ndarray, places: np.ndarray, centre_cost: np.ndarray) -> np.ndarray:
    """Search with step 1 around displacements of at most one pixel, skipping candidates already evaluated.

    Args:
        costs: the cost function of the frame pair.
        which: block numbers, shape (n,).
        places: their displacements so far, shape (n, 2).
        centre_cost: the costs there, shape (n,).

    Returns:
        The refined displacements, shape (n, 2).
    """
    table = costs.new_table(which)
    table[:, CENTRE] = centre_cost
    new = np.abs(places[:, None] + OFFSETS).max(axis=2) > 1
    costs.fill(table, which, places, 1, new)
    return places + OFFSETS[_best(table)[0]]


def _refine_far(
    costs: "_Costs", which: np.ndarray, places: np.ndarray, centre_cost: np.ndarray, far: int
) -> np.ndarray:
    """Search with steps far/2, far/4 ... 1 pixels; arguments and result as in `_refine_near`.

    As in the release, the table is not cleared between steps. Near a border, where a cell gets no new cost, the cost of
    an earlier step can be the lowest and lead outside the frame.
    """
    table = costs.new_table(which)
    table[:, CENTRE] = centre_cost
    step = far // 2
    while step:
        costs.fill(table, which, places, step, np.ones_like(table, bool))
        best, table[:, CENTRE] = _best(table)
        places = places + OFFSETS[best] * step
        step //= 2
    return places


class _Costs:
    """Exact sums of absolute differences between the blocks of a frame and candidates in the previous frame.

    Args:
        current: luma, shape (height, width).
        previous: luma of the previous frame, same shape.
        block: block height and width in pixels.
        margin: largest distance in pixels of a candidate from the edge of the previous frame.

    Attributes:
        grid: (block_rows, block_columns).
    """

    def __init__(self, current: np.ndarray, previous: np.ndarray, block: int, margin: int) -> None:
        height, width = current.shape
        self.current, self.previous, self.block, self.margin = current, previous, block, margin
        self.grid = height // block, width // block
        rows, columns = self.grid
        self.origins = np.moveaxis(np.mgrid[:rows, :columns], 0, -1).reshape(-1, 2) * block
        self.last = np.array([height - block, width - block])
        # Sums of 8-bit differences of a block are exact in float32, which is faster.
        self.kind: type[np.floating] = np.float32 if current.dtype == np.uint8 else np.float64
        whole = current[: rows * block, : columns * block].astype(self.kind)
        self.blocks = whole.reshape(rows, block, columns, block).swapaxes(1, 2).reshape(-1, block, block)
        self.padded = np.pad(previous.astype(self.kind), margin)

    def new_table(self, which: np.ndarray | None = None) -> np.ndarray:
        """Return a table of unknown costs, shape (num_blocks, 9), for the blocks `which`; None: for all blocks."""
        return np.full((len(self.origins) if which is None else len(which), 9), UNKNOWN_COST * self.block**2, self.kind)

    def fill_everywhere(self, table: np.ndarray, cell: int, step: int) -> None:
        """Write the cost of one displacement for all blocks; candidates outside the frame keep their old cost."""
        rows, columns = self.grid
        size, displacement = self.block, OFFSETS[cell] * step
        (top, left), (bottom, right) = self._inside(displacement)
        if top >= bottom or left >= right:
            return
        ours = self.current[top * size : bottom * size, left * size : right * size]
        y, x = np.array([top, left]) * size + displacement
        theirs = self.previous[y : y + ours.shape[0], x : x + ours.shape[1]]
        table.reshape(rows, columns, 9)[top:bottom, left:right, cell] = block_sums(cv2.absdiff(ours, theirs), size)

    def _inside(self, displacement: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return the first, and one past the last, (row, column) of the blocks whose candidate is inside the frame."""
        first = -(np.minimum(displacement, 0) // self.block)
        after = np.minimum((self.last - displacement) // self.block + 1, self.grid)
        return first, after

    def fill(self, table: np.ndarray, which: np.ndarray, places: np.ndarray, step: int, wanted: np.ndarray) -> None:
        """Write the costs of the eight candidates around an individual displacement of each block.

        Args:
            table: costs, shape (n, 9), modified in place where `wanted` is true and the candidate is inside the frame.
            which: block numbers, shape (n,).
            places: their displacements, shape (n, 2).
            step: distance of the candidates in pixels.
            wanted: bool, shape (n, 9).
        """
        for start in range(0, len(which), CHUNK):
            part = slice(start, start + CHUNK)
            corners = self.origins[which[part]] + places[part]
            self._fill(table[part], self.blocks[which[part]], corners, step, wanted[part])

    def _fill(self, table: np.ndarray, ours: np.ndarray, corners: np.ndarray, step: int, wanted: np.ndarray) -> None:
        """Implement `fill` for one chunk of blocks `ours`, shape (n, block, block), with centres at `corners`."""
        size, window = self.block, self.block + 2 * step
        y, x = (corners - step + self.margin).T
        windows = np.lib.stride_tricks.sliding_window_view(self.padded, (window, window))[y, x]
        ones = np.ones(size * size, self.kind)
        for cell, offset in enumerate(OFFSETS):
            if cell == CENTRE:
                continue
            place = corners + offset * step
            valid = wanted[:, cell] & ((place >= 0) & (place <= self.last)).all(axis=1)
            which: slice | np.ndarray = slice(None) if valid.all() else np.flatnonzero(valid)
            top, left = (offset + 1) * step
            difference = windows[which, top : top + size, left : left + size] - ours[which]
            table[which, cell] = np.abs(difference, out=difference).reshape(-1, size * size) @ ones


def block_sums(x: np.ndarray, block: int) -> np.ndarray:
    """Sum a map over its complete blocks; the sums of integers are exact.

    Args:
        x: uint8 or floating point, shape (height, width).
        block: block height and width in pixels.

    Returns:
        int32 or float64, shape (height // block, width // block).
    """
    sums = integral(x)[::block, ::block]
    return np.diff(np.diff(sums, axis=0), axis=1)


def integral(x: np.ndarray) -> np.ndarray:
    """Compute the integral image: sums over all pixels above and to the left.

    Args:
        x: uint8 or floating point, shape (height, width).

    Returns:
        int32 for uint8 input, else float64; shape (height + 1, width + 1).
    """
    return cv2.integral(x) if x.dtype == np.uint8 else cv2.integral(np.asarray(x, np.float64), sdepth=cv2.CV_64F)
