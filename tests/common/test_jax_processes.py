"""Keras on JAX, in separate processes, because the backend is chosen before Keras is imported."""

import importlib.util
import json
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pytest

from nr_vqm import command_line
from nr_vqm.runs.run_folder import RunFolder

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not importlib.util.find_spec("jax"), reason="needs pip install nr-vqm[jax]"),
]
ROOT = Path(__file__).parents[2]
ANSWERS = """
import json, sys, keras, numpy as np
assert keras.backend.backend() == "jax"
clips = np.random.default_rng(0).integers(0, 256, (3, 7, 24, 24, 3), np.uint8)
print(json.dumps(keras.models.load_model(sys.argv[1]).predict(clips, verbose=0)[:, 0].tolist()))
"""
DEVICES = """
import os, sys
from nr_vqm.common import devices
os.environ["KERAS_DISTRIBUTION_NUM_PROCESSES"] = "2"  # devices are not queried before the processes have joined
devices.start("gpu:1")
import jax, tensorflow as tf
assert jax.config._read("jax_cuda_visible_devices") == "1"
assert os.environ["XLA_PYTHON_CLIENT_PREALLOCATE"] == "false"
assert tf.config.get_visible_devices("GPU") == []
del os.environ["KERAS_DISTRIBUTION_NUM_PROCESSES"]
devices.start("cpu")
assert jax.default_backend() == "cpu"
try:
    devices.start("gpu")
except ValueError as error:
    print(error)
try:
    with devices.explain_out_of_memory("too large"):
        jax.numpy.zeros(10**15, "uint8").block_until_ready()  # more bytes than any machine has
except ValueError as error:
    print(error, type(error.__cause__).__name__)
"""


def start(*arguments, backend="jax", **environment):
    environment = {**os.environ, "KERAS_BACKEND": backend, "JAX_PLATFORMS": "cpu", **environment}
    return subprocess.Popen(
        [sys.executable, *map(str, arguments)],
        cwd=ROOT,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def finish(process):
    printed = process.communicate(timeout=300)[0]
    assert process.returncode == 0, f"{process.args}\n{printed}"
    return printed


def run(*arguments, backend="jax"):
    return finish(start(*arguments, backend=backend))


def start_together(*arguments):
    """Two processes that train one network, as on two machines."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{free.getsockname()[1]}"
    names = [f"KERAS_DISTRIBUTION_{name}" for name in ("JOB_ADDRESSES", "NUM_PROCESSES", "PROCESS_ID")]
    return [start(*arguments, **dict(zip(names, (address, "2", str(number)), strict=True))) for number in range(2)]


def read_history(run_dir):
    return json.loads(RunFolder(run_dir).training_state.read_text())["history"]


def test_two_devices_or_processes_on_jax_train_like_one_device_on_tensorflow(synthetic_data, tmp_path):
    settings = ["--data", synthetic_data, "--preset", "tiny", "--set", "dropout=0"]
    train = ["-m", "experiments.train_cnn", *settings]
    run(*train, "--run", tmp_path / "tensorflow", backend="tensorflow")
    assert "epoch 2 of 2" in run(*train, "--run", tmp_path / "jax", "--devices", 2)
    first, second = map(finish, start_together(*train, "--run", tmp_path / "together", "--devices", 2))
    assert "epoch 2 of 2" in first
    assert "epoch" not in second
    on_jax = read_history(tmp_path / "jax")
    for one, two in zip(on_jax, read_history(tmp_path / "together"), strict=True):
        assert all(two[name] == pytest.approx(one[name], abs=1e-5) for name in one if name != "clips_per_second")
    for one, two in zip(read_history(tmp_path / "tensorflow"), on_jax, strict=True):
        assert one["mse"] == pytest.approx(two["mse"], abs=1e-2)
        assert one["val_mse"] == pytest.approx(two["val_mse"], abs=1e-2)
    path = tmp_path / "jax" / "cnn3d.keras"
    clips = np.random.default_rng(0).integers(0, 256, (3, 7, 24, 24, 3), np.uint8)
    answers = keras.models.load_model(path).predict(clips, verbose=0)[:, 0]
    np.testing.assert_allclose(answers, json.loads(run("-c", ANSWERS, path)), atol=1e-5)


def test_processes_stop_together_and_resume_together(synthetic_data, tmp_path):
    train = ["-m", "experiments.train_cnn", "--data", synthetic_data, "--preset", "tiny", "--epochs", 12]
    train += ["--run", tmp_path / "run", "--set", "patience=12", "--devices", 2]
    first, second = start_together(*train)
    try:
        for line in first.stdout:
            if line.startswith("epoch 2 "):
                break
        second.send_signal(signal.SIGTERM)
        printed = [one.communicate(timeout=300)[0] for one in (first, second)]
    finally:
        first.kill()
        second.kill()
    assert [first.returncode, second.returncode] == [command_line.EXIT_STOPPED] * 2, printed
    assert 2 <= len(read_history(tmp_path / "run")) < 12
    for one in start_together(*train):
        finish(one)
    assert len(read_history(tmp_path / "run")) == 12


def test_an_error_in_one_process_ends_the_other(synthetic_data, tmp_path):
    train = ["-m", "experiments.train_cnn", "--data", synthetic_data, "--preset", "tiny", "--run", tmp_path / "run"]
    run(*train, "--epochs", 1)
    first, second = start_together(*train, "--devices", 2, "--epochs", 2)
    assert "was started with other settings" in first.communicate(timeout=120)[0]
    assert "Another process of this training could not start" in second.communicate(timeout=120)[0]
    assert first.returncode == second.returncode == command_line.EXIT_FAILED


def test_devices_and_their_memory():
    printed = run("-c", DEVICES).splitlines()[-2:]
    assert printed[0] == "Device 'gpu' was requested, this machine has 0 GPUs. Use --device cpu or auto."
    assert printed[1].startswith("too large ")
    assert "RuntimeError" in printed[1]
