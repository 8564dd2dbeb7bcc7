"""Two pretend CPU devices before TensorFlow starts, and lossless videos that are exact to the pixel."""

import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import cv2
import numpy as np
import pytest

from nr_vqm import presets
from nr_vqm.common import devices
from nr_vqm.runs import untrained_run

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


@pytest.fixture(scope="session")
def tiny_run(tmp_path_factory):
    """The folder of an untrained run of preset tiny on a scale of 0-100; not to be changed."""
    folder = tmp_path_factory.mktemp("tiny_run")
    return untrained_run.write(folder, presets.PRESETS["tiny"], mos_range=(0.0, 100.0), labels="people").path
