import itertools

import numpy as np
import pytest

from nr_vqm.models import cnn3d, keras_engine, shared_trunk
from nr_vqm.video import clips

NETWORK = {"clip_frames": 7, "clip_size": 24, "convs": ((3, 3, 1), (4, 2, 2)), "fc_dims": (11, 8), "dropout": 0.1}
SIZES = {"clip_frames": 7, "clip_size": 24, "stride": 4, "downscale": False}


@pytest.fixture(scope="module")
def model():
    return cnn3d.build_cnn3d(**NETWORK, dtype="float32")


def clip_by_clip(model, frames, grid):
    quality = [np.asarray(model(group, training=False))[:, 0] for group in clips.iter_groups(frames, grid)]
    return np.stack(quality)


def random_frames(num_frames, height, width):
    return np.random.default_rng(0).integers(0, 256, (num_frames, height, width, 3), np.uint8)


@pytest.mark.parametrize(
    ("num_frames", "height", "width", "num_groups", "block_grid"),
    [
        (33, 45, 61, 5, (2, 3)),  # odd sizes
        (7, 24, 24, 1, (1, 1)),  # a single clip
        (7, 24, 24, 4, (2, 2)),  # the same clip sixteen times
        (8, 24, 40, 3, (1, 2)),  # one row: its block is in the middle
        (90, 50, 31, 3, (3, 1)),  # gaps between the groups
        (40, 20, 9, 6, (2, 2)),  # smaller than a clip
        (61, 64, 48, 32, (4, 8)),  # more groups and blocks than distinct ones
        (27, 61, 130, 5, (2, 4)),  # gaps between the rows and between the columns
        (30, 40, 140, 9, (2, 3)),  # gaps between the columns only
        (37, 52, 76, 7, (3, 4)),  # groups that share one or two frames but cost less computed separately
    ],
)
def test_equals_clip_by_clip(model, num_frames, height, width, num_groups, block_grid):
    frames = random_frames(num_frames, height, width)
    grid = clips.plan_grid(num_frames, height, width, num_groups=num_groups, block_grid=block_grid, **SIZES)
    outputs = keras_engine.shared_trunk(model).run(iter(frames), grid)
    assert outputs.group_features.shape == (num_groups, 8)
    np.testing.assert_allclose(outputs.clip_quality, clip_by_clip(model, frames, grid), atol=1e-5)


def test_estimate_of_memory_by_hand(model):
    # 3 filters on every pixel and twice 4 on a quarter of them, 4 bytes each, 32 frames of 30 x 20 pixels
    activations = 4 * (3 + 2 * 4 / 4) * 32 * 30 * 20
    assert keras_engine.shared_trunk(model).needed_bytes(30, 20) == activations
    # 2 bytes for each weight: 24 -> 22 -> 11 -> 9 -> 4 pixels, 7 -> 5 -> 4 -> 3 frames, then 11, 8 and 1 outputs
    weights = (3 * 4 * 4 * 4 + 1) * 11 + (11 + 1) * 8 + 8 + 1
    half = cnn3d.build_cnn3d(**NETWORK, dtype="mixed_bfloat16")
    assert keras_engine.shared_trunk(half).needed_bytes(30, 20) == activations + 2 * weights


def random_grid(rng):
    """Return an irregular grid: positions that overlap, repeat or have gaps; regions of several shapes."""

    def places(count, step, room):
        return tuple(sorted((rng.integers(0, room, count) * step).tolist()))

    starts = places(rng.integers(1, 7), 1, rng.integers(1, 40))
    tops, lefts = (places(rng.integers(1, 5), 4, rng.integers(1, 30)) for _ in range(2))
    height, width = tops[-1] + 24 + int(rng.integers(0, 9)), lefts[-1] + 24 + int(rng.integers(0, 9))
    return clips.ClipGrid(starts, tops, lefts, clip_frames=7, clip_size=24, height=height, width=width)


@pytest.mark.parametrize("seed", range(12))
def test_equals_clip_by_clip_on_any_grid(model, seed, monkeypatch):
    rng = np.random.default_rng(seed)
    monkeypatch.setattr(shared_trunk, "CHUNK_FRAMES", (1, int(rng.integers(1, 12))))
    grid = random_grid(rng)
    frames = random_frames(grid.starts[-1] + 7 + int(rng.integers(0, 5)), grid.height, grid.width)
    outputs = keras_engine.shared_trunk(model).run(iter(frames), grid)
    np.testing.assert_allclose(outputs.clip_quality, clip_by_clip(model, frames, grid), atol=1e-5)


def test_the_trunk_is_compiled_once_for_all_sizes(model):
    shared = keras_engine.shared_trunk(model)
    for num_frames, height, width in itertools.product((9, 14, 33), (24, 45), (31, 61)):
        grid = clips.plan_grid(num_frames, height, width, num_groups=3, block_grid=(2, 2), **SIZES)
        shared.run(random_frames(num_frames, height, width), grid)
    assert shared._engine._trunk.experimental_get_tracing_count() == 1


def test_sizes_are_taken_from_the_network(model):
    shared = keras_engine.shared_trunk(model)
    assert (shared.stride, shared.window_frames, shared.window_size) == (4, 3, 4)


@pytest.mark.parametrize(
    ("features", "quality", "message"),
    [
        (1e7, 3.0, r"must give numbers within \+-1e\+06, this one gave 1e\+07. Train the run again"),
        (2.0, -1e30, r"must give numbers within \+-1e\+06, this one gave 1e\+30"),
        (np.inf, 3.0, "must give finite numbers, this one gave NaN or infinity"),
        (2.0, np.nan, "must give finite numbers, this one gave NaN or infinity"),
    ],
)
def test_absurd_outputs_are_refused(features, quality, message):
    values = np.full((3, 8), 1.0, np.float32), np.full((3, 6), 2.0, np.float32)
    values[0][1, 2], values[1][2, 1] = features, quality
    with pytest.raises(ValueError, match=message):
        shared_trunk.ClipOutputs(group_features=values[0], clip_quality=values[1])


@pytest.mark.filterwarnings("error")
def test_features_whose_mean_overflows_are_refused_without_a_warning(model, monkeypatch):
    grid = clips.plan_grid(33, 45, 61, num_groups=5, block_grid=(2, 3), **SIZES)
    shared = keras_engine.shared_trunk(model)

    def overflow(windows):
        return np.full((len(windows), 8), 3e38, np.float32), np.full((len(windows), 1), 3.0, np.float32)

    monkeypatch.setattr(shared._engine, "run_fully_connected", overflow)
    with pytest.raises(ValueError, match="The 3D-CNN must give finite numbers"):
        shared.run(iter(random_frames(33, 45, 61)), grid)


def test_too_few_frames_are_refused(model):
    grid = clips.plan_grid(33, 45, 61, num_groups=5, block_grid=(2, 3), **SIZES)
    for count in (32, 3, 0):
        with pytest.raises(ValueError, match="needs 33 frames, the video ended before"):
            keras_engine.shared_trunk(model).run(iter(np.zeros((count, 45, 61, 3), np.uint8)), grid)


class SpyEngine(keras_engine.KerasEngine):
    """Records when a computation starts and when it is waited for."""

    def __init__(self, model, events):
        super().__init__(model)
        self.events = events

    def start_trunk(self, pixels, states):
        finish = super().start_trunk(pixels, states)
        self.events.append("start")

        def spy():
            self.events.append("finish")
            return finish()

        return spy


def reading(frames, events):
    for frame in frames:
        events.append("read")
        yield frame


def test_the_next_chunk_is_read_while_one_is_computed(model, monkeypatch):
    monkeypatch.setattr(shared_trunk, "CHUNK_FRAMES", (9, 9))
    events, frames = [], random_frames(20, 24, 24)
    grid = clips.plan_grid(20, 24, 24, num_groups=20, block_grid=(1, 1), **SIZES)
    shared_trunk.SharedTrunk(SpyEngine(model, events)).run(reading(frames, events), grid)
    compute = ["start", *["read"] * 9, "finish", "start", *["read"] * 2, "finish", "start", "finish"]
    assert events == ["read"] * 9 + compute


def test_a_computation_is_waited_for_when_reading_fails(model, monkeypatch):
    monkeypatch.setattr(shared_trunk, "CHUNK_FRAMES", (9, 9))
    events, grid = [], clips.plan_grid(20, 24, 24, num_groups=20, block_grid=(1, 1), **SIZES)

    def broken():
        yield from random_frames(12, 24, 24)
        raise ValueError("damaged")

    with pytest.raises(ValueError, match="damaged"):
        shared_trunk.SharedTrunk(SpyEngine(model, events)).run(broken(), grid)
    assert events == ["start", "finish"]
