"""Limits apply to the videos that are read within their block."""

import pytest

from nr_vqm.common import memory
from nr_vqm.video import reader, work_limits
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
        work_limits.check_start(1920, 1080, 100, with_model=True)
        with pytest.raises(LimitExceeded, match=r"8192x8192 needs about 9\.1 GB of memory, 2 GB are available"):
            work_limits.check_start(8192, 8192, 1, with_model=True)
    monkeypatch.setattr(memory, "available_bytes", lambda: None)
    with WorkLimits().enforced():
        work_limits.check_start(8192, 8192, 1, with_model=True)


@pytest.mark.parametrize("limits", [{"max_pixels": 0}, {"max_seconds": float("nan")}, {"max_memory": -1}])
def test_limits_are_above_zero(limits):
    with pytest.raises(ValueError, match="A limit must be above 0. Received: max_"):
        WorkLimits(**limits)
