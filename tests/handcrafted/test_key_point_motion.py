import numpy as np
import pytest
import scipy.ndimage
from hard_frames import LUMA

from nr_vqm.handcrafted import key_point_motion, natural_scene
from nr_vqm.handcrafted.key_point_motion import SOBEL, correlate_in_order

REACH = 6


def gradients(frame):
    return correlate_in_order(frame, SOBEL), correlate_in_order(frame, SOBEL.T)


def test_correlation_is_scipys():
    image = np.random.default_rng(1).normal(size=(23, 31))
    for kernel in (SOBEL, SOBEL.T, *key_point_motion.CORNERS):
        expected = scipy.ndimage.correlate(image, kernel, mode="constant")
        np.testing.assert_allclose(correlate_in_order(image, kernel), expected, atol=1e-14)
        np.testing.assert_allclose(natural_scene.correlate(image, kernel), expected, atol=1e-14)


def test_corners_turn_around_the_square():
    for kernel in key_point_motion.CORNERS:
        assert kernel.sum() == pytest.approx(0)
    assert len({kernel.tobytes() for kernel in key_point_motion.CORNERS}) == 4


def test_key_points_of_a_rectangle_are_its_corners():
    frame = np.zeros((70, 90))
    frame[20:50, 30:65] = 0.5
    found = key_point_motion.key_points(frame, REACH)
    for row, column in ((20, 30), (20, 64), (49, 30), (49, 64)):
        assert np.abs(found - (row, column)).max(axis=1).min() <= 1
    assert all(np.abs(one - other).max() > REACH for i, one in enumerate(found) for other in found[:i])
    assert (found >= REACH + 3).all() and (found < np.array(frame.shape) - REACH - 3).all()


@pytest.mark.parametrize("move", [(0, 0), (3, -2), (-5, 4)])
def test_a_moving_frame_is_followed_both_ways(move):
    wide = np.random.default_rng(4).random((140, 170))

    def crop(times):
        top, left = 20 - times * move[0], 20 - times * move[1]
        return wide[top : top + 100, left : left + 125]

    this = crop(0)
    motion = key_point_motion.estimate(this, crop(-1), crop(1), gradients(this), REACH)
    assert len(motion.points) > 10
    np.testing.assert_array_equal(motion.backward, np.tile(np.negative(move), (len(motion.points), 1)))
    np.testing.assert_array_equal(motion.forward, np.tile(move, (len(motion.points), 1)))


def test_costs_worked_by_hand():
    rng = np.random.default_rng(3)
    this, other = gradients(rng.random((40, 44))), gradients(rng.random((40, 44)))
    point, reach = np.array([[18, 21]]), 2
    costs = key_point_motion.matching_costs(point, this, other, reach)[0].reshape(5, 5)  # columns first
    expected = sum(
        np.sum((one[17:20, 20:23] - two[17 + 1 : 20 + 1, 20 - 2 : 23 - 2]) ** 2)
        for one, two in zip(this, other, strict=True)
    )
    assert costs[0, 3] == pytest.approx(expected)


@pytest.mark.parametrize(
    ("costs", "following", "expected"),
    [
        # Displacements column by column: place 4 is no motion, 0 is (-1, -1), 1 is (0, -1), 7 is (0, 1).
        ([9, 9, 9, 9, 1, 2, 9, 9, 9], None, (0, 0)),  # no motion is best
        ([9, 9, 9, 9, 8, 9, 9, 1, 9], None, (0, 1)),  # clearly better
        ([9, 9, 9, 9, 0.004, 9, 9, 0.001, 9], None, (0, 0)),  # too small a cost to search
        ([1, 1.1, 9, 9, 8, 9, 9, 9, 9], [0, 1, 0, 0, 0, 0, 0, 0, 0], (0, -1)),  # unclear: the nearer one
        ([1, 1.1, 9, 9, 8, 9, 9, 9, 9], [0, 2, 0, 0, 0, 0, 0, 0, 0], (-1, -1)),  # which the next frame rejects
        ([1.1, 1, 9, 9, 8, 9, 9, 9, 9], None, (0, -1)),  # unclear, but the best is the nearer one
        ([1, 9, 9, 9, 1.05, 9, 9, 9, 9], [9] * 9, (0, 0)),  # unclear, and little better than no motion
    ],
)
def test_matches_worked_by_hand(costs, following, expected):
    costs = np.array([costs], float)
    following = costs if following is None else np.array([following], float)
    chosen = key_point_motion.choose_matches(costs, following, 1, clear_at_limit=True)
    assert tuple(chosen[0]) == expected


def test_a_cost_at_the_limit_of_clearness_counts_in_one_search_only():
    costs = np.array([[0.8, 1, 9, 9, 8, 9, 9, 9, 9]])  # exactly 0.8 of the second, which is nearer
    for clear_at_limit, expected in ((True, (-1, -1)), (False, (0, -1))):
        chosen = key_point_motion.choose_matches(
            costs, costs * [[1, 0, 1, 1, 1, 1, 1, 1, 1]], 1, clear_at_limit=clear_at_limit
        )
        assert tuple(chosen[0]) == expected


@pytest.mark.parametrize("name", LUMA)
@pytest.mark.filterwarnings("error")
def test_hard_frames(name):
    frame = LUMA[name] / 255
    motion = key_point_motion.estimate(frame, frame, frame, gradients(frame), REACH)
    assert not motion.backward.any() and not motion.forward.any()
    assert (len(motion.points) == 0) == (name not in ("texture", "odd sizes", "noise", "half flat", "10 bit"))
