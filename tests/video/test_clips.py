import numpy as np
import pytest
from sample_videos import place_frame

from nr_vqm.video import clips


@pytest.mark.parametrize(
    ("have", "need", "count", "starts"),
    [
        (6, 6, 3, (0, 0, 0)),  # no room to move: repeated
        (7, 6, 3, (0, 1, 1)),  # fewer distinct starts than pieces; halves are rounded up
        (10, 6, 3, (0, 2, 4)),  # overlapping
        (12, 6, 2, (0, 6)),  # side by side
        (20, 6, 3, (0, 7, 14)),  # gaps; the last ends at the end
        (21, 6, 3, (0, 8, 15)),
        (9, 6, 1, (1,)),  # a single piece goes in the middle
        (6, 6, 1, (0,)),
        (240, 16, 2, (0, 224)),
    ],
)
def test_even_starts(have, need, count, starts):
    assert clips.even_starts(have, need, count) == starts


def test_thirty_two_groups_of_a_konvid_video():
    starts = clips.even_starts(240, 16, 32)
    assert starts[:4] == (0, 7, 14, 22)
    assert starts[-1] == 224
    assert len(starts) == 32


@pytest.mark.parametrize(
    ("have", "need", "count", "stride", "corners"),
    [
        (540, 224, 4, 16, (0, 112, 208, 304)),  # 316 would be the last start: 304 is the last multiple
        (960, 224, 8, 16, (0, 112, 208, 320, 416, 528, 624, 736)),
        (540, 224, 2, 16, (0, 304)),
        (224, 224, 4, 16, (0, 0, 0, 0)),
        (239, 224, 2, 16, (0, 0)),  # less than one stride of room
        (240, 224, 2, 16, (0, 16)),
        (1080, 224, 4, 16, (0, 288, 576, 848)),
        (30, 24, 2, 4, (0, 4)),
        (31, 24, 1, 4, (4,)),
    ],
)
def test_even_corners(have, need, count, stride, corners):
    got = clips.even_corners(have, need, count, stride=stride)
    assert got == corners
    assert all(corner % stride == 0 and corner + need <= have for corner in got)


def test_too_short():
    with pytest.raises(ValueError, match="Too short: 1 frame; this model needs 16."):
        clips.even_starts(1, 16, 3)
    with pytest.raises(ValueError, match="Too short: 9 frames; this model needs 16."):
        clips.even_starts(9, 16, 32)


def grid_of(num_frames, height, width, **changes):
    settings = {"num_groups": 3, "block_grid": (2, 4), "clip_frames": 5, "clip_size": 16, "stride": 4}
    return clips.plan_grid(num_frames, height, width, **settings | {"downscale": False} | changes)


def test_groups_are_times_and_blocks_are_places():
    # time in red, row in green, column in blue: the test reads the answer off the pixels
    grid = grid_of(21, 30, 44)
    groups = list(clips.iter_groups((place_frame(t, 30, 44) for t in range(21)), grid))
    assert [group.shape for group in groups] == [(8, 5, 16, 16, 3)] * 3
    assert [group[0, 0, 0, 0, 0] for group in groups] == list(grid.starts) == [0, 8, 16]
    assert [tuple(block[0, 0, 0, 1:]) for block in groups[1]] == grid.corners
    assert grid.corners[:5] == [(0, 0), (0, 8), (0, 20), (0, 28), (12, 0)]
    last = groups[2][7]
    assert last[:, 0, 0, 0].tolist() == [16, 17, 18, 19, 20]
    assert last[0, :, 0, 1].tolist() == list(range(12, 28))
    assert last[0, 0, :, 2].tolist() == list(range(28, 44))


def test_repeated_starts_give_repeated_groups():
    grid = grid_of(6, 30, 44)
    groups = list(clips.iter_groups((place_frame(t, 30, 44) for t in range(6)), grid))
    assert [group[0, 0, 0, 0, 0] for group in groups] == [0, 1, 1]


def test_a_small_frame_is_padded_by_reflection_and_never_rescaled():
    grid = grid_of(5, 10, 7, num_groups=1)
    (group,) = clips.iter_groups((place_frame(t, 10, 7) for t in range(5)), grid)
    assert group[0, 0, :, 0, 1].tolist() == [*range(10), 8, 7, 6, 5, 4, 3]
    assert group[0, 0, 0, :, 2].tolist() == [*range(7), 5, 4, 3, 2, 1, 0, 1, 2, 3]


def test_frames_that_end_too_early():
    with pytest.raises(ValueError, match="needs 21 frames, the video has 20"):
        list(clips.iter_groups((place_frame(t, 30, 44) for t in range(20)), grid_of(21, 30, 44)))


def test_frames_after_the_last_group_are_not_read():
    read = []
    frames = (read.append(t) or place_frame(t, 30, 44) for t in range(50))
    list(clips.iter_groups(frames, grid_of(21, 30, 44)))
    assert len(read) == 21


def test_published_number_of_training_clips():
    grid = grid_of(240, 540, 960, num_groups=26, clip_frames=16, clip_size=224, stride=16)
    assert round(0.9 * 1200) * grid.num_clips == 224_640
    assert np.prod((16, 224, 224, 3)) == 2_408_448


def test_a_downscaled_frame_is_one_clip_of_means():
    grid = grid_of(9, 32, 48, num_groups=2, block_grid=(1, 1), downscale=True)
    assert (grid.starts, grid.corners, grid.height, grid.width) == ((0, 4), [(0, 0)], 16, 16)
    frames = np.random.default_rng(0).integers(0, 256, (9, 32, 48, 3), dtype=np.uint8)
    groups = list(clips.iter_groups(frames, grid))
    assert groups[1].shape == (1, 5, 16, 16, 3)
    means = frames[4:].reshape(5, 16, 2, 16, 3, 3).mean(axis=(2, 4))
    assert np.abs(groups[1][0] - means).max() <= 0.5 + 1e-6
