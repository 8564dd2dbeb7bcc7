import numpy as np
import pytest

from nr_vqm import clips, cnn3d
from nr_vqm.trunk import SharedTrunk, _connected

NETWORK = {"clip_frames": 7, "clip_size": 24, "convs": ((3, 3, 1), (4, 2, 2)), "fc_dims": (11, 8), "dropout": 0.1}


@pytest.fixture(scope="module")
def model():
    return cnn3d.build_cnn3d(**NETWORK, dtype="float32")


def clip_by_clip(model, frames, grid):
    quality = [np.asarray(model(group, training=False))[:, 0] for group in clips.iter_groups(frames, grid)]
    return np.stack(quality)


@pytest.mark.parametrize(
    ("num_frames", "height", "width", "num_groups", "block_grid"),
    [
        (33, 45, 61, 5, (2, 3)),  # odd sizes
        (7, 24, 24, 1, (1, 1)),  # a single clip
        (7, 24, 24, 4, (2, 2)),  # the same clip sixteen times
        (8, 24, 40, 3, (1, 2)),  # one row: its block lies in the middle
        (90, 50, 31, 3, (3, 1)),  # gaps between the groups
        (40, 20, 9, 6, (2, 2)),  # smaller than a clip
        (61, 64, 48, 32, (4, 8)),  # more groups and blocks than distinct ones
    ],
)
def test_equals_clip_by_clip(model, num_frames, height, width, num_groups, block_grid):
    frames = np.random.default_rng(0).integers(0, 256, (num_frames, height, width, 3), np.uint8)
    sizes = {"clip_frames": 7, "clip_size": 24, "stride": 4}
    grid = clips.plan_grid(num_frames, height, width, num_groups=num_groups, block_grid=block_grid, **sizes)
    outputs = SharedTrunk(model).run(iter(frames), grid)
    assert outputs.features.shape == (num_groups, block_grid[0] * block_grid[1], 8)
    np.testing.assert_allclose(outputs.clip_quality, clip_by_clip(model, frames, grid), atol=1e-5)


def test_sizes_are_read_off_the_network(model):
    trunk = SharedTrunk(model)
    assert (trunk.stride, trunk.window_frames, trunk.window_size) == (4, 3, 4)


def test_groups_that_share_no_frame_are_separate():
    def connected(*starts):
        grid = clips.ClipGrid(starts, (0,), (0,), clip_frames=7, clip_size=24, height=24, width=24)
        return _connected(grid)

    assert connected(0, 3, 9) == [[0, 3, 9]]
    assert connected(0, 7, 13, 40) == [[0], [7, 13], [40]]
    assert connected(5, 5) == [[5, 5]]


def test_frames_that_end_too_early(model):
    grid = clips.plan_grid(33, 45, 61, num_groups=5, block_grid=(2, 3), clip_frames=7, clip_size=24, stride=4)
    with pytest.raises(ValueError, match="needs 33 frames, the video ended before"):
        SharedTrunk(model).run(iter(np.zeros((32, 45, 61, 3), np.uint8)), grid)
