import json
import zipfile

import keras
import pytest

from nr_vqm import bundle, cnn3d, files, lstm_head, presets

NETWORK = {"clip_frames": 7, "clip_size": 24, "convs": ((3, 3, 1), (4, 2, 2)), "fc_dims": (11, 8), "dropout": 0.1}


@pytest.fixture
def model_path(tmp_path):
    cnn3d.build_cnn3d(**NETWORK, dtype="float32").save(tmp_path / "cnn3d.keras")
    return tmp_path / "cnn3d.keras"


def change_config(path, change):
    """Rewrite config.json inside a .keras file."""
    with zipfile.ZipFile(path) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    config = json.loads(members["config.json"])
    change({layer["config"]["name"]: layer for layer in config["config"]["layers"]}, config)
    members["config.json"] = json.dumps(config).encode()
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in members.items():
            archive.writestr(name, content)


def test_ours_are_loaded(model_path, tmp_path):
    assert bundle.load_model(model_path, made_by="make train").count_params() > 0
    sizes = {"num_groups": 5, "input_dim": 6, "input_offset": 3.0, "input_scale": 1.0, "lstm_units": 9, "fc_dim": 10}
    lstm_head.build_lstm_head(**sizes).save(tmp_path / "lstm_head.keras")
    assert bundle.load_model(tmp_path / "lstm_head.keras", made_by="make compare").input_shape == (None, 5, 6)


def set_config(layer, name, value):
    return lambda by_name, config: by_name[layer]["config"].update({name: value})


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (set_config("fc1", "units", 10**10), "layer 'fc1' asks for a shape"),
        (set_config("fc1", "units", "many"), "is not one"),
        (set_config("conv1a", "filters", 10**12), "layer 'conv1a' asks for a shape"),
        (set_config("conv1a", "kernel_size", [9, 9, 9]), "asks for a shape"),
        (set_config("conv1a", "padding", "same"), "not a 'valid' convolution"),
        (set_config("clip", "batch_shape", [None, 7, 10**6, 10**6, 3]), "layer 'clip' asks for a shape"),
        (lambda by_name, config: by_name["scale"].update(class_name="Lambda"), "a layer of class 'Lambda'"),
        (lambda by_name, config: by_name["scale"].update(module="os"), "only Conv3D, Dense"),
        (lambda by_name, config: config.update(class_name="Sequential"), "it is a 'Sequential'"),
        (lambda by_name, config: config.pop("config"), "is not one"),
    ],
)
def test_hostile_models_are_refused_before_keras_sees_them(model_path, monkeypatch, change, message):
    def refuse(*args, **kwargs):
        raise AssertionError("Keras was asked to load it")

    try:
        change_config(model_path, change)
    except KeyError:
        pytest.fail("the test's change does not fit the model")
    monkeypatch.setattr(keras.models, "load_model", refuse)
    with pytest.raises(ValueError, match=message):
        bundle.load_model(model_path, made_by="make train")


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04", b"\x89HDF\r\n\x1a\n"])
def test_not_a_keras_file(tmp_path, content):
    (tmp_path / "cnn3d.keras").write_bytes(content)
    with pytest.raises(ValueError, match=r"A model that nr-vqm saved is needed, .*cnn3d\.keras is not one"):
        bundle.load_model(tmp_path / "cnn3d.keras", made_by="make train")


def test_a_missing_model_says_what_makes_it(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"cnn3d\.keras is missing. Make it first: make train"):
        bundle.load_model(tmp_path / "cnn3d.keras", made_by="make train")


def test_a_model_that_is_not_the_run_s_own(model_path):
    with bundle.stage(model_path.parent, "train"):
        pass
    noted = bundle.read_run(model_path.parent)["sha256"]
    assert noted == {"cnn3d.keras": files.sha256(model_path)}
    change_config(model_path, set_config("dropout1", "rate", 0.2))
    with pytest.raises(ValueError, match="its checksum differs"):
        bundle.load_model(model_path, made_by="make train")


def test_run_and_preset_round_trip(tmp_path):
    bundle.write_preset(tmp_path, presets.PRESETS["tiny"])
    assert bundle.read_preset(tmp_path) == presets.PRESETS["tiny"]
    bundle.update_run(tmp_path, database="csv", seconds={"train": 3})
    bundle.update_run(tmp_path, seconds={"compare": 4})
    assert bundle.read_run(tmp_path) == {"database": "csv", "seconds": {"train": 3, "compare": 4}}


def test_seconds_of_a_stage_add_up_over_stops(tmp_path):
    with pytest.raises(ValueError, match="stopped"), bundle.stage(tmp_path, "train"):
        raise ValueError("stopped")
    bundle.update_run(tmp_path, seconds={"train": 100.0})
    with bundle.stage(tmp_path, "train"):
        pass
    assert 100 <= bundle.read_run(tmp_path)["seconds"]["train"] < 101


def make_run(folder):
    folder.mkdir(parents=True, exist_ok=True)
    bundle.write_preset(folder, presets.get_preset("tiny"))
    files.write_text(folder / "splits.json", "split")
    files.write_text(folder / "features.h5", "features")
    bundle.update_run(folder, database="d", scored="x", seconds={"train": 3.0}, sha256={"svr.skops": "2"})


def test_a_derived_run_shares_what_it_keeps(tmp_path):
    make_run(tmp_path / "run")
    for _ in range(2):  # again changes nothing
        made = bundle.derive(tmp_path / "run", tmp_path / "other", keep=("splits.json", "cnn3d.keras"), lstm_units=3)
        assert made == tmp_path / "other"
        assert (made / "splits.json").samefile(tmp_path / "run" / "splits.json")
        assert not (made / "features.h5").exists()
        assert bundle.read_preset(made).lstm_units == 3
        assert bundle.read_run(made) == {"database": "d", "sha256": {}}
    files.write_text(tmp_path / "run" / "splits.json", "other")
    assert (made / "splits.json").read_text() == "split"  # replaced, not written to
    with pytest.raises(ValueError, match="splits.json is not that of"):
        bundle.derive(tmp_path / "run", made, keep=("splits.json",), lstm_units=3)
    with pytest.raises(ValueError, match="was begun with other settings"):
        bundle.derive(tmp_path / "run", made, keep=(), lstm_units=4)


def test_every_repeat_is_derived(tmp_path):
    for name in ("", "repeat-00", "repeat-01"):
        make_run(tmp_path / "run" / name)
    bundle.update_run(tmp_path / "run", repeats=2)
    made = bundle.derive(tmp_path / "run", tmp_path / "other", keep=("splits.json",))
    assert [path.relative_to(made).name for path in bundle.repeat_dirs(made)] == ["repeat-00", "repeat-01"]
    assert all((path / "splits.json").exists() for path in bundle.repeat_dirs(made))
