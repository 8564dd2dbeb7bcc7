"""Fixtures of all tests. Two logical CPU devices are set up before TensorFlow starts.

TensorFlow is imported in the processes that run tests, and not in the one that distributes them.
"""

import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
if "PYTEST_XDIST_WORKER" in os.environ:  # several processes of tests share the cores
    for name in ("OMP_NUM_THREADS", "TF_NUM_INTRAOP_THREADS"):
        os.environ.setdefault(name, "1")

import commands
import pytest
from sample_videos import place_frame, write_ffv1

from data_prep import __main__ as data_prep
from nr_vqm import presets
from nr_vqm.common import devices
from nr_vqm.evaluation import bootstrap


def pytest_configure(config):
    runs_tests = hasattr(config, "workerinput") or not config.getoption("numprocesses", None)
    if runs_tests:
        devices.split_cpu(2)


@pytest.fixture
def place_video(tmp_path):
    """Return a function that writes a lossless video of `place_frame`s and returns its path."""

    def make(name="place.mkv", num_frames=21, height=30, width=44):
        return write_ffv1(tmp_path / name, [place_frame(t, height, width) for t in range(num_frames)])

    return make


@pytest.fixture(scope="session")
def tiny_run(tmp_path_factory):
    """Folder of an untrained run of preset tiny on a scale of 0-100. Tests must not change it."""
    from nr_vqm.runs import untrained_run

    folder = tmp_path_factory.mktemp("tiny_run")
    return untrained_run.write(folder, presets.PRESETS["tiny"], mos_range=(0.0, 100.0), labels="people").path


@pytest.fixture(scope="session")
def synthetic_data(tmp_path_factory):
    """Data folder of the synthetic database of preset tiny. Tests must not change it."""
    folder = tmp_path_factory.mktemp("synthetic_data")
    commands.succeed(data_prep.main, "synthetic", "--out", folder, "--preset", "tiny")
    return folder


@pytest.fixture(scope="module")
def few_draws():
    """Compare heads with at most 100 bootstrap draws, in a tenth of the time."""
    real = bootstrap.draw
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(
            bootstrap,
            "draw",
            lambda num_contents, *, num_resamples, seed: real(
                num_contents, num_resamples=min(100, num_resamples), seed=seed
            ),
        )
        yield


@pytest.fixture
def zero_weights(monkeypatch):
    """Build networks with weights of zero: random ones of the network of the paper take seconds."""
    import keras

    monkeypatch.setattr(
        keras.initializers.GlorotUniform, "__call__", lambda self, shape, dtype=None: keras.ops.zeros(shape, dtype)
    )
