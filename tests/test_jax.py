"""Keras on JAX, in processes of its own: the backend is chosen before Keras is imported."""

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pytest

from nr_vqm import training

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not importlib.util.find_spec("jax"), reason="needs pip install nr-vqm[jax]"),
]
ROOT = Path(__file__).parent.parent
ANSWERS = """
import json, sys, keras, numpy as np
assert keras.backend.backend() == "jax"
clips = np.random.default_rng(0).integers(0, 256, (3, 7, 24, 24, 3), np.uint8)
print(json.dumps(keras.models.load_model(sys.argv[1]).predict(clips, verbose=0)[:, 0].tolist()))
"""


def run(*arguments, backend="jax"):
    environment = {**os.environ, "KERAS_BACKEND": backend, "JAX_PLATFORMS": "cpu"}
    result = subprocess.run(
        [sys.executable, *map(str, arguments)], cwd=ROOT, env=environment, capture_output=True, text=True, check=False
    )
    assert result.returncode == 0, f"{arguments}\n{result.stdout}\n{result.stderr}"
    return result.stdout


def test_two_devices_on_jax_train_like_one_on_tensorflow(tmp_path):
    data = tmp_path / "data"
    run("-m", "data_prep", "synthetic", "--out", data, "--preset", "tiny")
    settings = ["--data", data, "--preset", "tiny", "--set", "dropout=0"]
    train = ["-m", "experiments.train_cnn", *settings]
    run(*train, "--run", tmp_path / "tensorflow", backend="tensorflow")
    printed = run(*train, "--run", tmp_path / "jax", "--devices", 2)
    assert "epoch 2 of 2" in printed
    histories = [
        json.loads((tmp_path / name / training.STATE).read_text())["history"] for name in ("tensorflow", "jax")
    ]
    for one, two in zip(*histories, strict=True):
        assert one["mse"] == pytest.approx(two["mse"], abs=1e-2)
        assert one["val_mse"] == pytest.approx(two["val_mse"], abs=1e-2)
    path = tmp_path / "jax" / "cnn3d.keras"
    clips = np.random.default_rng(0).integers(0, 256, (3, 7, 24, 24, 3), np.uint8)
    answers = keras.models.load_model(path).predict(clips, verbose=0)[:, 0]
    np.testing.assert_allclose(answers, json.loads(run("-c", ANSWERS, path)), atol=1e-5)
