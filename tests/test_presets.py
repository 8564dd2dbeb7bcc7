import json
from dataclasses import asdict, fields

import pytest

from nr_vqm import presets


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
        ("epochs=many", "Setting 'epochs' needs int. Received: 'many'"),
        ("epochs=2.5", "Setting 'epochs' needs int. Received: 2.5"),
        ("epochs=true", "Setting 'epochs' needs int. Received: True"),
        ("block_grid=4", r"Setting 'block_grid' needs tuple\[int, int\]. Received: 4"),
        ("block_grid=[4,8,2]", "Setting 'block_grid' needs"),
        ("convs=[[3,3]]", "Setting 'convs' needs"),
        ("epochs=0", "Setting 'epochs' must be above zero"),
        ("learning_rate=-1", "Setting 'learning_rate' must be above zero"),
        ("learning_rate=NaN", "Setting 'learning_rate' must be above zero"),
        ("train_fraction=0.9", "must leave a part for test"),
        ("dropout=1", "Setting 'dropout' must be below 1"),
    ],
)
def test_refused_overrides(override, message):
    with pytest.raises(ValueError, match=message):
        presets.get_preset("small", overrides=[override])


def test_unknown_preset():
    with pytest.raises(ValueError, match="Unknown preset 'large'. Choose from: paper, small, tiny"):
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
