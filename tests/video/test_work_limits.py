"""Limits apply to the videos that are read within their block."""

import time

import numpy as np
import pytest

from nr_vqm.common import memory
from nr_vqm.video import decoder_processes, reader, work_limits
from nr_vqm.video.work_limits import LimitExceeded, WorkLimits


def test_limits_apply_only_within_the_block(place_video):
    path, limits = place_video(num_frames=9), WorkLimits(max_pixels=44 * 30 * 5)
    with limits.enforced(), reader.read_frames(path) as frames:
        for _ in range(5):
            next(frames)
        with pytest.raises(LimitExceeded, match="this one has 6 frames of 44x30"):
            next(frames)
    assert reader.count_frames(path) == 9


def test_a_large_frame_is_refused_by_the_memory_that_is_available(monkeypatch):
    monkeypatch.setattr(memory, "available_bytes", lambda: 2 * 10**9)
    with WorkLimits().enforced():
        work_limits.check_start(1920, 1080, 100, model_bytes=8e8)
        with pytest.raises(LimitExceeded, match=r"8192x8192 needs about 8\.2 GB of memory, 2 GB are available"):
            work_limits.check_start(8192, 8192, 1, model_bytes=8e8)
    monkeypatch.setattr(memory, "available_bytes", lambda: None)
    with WorkLimits().enforced():
        work_limits.check_start(8192, 8192, 1, model_bytes=8e8)


@pytest.mark.parametrize(
    "limits",
    [
        {"max_pixels": 0},
        {"max_pixels": "3"},
        {"max_pixels": True},
        {"max_pixels": None},
        {"max_seconds": float("nan")},
        {"max_seconds": 10**400},
        {"max_memory": -1},
    ],
)
def test_limits_are_above_zero(limits):
    with pytest.raises(ValueError, match="A limit must be above 0. Received: max_"):
        WorkLimits(**limits)


def test_a_limit_may_be_infinite_and_a_number_of_numpy():
    assert WorkLimits(max_pixels=float("inf"), max_seconds=np.float32(3)).max_memory is None


def test_an_endless_index_is_stopped_with_its_decoder(place_video):
    """The decoder process reports progress while it reads the index of a file."""
    with reader.read_frames(place_video(num_frames=9)):
        pass  # a process is ready
    worker = decoder_processes._idle.pop()
    worker.connection = ProgressOnly(worker.connection)
    with WorkLimits(max_seconds=0.2).enforced(), pytest.raises(LimitExceeded, match="over before its index was read"):
        worker.answer()
    assert worker.process.returncode is not None


def test_an_interruption_of_an_index_scan_after_the_time_limit(place_video):
    """The interruption is raised, and the process that no longer answers is not kept."""
    with reader.read_frames(place_video(num_frames=9)):
        pass  # a process is ready
    limits = WorkLimits(max_seconds=0.01).enforced()
    with limits, pytest.raises(KeyboardInterrupt), decoder_processes.borrowed(60) as worker:
        worker.connection = ProgressOnly(worker.connection)
        raise KeyboardInterrupt
    assert worker.process.returncode is not None
    assert worker not in decoder_processes._idle


class ProgressOnly:
    """A connection over which nothing but progress is received."""

    def __init__(self, connection):
        self.connection = connection

    def poll(self, seconds):
        assert not self.connection.closed
        return True

    def recv_bytes(self):
        time.sleep(0.05)
        return b'{"is": "progress"}'

    def send_bytes(self, message):
        self.connection.send_bytes(message)

    def close(self):
        self.connection.close()
