import json
import os
import pickle
import shutil
import subprocess
import sys
import zipfile

import h5py
import keras
import pytest
import skops.io

from nr_vqm import cli, command_line, presets
from nr_vqm.common import atomic_files
from nr_vqm.models import cnn3d, lstm_head, svr_head
from nr_vqm.runs import model_check
from nr_vqm.runs.run_folder import RunFolder
from nr_vqm.scoring import worker_tasks
from nr_vqm.video.reader import ReadOptions
from nr_vqm.video.work_limits import WorkLimits

NETWORK = {"clip_frames": 7, "clip_size": 24, "convs": ((3, 3, 1), (4, 2, 2)), "fc_dims": (11, 8), "dropout": 0.1}


@pytest.fixture(scope="module")
def saved_model(tmp_path_factory):
    path = tmp_path_factory.mktemp("model") / "cnn3d.keras"
    cnn3d.build_cnn3d(**NETWORK, dtype="float32").save(path)
    return path


@pytest.fixture
def model_path(saved_model, tmp_path):
    """A copy of a saved 3D-CNN, which a test may damage."""
    return shutil.copy(saved_model, tmp_path / "cnn3d.keras")


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


def test_saved_models_are_loaded(model_path, tmp_path):
    assert model_check.load_model(model_path, made_by="make train").count_params() > 0
    sizes = {"num_groups": 5, "input_dim": 6, "input_offset": 3.0, "input_scale": 1.0, "lstm_units": 9, "fc_dim": 10}
    lstm_head.build_lstm_head(**sizes).save(tmp_path / "lstm_head.keras")
    assert model_check.load_model(tmp_path / "lstm_head.keras", made_by="make compare").input_shape == (None, 5, 6)


def ask_for_more(by_name, config):
    for layer in by_name.values():
        layer.pop("build_config", None)
    by_name["fc1"]["config"]["units"] = 1_000_000


def set_layer(layer, name, value):
    return lambda by_name, config: by_name[layer].update({name: value})


def set_config(layer, name, value):
    return lambda by_name, config: by_name[layer]["config"].update({name: value})


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (set_config("fc1", "units", 10**10), "layer 'fc1' asks for a shape"),
        (set_config("fc1", "units", "many"), "is not one"),
        (set_config("conv1a", "filters", 10**12), "layer 'conv1a' asks for a shape"),
        (set_config("conv1a", "kernel_size", [9, 9, 9]), "asks for a shape"),
        (set_config("conv1a", "padding", "same"), "has padding 'same'; only 'valid' is loaded"),
        (set_config("clip", "batch_shape", [None, 7, 10**6, 10**6, 3]), "layer 'clip' asks for a shape"),
        (set_config("fc1", "units", 11.5), "a size must be a positive integer, found 11.5"),
        (set_config("fc1", "units", 12), "layer 'fc2' is built for inputs of shape .11., its inputs have .12"),
        (ask_for_more, "ask for [0-9]+ weights, which do not fit the [0-9]+ bytes stored"),
        (set_config("fc1", "activation", "mish"), "layer 'fc1' has activation 'mish'"),
        (set_config("fc1", "activation", {"class_name": "function", "config": "system"}), "is not one"),
        (set_config("fc1", "kernel_initializer", {"class_name": "RandomNormal"}), "a part of class 'RandomNormal'"),
        (set_config("pool1", "strides", [1, 1, 1]), "strides other than its pool_size"),
        (set_layer("fc1", "build_config", {"input_shape": [None, 10**10]}), "'fc1' is built for inputs of shape"),
        (set_layer("fc1", "inbound_nodes", []), "layer 'fc1' must have exactly one input"),
        (lambda by_name, config: config["config"]["layers"].extend([by_name["scale"]] * 100), "it has 114 layers"),
        (lambda by_name, config: by_name["scale"].update(class_name="Lambda"), "a layer of class 'Lambda'"),
        (lambda by_name, config: by_name["scale"].update(module="os"), "only Conv3D, Dense"),
        (lambda by_name, config: config.update(class_name="Sequential"), "it is a 'Sequential'"),
        (lambda by_name, config: config.pop("config"), "is not one"),
    ],
)
def test_hostile_models_are_refused_before_keras_loads_them(model_path, monkeypatch, change, message):
    def refuse(*args, **kwargs):
        raise AssertionError("Keras was asked to load it")

    try:
        change_config(model_path, change)
    except KeyError:
        pytest.fail("the change of this test does not fit the model")
    monkeypatch.setattr(keras.models, "load_model", refuse)
    with pytest.raises(ValueError, match=message):
        model_check.load_model(model_path, made_by="make train")


def rewrite(path, *, compression=zipfile.ZIP_STORED, **changed):
    """Rewrite a .keras file with members added or changed; a name's "__" is a slash."""
    with zipfile.ZipFile(path) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    with zipfile.ZipFile(path, "w", compression) as archive:
        for name, content in (members | changed).items():
            archive.writestr(name.replace("__", "/"), content)


def truncate(path):
    path.write_bytes(path.read_bytes()[:-100])


def flip_a_byte_of_the_config(path):
    content = path.read_bytes()
    path.write_bytes(content.replace(b'"Conv3D"', b'"Conv2D"', 1))


def legacy_hdf5(path):
    with h5py.File(path, "w") as file:
        file.attrs["model_config"] = '{"class_name": "Sequential"}'


def link_to_an_endless_file(path):
    path.unlink()
    path.symlink_to("/dev/zero")


@pytest.fixture
def nothing_is_loaded(monkeypatch):
    """Fail where a file reaches the loaders, which build what it asks for."""

    def load(path, *args, **settings):
        pytest.fail(f"{path} was loaded")

    monkeypatch.setattr(keras.models, "load_model", load)
    monkeypatch.setattr(skops.io, "load", load)


@pytest.mark.parametrize(
    ("harm", "message"),
    [
        (truncate, "not a zip file"),
        (flip_a_byte_of_the_config, "Bad CRC-32"),
        (legacy_hdf5, "not a zip file"),
        (lambda path: path.write_bytes(pickle.dumps(print)), "not a zip file"),
        (lambda path: rewrite(path, **{"..__..__evil.py": b"x"}), r"it holds '\.\./\.\./evil\.py'"),
        (lambda path: rewrite(path, **{"assets__tool.so": b"x"}), "only config.json, metadata.json, model.weights.h5"),
        (lambda path: rewrite(path, compression=zipfile.ZIP_DEFLATED), "is compressed, which a saved network never is"),
        (lambda path: rewrite(path, **{"model.weights.h5": bytes(10**8)}), "which do not fit the 100000000 bytes"),
        (lambda path: rewrite(path, **{"config.json": b" " * 10**7}), "config.json has 10000000 bytes"),
        (lambda path: rewrite(path, **{"config.json": b"[" * 500_000}), "RecursionError"),
        (lambda path: rewrite(path, **{"config.json": b"9" * 500_000}), "is not one"),
        (link_to_an_endless_file, "must be a regular file"),
    ],
)
def test_hostile_files_are_refused_before_keras_loads_them(model_path, harm, message, nothing_is_loaded):
    harm(model_path)
    with pytest.raises(ValueError, match=message) as refused:
        model_check.load_model(model_path, made_by="make train")
    assert str(model_path) in str(refused.value)


def test_weights_that_keras_refuses_give_a_message_of_one_line(model_path):
    with zipfile.ZipFile(model_path) as archive:
        weights = archive.read("model.weights.h5")
    rewrite(model_path, **{"model.weights.h5": bytes(len(weights))})
    with pytest.raises(ValueError, match=r"cnn3d\.keras is not one: ") as refused:
        model_check.load_model(model_path, made_by="make train")
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04", b"\x89HDF\r\n\x1a\n"])
def test_a_file_of_another_format_is_refused(tmp_path, content):
    (tmp_path / "cnn3d.keras").write_bytes(content)
    with pytest.raises(ValueError, match=r"A model that nr-vqm saved is needed, .*cnn3d\.keras is not one"):
        model_check.load_model(tmp_path / "cnn3d.keras", made_by="make train")


def test_a_missing_model_names_the_command_that_makes_it(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"cnn3d\.keras is missing. Make it first: make train"):
        model_check.load_model(tmp_path / "cnn3d.keras", made_by="make train")


def test_a_model_that_differs_from_the_recorded_one_is_refused(model_path):
    with RunFolder(model_path.parent).stage("train"):
        pass
    change_config(model_path, set_config("dropout1", "rate", 0.2))
    with pytest.raises(ValueError, match="its checksum differs"):
        model_check.load_model(model_path, made_by="make train")


@pytest.fixture
def run_dir(tiny_run, tmp_path):
    return shutil.copytree(tiny_run, tmp_path / "run")


def test_the_identity_of_a_run_depends_on_its_models_and_its_scale(run_dir):
    lstm, svr = (model_check.check_run(run_dir, head) for head in ("lstm", "svr"))
    assert len(lstm) == 12
    assert lstm != svr
    assert model_check.check_run(run_dir, "lstm") == lstm
    RunFolder(run_dir).update_facts(mos_range=[0, 10])
    other_scale = model_check.check_run(run_dir, "lstm")
    assert other_scale != lstm
    cnn3d.build_cnn3d(**NETWORK, dtype="float32").save(run_dir / "cnn3d.keras")
    with RunFolder(run_dir).stage("compare"):
        pass
    assert model_check.check_run(run_dir, "lstm") not in (lstm, other_scale)


def test_heads_of_an_earlier_3d_cnn_are_refused(run_dir):
    model_check.check_run(run_dir, "svr")
    with RunFolder(run_dir).stage("train"):
        cnn3d.build_cnn3d(**NETWORK, dtype="float32").save(run_dir / "cnn3d.keras")
    with pytest.raises(ValueError, match="was fitted on another 3D-CNN .* Fit it again: make features, then make comp"):
        model_check.check_run(run_dir, "svr")


def test_a_head_whose_fit_was_stopped_is_refused(run_dir):
    with pytest.raises(KeyboardInterrupt), RunFolder(run_dir).stage("compare"):
        raise KeyboardInterrupt
    with pytest.raises(ValueError, match="the fit of svr.skops is not complete. Run again: make compare"):
        model_check.check_run(run_dir, "svr")


def test_a_worker_with_other_models_is_refused(run_dir):
    with pytest.raises(ValueError, match="on a worker differ from those on this machine"):
        worker_tasks.score(
            "x.mp4",
            run_dir=run_dir,
            head="svr",
            engine=None,
            model_id="0" * 12,
            options=ReadOptions(),
            limits=WorkLimits(),
            precision=None,
            device="auto",
        )


def wrong_grid(run):
    RunFolder(run).write_preset(presets.get_preset("tiny", overrides=["num_groups=4"]))


def endless_grid(run):
    values = atomic_files.read_json(run / "preset.json", made_by="make train")
    atomic_files.write_json(run / "preset.json", values | {"num_groups": 1_000_000})


def large_preset(run):
    (run / "preset.json").write_bytes(b" " * 10_000_001)


HARMS = {
    "truncated": ("lstm", lambda run: truncate(run / "cnn3d.keras"), "not a zip file"),
    "checksum": ("lstm", lambda run: (run / "lstm_head.keras").write_bytes(b"PK"), "is not one"),
    "svr checksum": ("svr", lambda run: rewrite(run / "svr.skops", **{"9.npy": b""}), "its checksum differs"),
    "pickle": ("svr", lambda run: (run / "svr.skops").write_bytes(pickle.dumps({"a": 1})), "not a zip file"),
    "traversal": ("svr", lambda run: rewrite(run / "svr.skops", **{"..__evil.npy": b""}), r"it holds '\.\./evil\.npy'"),
    "schema": ("svr", lambda run: rewrite(run / "svr.skops", **{"schema.json": b" " * 10**7}), "more than 1000000"),
    "bomb": (
        "svr",
        lambda run: rewrite(run / "svr.skops", compression=zipfile.ZIP_DEFLATED, **{"1.npy": bytes(2**21)}),
        "it unpacks to",
    ),
    "grid": (
        "lstm",
        wrong_grid,
        r"lstm_head.keras has the input shape \(5, 6\), this run's .* gives \(4, 6\)",
    ),
    "clips": ("svr", endless_grid, "at most 100,000 clips of one video, found 6,000,000"),
    "preset": ("lstm", large_preset, "must have at most"),
    "run": ("lstm", lambda run: (run / "run.json").write_text("[]"), "must hold a JSON object"),
    "no facts": ("lstm", lambda run: (run / "run.json").unlink(), "run.json is missing. Make it first: make train"),
    "no scale": (
        "lstm",
        lambda run: atomic_files.write_json(run / "run.json", {}),
        "needs the MOS scale .* found none",
    ),
    "scale": (
        "lstm",
        lambda run: atomic_files.write_json(run / "run.json", {"mos_range": [-1e308, 1e308]}),
        r"within \+-1e\+06; found \[-1e\+308",
    ),
    "huge scale": (
        "lstm",
        lambda run: (run / "run.json").write_text('{"mos_range": [0, 1' + "0" * 400 + "]}"),
        "needs the MOS scale",
    ),
    "nested": ("lstm", lambda run: (run / "run.json").write_text("[" * 500_000), "is not a JSON file"),
    "no head": ("svr", lambda run: (run / "svr.skops").unlink(), "svr.skops is missing. Make it first: make compare"),
}


@pytest.mark.parametrize("harm", HARMS)
def test_hostile_runs_are_refused_before_anything_is_loaded(run_dir, harm, monkeypatch, nothing_is_loaded):
    monkeypatch.setattr(svr_head, "MAX_BYTES", 2**20)  # a gigabyte takes long to make
    head, do_harm, message = HARMS[harm]
    do_harm(run_dir)
    with pytest.raises((ValueError, FileNotFoundError), match=message):
        model_check.check_run(run_dir, head)


@pytest.mark.parametrize("name", ["cnn3d.keras", "svr.skops", "history.csv", "run.json"])
@pytest.mark.parametrize("special", [os.mkfifo, lambda path: path.symlink_to("/dev/zero")])
def test_info_refuses_a_pipe_or_device_instead_of_waiting_for_it(run_dir, name, special, capsys):
    (run_dir / name).unlink(missing_ok=True)
    special(run_dir / name)
    with pytest.raises(SystemExit) as ended:
        cli.entry_point(["info", str(run_dir)])
    assert ended.value.code == 3
    assert f"{name} must be a regular file" in capsys.readouterr().err


def test_info_prints_no_escape_sequence(run_dir, capsys):
    RunFolder(run_dir).update_facts(database="\x1b]0;title\x07harmless")
    with pytest.raises(SystemExit) as ended:
        cli.entry_point(["info", str(run_dir)])
    assert ended.value.code == 0
    printed = capsys.readouterr().out
    assert "harmless" in printed
    assert "\x1b" not in printed


@pytest.mark.parametrize("head", ["lstm", "svr"])
@pytest.mark.parametrize("harm", ["no facts", "no scale"])
def test_the_command_refuses_a_run_without_a_scale(run_dir, harm, head, capsys):
    HARMS[harm][1](run_dir)
    with pytest.raises(SystemExit) as ended:
        cli.entry_point(["score", "x.mp4", "--run", str(run_dir), "--head", head])
    assert ended.value.code == command_line.EXIT_NO_MODEL == 3
    printed = capsys.readouterr().err
    assert printed.startswith(f"error: {run_dir}/run.json ") and printed.count("\n") == 1


def test_the_command_refuses_a_model_without_loading_tensorflow(run_dir):
    change_config(run_dir / "cnn3d.keras", set_config("fc1", "units", 10**10))
    code = "import sys; from nr_vqm import cli\n"
    code += f"try: cli.entry_point(['score', 'x.mp4', '--run', {str(run_dir)!r}])\n"
    code += "finally: assert not {'tensorflow', 'keras', 'sklearn'} & set(sys.modules)"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert result.returncode == command_line.EXIT_NO_MODEL
    assert "layer 'fc1' asks for a shape" in result.stderr
    assert result.stderr.count("\n") == 1
