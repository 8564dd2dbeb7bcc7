"""Two pretend CPU devices before TensorFlow starts, and lossless videos that are exact to the pixel."""

import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import cv2
import numpy as np
import pytest

from benchmarks import fuzz
from nr_vqm import devices, presets, svr_baseline
from nr_vqm.run_folder import RunFolder

devices.split_cpu(2)


def place_frame(time, height, width):
    """A frame whose red is the time, green the row, blue the column (modulo 256)."""
    frame = np.empty((height, width, 3), np.uint8)
    frame[..., 0] = time
    frame[..., 1] = (np.arange(height) % 256)[:, None]
    frame[..., 2] = (np.arange(width) % 256)[None, :]
    return frame


def write_ffv1(path, frames, *, fps=25):
    """Write RGB frames losslessly; OpenCV gives back exactly these pixels."""
    height, width = frames[0].shape[:2]
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*"FFV1"), fps, (width, height))
    assert writer.isOpened()
    for frame in frames:
        writer.write(cv2.cvtColor(frame, cv2.COLOR_RGB2BGR))
    writer.release()
    return path


@pytest.fixture
def place_video(tmp_path):
    """make(name, num_frames, height, width) -> path of a lossless video of `place_frame`s."""

    def make(name="place.mkv", num_frames=21, height=30, width=44):
        return write_ffv1(tmp_path / name, [place_frame(t, height, width) for t in range(num_frames)])

    return make


def write_run(folder, preset):
    """A run with untrained networks and an SVR on made-up features, on a scale of 0-100."""
    fuzz.make_run(folder, preset)
    features = np.random.default_rng(0).random((20, preset.fc_dims[-1]), np.float32)
    pipeline = svr_baseline.fit_svr(
        features, 1 + 4 * features[:, 0], contents=np.arange(20), seed=1, **preset.svr_search
    )
    run = RunFolder(folder)
    run.update_facts(mos_range=[0.0, 100.0], labels="people")
    with run.stage("compare"):
        svr_baseline.save_svr(run.head("svr"), pipeline)
    return folder


@pytest.fixture(scope="session")
def tiny_run(tmp_path_factory):
    """`write_run` of preset tiny; not to be changed."""
    return write_run(tmp_path_factory.mktemp("tiny_run"), presets.PRESETS["tiny"])
