import itertools

import numpy as np
import pytest

from nr_vqm import presets
from nr_vqm.models import cnn3d, trunk_regions
from nr_vqm.video import clips

TINY = {"clip_frames": 7, "clip_size": 24, "convs": ((3, 3, 1), (4, 2, 2)), "fc_dims": (11, 8), "dropout": 0.1}


@pytest.fixture(scope="module")
def layers():
    return cnn3d.trunk_layers(cnn3d.build_cnn3d(**TINY, dtype="float32"))


def tiny_grid(*, starts=(0,), tops=(0,), lefts=(0,)):
    return clips.ClipGrid(starts, tops, lefts, clip_frames=7, clip_size=24, height=600, width=600)


def test_multiply_adds_of_one_clip_worked_by_hand(layers):
    # conv1a 7x24x24 -> 5x22x22, pool 11x11, conv2a -> 4x10x10, conv2b -> 3x9x9
    macs = 27 * 3 * 3 * 5 * 22 * 22 + 8 * 3 * 4 * 4 * 10 * 10 + 8 * 4 * 4 * 3 * 9 * 9
    assert trunk_regions.plan(tiny_grid(), TINY["convs"]).multiply_adds == macs
    head = (3 * 4 * 4 * 4) * 11 + 11 * 8 + 8
    assert cnn3d.clip_multiply_adds(cnn3d.build_cnn3d(**TINY, dtype="float32")) == (macs, head)


@pytest.mark.parametrize(
    ("lefts", "columns"),
    [
        ((0, 12, 24), ((0, 12, 24),)),  # half of each shared
        ((0, 40, 80), ((0,), (40,), (80,))),  # gaps between them
        ((0, 12, 100, 112), ((0, 12), (100, 112))),  # pairs
        ((0, 0, 0), ((0, 0, 0),)),  # a repeated position is computed once
    ],
)
def test_overlapping_blocks_are_joined(layers, lefts, columns):
    assert trunk_regions.plan(tiny_grid(lefts=lefts), TINY["convs"]).columns == columns
    assert trunk_regions.plan(tiny_grid(tops=lefts), TINY["convs"]).rows == columns


def test_groups_without_common_frames_are_separate(layers):
    def times(*starts):
        return trunk_regions.plan(tiny_grid(starts=starts), TINY["convs"]).times

    assert times(0, 2, 4) == ((0, 2, 4),)
    assert times(0, 7, 14, 40) == ((0,), (7,), (14,), (40,))
    assert times(0, 6, 12) == ((0,), (6,), (12,))  # computing one frame twice costs less than the outputs between
    assert times(5, 5) == ((5, 5),)


def test_the_count_matches_keras_shapes_and_is_at_most_that_of_separate_or_joined_clips(layers):
    rng = np.random.default_rng(0)
    for _ in range(5):
        starts, tops, lefts = (tuple(sorted((rng.integers(0, 20, 4) * step).tolist())) for step in (1, 4, 4))
        plan = trunk_regions.plan(tiny_grid(starts=starts, tops=tops, lefts=lefts), TINY["convs"])
        spans = itertools.product(plan.times, plan.rows, plan.columns)
        counted = sum(work(layers, length(t, 7), length(r, 24), length(c, 24)) for t, r, c in spans)
        separate = len(set(starts)) * len(set(tops)) * len(set(lefts)) * work(layers, 7, 24, 24)
        joined = work(layers, length(starts, 7), length(tops, 24), length(lefts, 24))
        assert plan.multiply_adds == counted <= min(separate, joined)


def length(places, size):
    return places[-1] - places[0] + size


def work(layers, frames, rows, columns):
    """Count the multiply-adds of the trunk for one region, from the shapes that Keras computes."""
    shape, total = (1, frames, rows, columns, 3), 0
    for layer in layers:
        shape = layer.compute_output_shape(shape)
        if hasattr(layer, "kernel"):
            total += int(np.prod(layer.kernel.shape)) * int(np.prod(shape[:4]))
    return total


def test_the_count_of_the_paper_network():
    """For 240 frames of 960 x 540 the shared trunk needs 3.47 times fewer multiply-adds than separate clips."""
    preset = presets.PRESETS["paper"]
    sizes = {name: getattr(preset, name) for name in ("clip_frames", "clip_size")}
    grids = {name: getattr(preset, name) for name in ("num_groups", "block_grid")}
    model = cnn3d.build_cnn3d(convs=preset.convs, fc_dims=(4, 4), dropout=0.5, dtype="float32", **sizes)
    shared = {}
    for frames, height, width in [(240, 540, 960), (300, 1080, 1920)]:
        grid = clips.plan_grid(frames, height, width, stride=preset.block_stride, downscale=False, **sizes, **grids)
        plan = trunk_regions.plan(grid, preset.convs)
        shared[height] = 1024 * cnn3d.clip_multiply_adds(model)[0] / plan.multiply_adds, plan
    assert shared[540][0] == pytest.approx(3.5, abs=0.1)
    assert [len(spans) for spans in (shared[540][1].times, shared[540][1].rows, shared[540][1].columns)] == [1, 1, 1]
    assert [len(spans) for spans in (shared[1080][1].rows, shared[1080][1].columns)] == [4, 8]
