"""Block motion between two frames by the new three-step search, for all blocks at once.

Source: Li, Zeng and Liou, "A new three-step search algorithm for block motion estimation", TCSVT 1994, in the form that
the V-BLIINDS release uses (Saad, Bovik and Charrier, TIP 2014); its peculiarities are kept and named below.
"""

import cv2
import numpy as np

CENTRE = 4
OFFSETS = np.array([(y, x) for y in (-1, 0, 1) for x in (-1, 0, 1)])  # the cells of a table of costs, in raster order
CHUNK = 256  # blocks whose neighbourhoods are compared at a time: they stay in the processor's cache
NOWHERE = 65537  # the mean absolute difference of a candidate that was not looked at


def three_step_search(current: np.ndarray, previous: np.ndarray, *, block: int, reach: int) -> np.ndarray:
    """Find for every whole block of a frame its place in the previous frame.

    The cost is the mean absolute difference; of equal costs the first in raster order wins, so that flat blocks drift
    up and left. Candidates lie wholly inside the previous frame.

    Args:
        current, previous: luma, shape (height, width), both uint8 or both floating point; sums of float are exact for
            values in steps of 2^-8.
        block: block height and width in pixels.
        reach: the search's parameter p: the first step is 2^(floor(log2(p + 1)) - 1).

    Returns:
        int, shape (block rows, block columns, 2): displacement (dy, dx) from the block to its place. Near a border it
        may lead a little outside the previous frame (see `_refine_far`).
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


def _fill_ring(costs, table, step):
    """Put the eight costs at `step` into the table: the best cell of each block, and its cost."""
    for cell in range(9):
        if cell != CENTRE:
            costs.fill_everywhere(table, cell, step)
    return _best(table)


def _best(table):
    best = table.argmin(axis=1)
    return best, table[np.arange(len(table)), best]


def _refine_near(costs, which, places, centre_cost):
    """One more step of 1 around places next to the block's own, to what was not looked at yet."""
    table = costs.new_table(which)
    table[:, CENTRE] = centre_cost
    new = np.abs(places[:, None] + OFFSETS).max(axis=2) > 1
    costs.fill(table, which, places, 1, new)
    return places + OFFSETS[_best(table)[0]]


def _refine_far(costs, which, places, centre_cost, far):
    """Steps of far/2, far/4 ... 1.

    The table is not cleared between them, as in the release: near a border, where a cell gets no new cost, an old one
    can win and lead outside the frame.
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
    """Sums of absolute differences between the blocks of a frame and places in the previous one; exact.

    Attributes:
        grid: (block rows, block columns).
    """

    def __init__(self, current, previous, block, margin):
        height, width = current.shape
        self.current, self.previous, self.block, self.margin = current, previous, block, margin
        self.grid = height // block, width // block
        rows, columns = self.grid
        self.origins = np.stack(np.mgrid[:rows, :columns], axis=-1).reshape(-1, 2) * block
        self.last = np.array([height - block, width - block])
        # Sums of 8-bit differences of a block are exact in float32, which is faster.
        self.kind = np.float32 if current.dtype == np.uint8 else np.float64
        whole = current[: rows * block, : columns * block].astype(self.kind)
        self.blocks = whole.reshape(rows, block, columns, block).swapaxes(1, 2).reshape(-1, block, block)
        self.padded = np.pad(previous.astype(self.kind), margin)

    def new_table(self, which=None):
        """A table of unknown costs, shape (blocks, 9), of all blocks or of some."""
        return np.full((len(self.origins) if which is None else len(which), 9), NOWHERE * self.block**2, self.kind)

    def fill_everywhere(self, table, cell, step):
        """Set one cell for all blocks, at the same displacement; it stays where that lies outside the frame."""
        rows, columns = self.grid
        size, displacement = self.block, OFFSETS[cell] * step
        (top, left), (bottom, right) = self._inside(displacement)
        if top >= bottom or left >= right:
            return
        ours = self.current[top * size : bottom * size, left * size : right * size]
        y, x = np.array([top, left]) * size + displacement
        theirs = self.previous[y : y + ours.shape[0], x : x + ours.shape[1]]
        table.reshape(rows, columns, 9)[top:bottom, left:right, cell] = block_sums(cv2.absdiff(ours, theirs), size)

    def _inside(self, displacement):
        """First and last + 1 row and column of the blocks whose place lies inside the frame."""
        first = -(np.minimum(displacement, 0) // self.block)
        after = np.minimum((self.last - displacement) // self.block + 1, self.grid)
        return first, after

    def fill(self, table, which, places, step, wanted):
        """Set the eight cells around each block's own place, where wanted and inside the frame.

        Args:
            table: costs of the blocks `which`, changed.
            which: numbers of blocks.
            places: their displacements.
            step: the cells' distance in pixels.
            wanted: bool, shape of the table.
        """
        for start in range(0, len(which), CHUNK):
            part = slice(start, start + CHUNK)
            corners = self.origins[which[part]] + places[part]
            self._fill(table[part], self.blocks[which[part]], corners, step, wanted[part])

    def _fill(self, table, ours, corners, step, wanted):
        size, window = self.block, self.block + 2 * step
        y, x = (corners - step + self.margin).T
        windows = np.lib.stride_tricks.sliding_window_view(self.padded, (window, window))[y, x]
        ones = np.ones(size * size, self.kind)
        for cell, offset in enumerate(OFFSETS):
            if cell == CENTRE:
                continue
            place = corners + offset * step
            valid = wanted[:, cell] & ((place >= 0) & (place <= self.last)).all(axis=1)
            which = slice(None) if valid.all() else np.flatnonzero(valid)
            top, left = (offset + 1) * step
            difference = windows[which, top : top + size, left : left + size] - ours[which]
            table[which, cell] = np.abs(difference, out=difference).reshape(-1, size * size) @ ones


def block_sums(x: np.ndarray, block: int) -> np.ndarray:
    """Sum a map over its whole blocks, exactly for integers.

    Args:
        x: uint8 or floating point, shape (height, width).
        block: block height and width.

    Returns:
        int32 or float64, shape (height // block, width // block).
    """
    sums = integral(x)[::block, ::block]
    return np.diff(np.diff(sums, axis=0), axis=1)


def integral(x: np.ndarray) -> np.ndarray:
    """Sums over everything above and left of a corner: int32 of uint8, else float64, shape (height + 1, width + 1)."""
    return cv2.integral(x) if x.dtype == np.uint8 else cv2.integral(np.asarray(x, np.float64), sdepth=cv2.CV_64F)
