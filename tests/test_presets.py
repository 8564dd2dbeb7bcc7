import contextlib
import dataclasses
import json
import math
from dataclasses import asdict, fields

import keras
import pytest

from nr_vqm import presets
from nr_vqm.models import cnn3d, network_sizes


def test_overrides():
    preset = presets.get_preset("small", overrides=["epochs=7", "block_grid=3x5", "learning_rate=1", "dropout=0"])
    assert (preset.epochs, preset.block_grid, preset.learning_rate, preset.dropout) == (7, (3, 5), 1.0, 0.0)
    assert isinstance(preset.learning_rate, float)


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("epoch=3", "Unknown setting 'epoch=3'. Write NAME=VALUE and choose from: clip_frames"),
        ("epochs", "Unknown setting 'epochs'"),
        ("name=x", "Unknown setting 'name=x'"),
        ("epochs=many", "Setting 'epochs' needs an integer. Received: 'many'"),
        ("epochs=2.5", "Setting 'epochs' needs an integer. Received: 2.5"),
        ("epochs=true", "Setting 'epochs' needs an integer. Received: True"),
        ("contents_impairment=1x2", r"needs two numbers, such as \[0.8,2.4\]. Received: '1x2'"),
        ("block_grid=4", r"Setting 'block_grid' needs two integers, such as 3x4. Received: 4"),
        ("block_grid=[4,8,2]", "Setting 'block_grid' needs"),
        ("convs=[[3,3]]", "Setting 'convs' needs"),
        ("epochs=0", "Setting 'epochs' must be above zero"),
        ("learning_rate=-1", "Setting 'learning_rate' must be above zero"),
        ("learning_rate=NaN", "Setting 'learning_rate' must be a finite number"),
        ("learning_rate=Infinity", "Setting 'learning_rate' must be a finite number"),
        ("seed=-1", "Setting 'seed' must be zero or more"),
        ("seed=5000000000", "Setting 'seed' must be at most 2147483648"),
        ("dropout=-0.5", "Setting 'dropout' must be zero or more"),
        ("interval_floor=1.5", "Setting 'interval_floor' must be at most 1"),
        ("val_share=1", "Setting 'val_share' must be below 1"),
        ("svr_c=[]", "Setting 'svr_c' needs at least one value"),
        ("svr_folds=1", "Setting 'svr_folds' must be at least 2"),
        ("precision=float16", "Setting 'precision' must be one of auto, float32, mixed_bfloat16. Received: 'float16'"),
        ("mirror=1", "Setting 'mirror' needs true or false"),
        ("downscale=true", "set train_grid=1x1 and block_grid=1x1 with downscale=true"),
        ("train_fraction=0.9", "must leave a part for test"),
        ("dropout=1", "Setting 'dropout' must be below 1"),
    ],
)
def test_refused_overrides(override, message):
    with pytest.raises(ValueError, match=message):
        presets.get_preset("small", overrides=[override])


def test_unknown_preset():
    with pytest.raises(ValueError, match="Unknown preset 'large'. Choose from: paper, small, default, tiny"):
        presets.get_preset("large")


@pytest.mark.parametrize("name", presets.PRESETS)
def test_json_round_trip(name):
    preset = presets.PRESETS[name]
    assert presets.from_json(json.loads(json.dumps(asdict(preset)))) == preset


def test_unknown_names_in_json():
    with pytest.raises(ValueError, match="Unknown setting 'colour'"):
        presets.from_json({"name": "paper", "colour": 3})


def test_paper_is_the_paper():
    paper = presets.PRESETS["paper"]
    assert (paper.clip_frames, paper.clip_size, paper.num_groups, paper.block_grid) == (16, 224, 32, (4, 8))
    assert paper.convs == ((32, 3, 1), (64, 3, 1), (128, 3, 2), (256, 2, 2))
    assert (paper.fc_dims, paper.dropout, paper.epochs) == ((1024, 512), 0.5, 50)
    assert (paper.lstm_units, paper.head_fc_dim, paper.block_stride) == (32, 16, 16)


def test_small_has_the_architecture_and_the_grid_of_the_paper():
    small, paper = presets.PRESETS["small"], presets.PRESETS["paper"]
    assert [conv[1:] for conv in small.convs] == [conv[1:] for conv in paper.convs]
    assert (small.clip_frames, small.num_groups, small.block_grid) == (16, 32, (4, 8))


def test_sizes_of_tiny_are_all_different():
    tiny = presets.PRESETS["tiny"]
    sizes = [tiny.clip_frames, tiny.clip_size, tiny.num_groups, *tiny.fc_dims, tiny.lstm_units, tiny.head_fc_dim]
    sizes += [*tiny.block_grid, *(conv[0] for conv in tiny.convs[1:])]
    assert len(set(sizes)) == len(sizes)
    assert len(fields(presets.Preset)) == len(asdict(tiny))


def test_a_database_changes_the_paper_preset_and_set_changes_both():
    cases = [("paper", None), ("paper", "konvid1k"), ("paper", "live_qualcomm"), ("tiny", "live_qualcomm")]
    found = [presets.get_preset(name, database=database) for name, database in cases]
    grids = [(preset.train_groups, preset.train_grid) for preset in found]
    assert grids == [(26, (2, 4)), (26, (2, 4)), (55, (4, 8)), (3, (1, 2))]
    changed = presets.get_preset("paper", database="live_qualcomm", overrides=["train_grid=3x5"])
    assert (changed.train_groups, changed.train_grid) == (55, (3, 5))


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("clip_size=53", "need clips of at least 54 pixels, found clip_size=53. Set clip_size=54 or more"),
        ("clip_frames=10", "need clips of at least 11 frames, found clip_frames=10"),
        ("convs=[[4,3,9]]", "at most 8 repeats of its convolution, found 9. Use fewer repeats, or more stages"),
        ("convs=[]", "Setting 'convs' needs at least one value"),
        ("fc_dims=[2000000000,2]", "at most 2,000,000,000 weights"),
        ("clip_size=20000", "as many values in one layer"),
        ("num_groups=4000", "at most 100,000 clips of one video, found 128,000: 4000 groups of 4 x 8 blocks"),
        ("train_grid=400x400", "at most 100,000 clips of one video, found 480,000"),
    ],
)
def test_sizes_of_which_no_network_can_be_built_are_refused(override, message):
    with pytest.raises(ValueError, match=message) as refused:
        presets.get_preset("small", overrides=[override])
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    ("convs", "smallest"),
    [
        (((2, 3, 1),), (3, 4)),  # 4 pixels, 2 after the convolution, 1 after the pooling
        (((2, 3, 2), (3, 2, 1)), (6, 10)),
        (((3, 1, 1), (2, 4, 1), (2, 2, 3)), (7, 26)),
        (presets.PRESETS["paper"].convs, (11, 54)),
    ],
)
def test_the_smallest_clip_is_the_smallest_that_keras_can_build(convs, smallest):
    assert network_sizes.smallest_clip(convs) == smallest
    frames, size = smallest
    settings = {"convs": convs, "fc_dims": (5,), "dropout": 0.1, "dtype": "float32"}
    model = cnn3d.build_cnn3d(clip_frames=frames, clip_size=size, **settings)
    trunk = cnn3d.trunk_layers(model)
    assert model.get_layer("flatten").input.shape[1:4] == (1, 1, 1)
    for one in ((frames - 1, size), (frames, size - 1)):
        with pytest.raises(ValueError, match="need clips of at least"):
            cnn3d.build_cnn3d(clip_frames=one[0], clip_size=one[1], **settings)
        with pytest.raises(ValueError, match="output size would be zero or negative|no output is left"):
            _run_through(trunk, (None, one[0], one[1], one[1], 3))


def _run_through(layers, shape):
    for layer in layers:
        shape = layer.compute_output_shape(shape)
        if min(size for size in shape if size is not None) < 1:
            raise ValueError("no output is left")


def test_a_network_of_more_layers_than_can_be_loaded_is_refused():
    network_sizes.check_network(clip_frames=1, clip_size=2048, convs=((1, 1, 8),) * 10, fc_dims=(2, 2))
    with pytest.raises(ValueError, match="at most 100 layers, found 108"):
        network_sizes.check_network(clip_frames=1, clip_size=2048, convs=((1, 1, 8),) * 11, fc_dims=(2, 2))


def test_features_are_of_the_last_connected_layer_however_many_there_are():
    sizes = {"clip_frames": 5, "clip_size": 10, "convs": ((3, 3, 1),), "dropout": 0.1, "dtype": "float32"}
    for fc_dims in ((7,), (9, 8, 6)):
        features, quality = cnn3d.fully_connected_part(cnn3d.build_cnn3d(**sizes, fc_dims=fc_dims)).outputs
        assert (features.shape, quality.shape) == ((None, fc_dims[-1]), (None, 1))


def test_weights_are_counted_as_keras_does(zero_weights):
    for preset in presets.PRESETS.values():
        sizes = preset.network
        del sizes["dropout"]
        with keras.device("cpu"):
            model = cnn3d.build_cnn3d(**preset.network, dtype="float32")
        outputs, weights = network_sizes._layer_sizes(**sizes)
        assert sum(weights) == model.count_params()
        assert set(outputs) == {math.prod(layer.output.shape[1:]) for layer in model.layers}


def test_a_clip_longer_than_the_synthetic_videos_is_refused_for_those():
    with pytest.raises(ValueError, match="One clip needs 60 frames, the synthetic videos would have 48"):
        presets.get_preset("small", database="synthetic", overrides=["clip_frames=60"])
    assert presets.get_preset("small", database="csv", overrides=["clip_frames=60"]).clip_frames == 60


@pytest.mark.parametrize(("added", "message"), [(0, None), (1, "the synthetic videos would have 15. Use a larger syn")])
def test_synthetic_videos_among_contents_must_have_a_clip(added, message):
    overrides = ["synthetic_frames=15", f"contents_synthetic={added}"]
    with pytest.raises(ValueError, match=message) if message else contextlib.nullcontext():
        presets.get_preset("small", database="contents", overrides=overrides)


def test_a_run_of_before_a_setting_existed_has_its_default():
    old = {"name": "small", "clip_size": 64}
    assert presets.from_json(old) == dataclasses.replace(presets.Preset("small"), clip_size=64)
    with pytest.raises(ValueError, match="A preset needs the setting 'name'"):
        presets.from_json({"clip_size": 64})


def test_differences_are_those_from_the_named_preset():
    changed = presets.get_preset("tiny", overrides=["svr_folds=3", "precision=float32", "seed=7"])
    assert presets.differences(changed) == ["precision=float32", "svr_folds=3"]
    assert presets.differences(dataclasses.replace(presets.Preset("mine"), epochs=3)) == ["epochs=3"]
