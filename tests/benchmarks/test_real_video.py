"""Tests of the benchmark on real video, with a scorer that measures fine detail."""

import dataclasses

import cv2
import numpy as np
import pytest

from benchmarks import real_video
from data_prep.contents import vmaf


@dataclasses.dataclass
class _Found:
    quality: float


class DetailScorer:
    """The more fine detail, the higher the score."""

    def score(self, frames):
        return _Found(float(np.mean([cv2.Laplacian(frame, cv2.CV_32F).std() for frame in frames])) / 10)


@pytest.fixture
def frames():
    rng = np.random.default_rng(1)
    wide = cv2.GaussianBlur(rng.uniform(0, 255, (150, 240, 3)).astype(np.float32), (0, 0), 1)
    return np.stack([wide[:128, t : t + 192] for t in range(12)]).astype(np.uint8)


def test_changes_have_the_expected_signs(frames):
    found = real_video._changes(DetailScorer(), frames)
    assert abs(found["shifted"]) < 0.05 > abs(found["cropped"])
    assert found["encoded_again"] < -0.5
    assert found["half_size"] != 0


def test_score_and_vmaf_of_the_steps_of_a_ladder(frames, monkeypatch):
    try:
        vmaf.ffmpeg()
    except FileNotFoundError as error:
        pytest.skip(str(error))
    monkeypatch.setattr(real_video.real_damage, "LADDERS", {"blur": (0.8, 1.5, 3.0)})
    pairs = real_video._against_vmaf(DetailScorer(), frames)
    assert [value for _, value in pairs] == sorted((value for _, value in pairs), reverse=True)
    assert real_video._srocc(pairs) == pytest.approx(1)
    assert real_video._srocc([(1.0, 2.0), (1.0, 3.0)]) == 0
