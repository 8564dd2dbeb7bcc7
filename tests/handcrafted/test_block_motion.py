import cv2
import numpy as np
import pytest
from hard_frames import texture

from nr_vqm.handcrafted import block_motion
from nr_vqm.handcrafted.block_motion import OFFSETS, three_step_search


def search_one_block(current, previous, y, x, block, reach):
    """The search step by step for one block: what the vectorised one must give."""
    height, width = previous.shape
    wanted = current[y : y + block, x : x + block].astype(float)

    def cost(dy, dx):
        if not (0 <= y + dy <= height - block and 0 <= x + dx <= width - block):
            return None
        return np.abs(previous[y + dy : y + dy + block, x + dx : x + dx + block] - wanted).mean()

    def look(table, place, step, skip=lambda place: False):
        for cell, (oy, ox) in enumerate(OFFSETS):
            there = place[0] + oy * step, place[1] + ox * step
            if cell != 4 and not skip(there) and (found := cost(*there)) is not None:
                table[cell] = found
        best = min(range(9), key=lambda cell: (table[cell], cell))
        return (place[0] + OFFSETS[best][0] * step, place[1] + OFFSETS[best][1] * step), table[best]

    far = 2 ** (int(np.log2(reach + 1)) - 1)
    table = [65537.0] * 9
    table[4] = cost(0, 0)
    first, first_cost = look(table, (0, 0), far)
    second, second_cost = look(table, (0, 0), 1)
    if first == second == (0, 0):
        return 0, 0
    if second_cost <= first_cost:
        table = [65537.0] * 9
        table[4] = second_cost
        return look(table, second, 1, skip=lambda there: max(map(abs, there)) <= 1)[0]
    table, place, step = [65537.0] * 9, first, far // 2
    table[4] = first_cost
    while step:
        place, table[4] = look(table, place, step)
        step //= 2
    return place


def noise(seed, kind, height=61, width=83):
    """Coarse noise with many equal costs."""
    return (np.random.default_rng(seed).integers(0, 4, (height, width)) * 60).astype(kind)


PAIRS = {
    "noise": (noise(1, np.uint8), noise(2, np.uint8)),
    "10 bit": (noise(3, np.float32) + np.float32(0.25), noise(4, np.float32)),
    "moved": (texture(61, 83), np.roll(texture(61, 83), (3, -6), (0, 1))),
    "blurred": (cv2.blur(noise(5, np.uint8), (9, 9)), cv2.blur(noise(6, np.uint8), (9, 9))),
    "flat": (np.full((61, 83), 9, np.uint8), np.full((61, 83), 9, np.uint8)),
}


@pytest.mark.parametrize("kind", PAIRS)
@pytest.mark.parametrize(("block", "reach"), [(16, 7), (10, 15)])
def test_all_blocks_at_once_equal_one_after_another(kind, block, reach):
    current, previous = PAIRS[kind]
    found = three_step_search(current, previous, block=block, reach=reach)
    assert found.shape == (61 // block, 83 // block, 2)
    for row, column in np.ndindex(found.shape[:2]):
        wanted = search_one_block(current, previous, row * block, column * block, block, reach)
        assert tuple(found[row, column]) == wanted, (row, column)


def test_a_moved_frame_is_found():
    rows, columns = np.mgrid[:90, :120]
    previous = 60 * np.sin(rows / 14) + 60 * np.cos(columns / 17) + 128  # smooth: the search can follow it
    rows, columns = rows + 3, columns - 5
    current = 60 * np.sin(rows / 14) + 60 * np.cos(columns / 17) + 128
    found = three_step_search(current, previous, block=16, reach=7)
    assert np.median(found[1:-1, 1:-1], axis=(0, 1)).tolist() == [3, -5]


def test_flat_blocks_drift_up_and_left():
    flat = np.full((64, 64), 50, np.uint8)
    found = three_step_search(flat, flat, block=16, reach=7)
    assert found[0, 0].tolist() == [0, 0]
    assert (found[2:, 2:] < 0).all()


def test_block_sums_are_exact():
    x = np.random.default_rng(0).integers(0, 256, (13, 17), np.uint8)
    found = block_motion.block_sums(x, 5)
    assert found.tolist() == [[x[r : r + 5, c : c + 5].sum() for c in (0, 5, 10)] for r in (0, 5)]
    np.testing.assert_array_equal(block_motion.block_sums(x / 4, 5), found / 4)
