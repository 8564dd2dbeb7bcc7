"""Warnings about black, uniform and still video, on generated frames."""

import numpy as np
import pytest

import nr_vqm
from nr_vqm import presets
from nr_vqm.dataset import label_origin
from nr_vqm.runs import untrained_run
from nr_vqm.scoring.content_check import ContentCheck

UNLIKE = "unlike the videos the model was trained on"


def moving(num_frames=10, height=90, width=130):
    """Frames of a pattern that moves."""
    rows, columns = np.mgrid[:height, :width]
    waves = [120 + 60 * np.sin(0.2 * rows + 0.1 * (columns + 3 * time)) for time in range(num_frames)]
    return np.repeat(np.array(waves)[..., None], 3, axis=3).astype(np.uint8)


def constant(level, num_frames=10):
    return np.full((num_frames, 90, 130, 3), level, np.uint8)


def night():
    frames = constant(0)
    for time, frame in enumerate(frames):
        frame[40:55, 10 * time : 10 * time + 15] = 200
    return frames


def noisy_black():
    return np.random.default_rng(1).integers(0, 9, (10, 90, 130, 3)).astype(np.uint8)


@pytest.mark.parametrize(
    ("frames", "expected"),
    [
        (moving(), []),
        (constant(0), ["100 % of the frames are black"]),
        (noisy_black(), ["100 % of the frames are black"]),
        (night(), []),  # as dark, but with a light
        (np.concatenate([constant(0, 5), moving(5)]), ["50 % of the frames are black"]),
        (np.concatenate([constant(0, 4), moving(6)]), []),  # a fade-in
        (constant(128), ["100 % of the frames show one uniform colour"]),
        (constant([200, 30, 30]), ["100 % of the frames show one uniform colour"]),
        (moving()[[3] * 10], ["100 % of the frames repeat the previous frame"]),
        (moving()[np.arange(20) // 2], []),  # each frame twice, as in a file with a higher frame rate than its content
        (moving(1), []),
    ],
)
def test_black_uniform_and_still_video(frames, expected):
    check = ContentCheck()
    np.testing.assert_array_equal(list(check.watch(frames)), frames)
    assert check.warnings() == [f"{one}: {UNLIKE}" for one in expected]


def test_a_score_has_the_warning(tiny_run):
    score = nr_vqm.load(tiny_run).score(np.zeros((9, 30, 44, 3), np.uint8))
    assert score.warnings == (f"100 % of the frames are black: {UNLIKE}",)
    assert f"100 % of the frames are black: {UNLIKE}" in score.to_html()
    assert score.to_dict()["warnings"] == list(score.warnings)


def test_every_score_of_a_run_without_people_says_so(tmp_path):
    for labels in ("pseudo", "synthetic"):
        run = untrained_run.write(tmp_path / labels, presets.PRESETS["tiny"], mos_range=(1.0, 5.0), labels=labels)
        score = nr_vqm.load(run.path).score(moving(9, 30, 44))
        assert score.warnings == label_origin.WARNINGS[labels]
        assert score.warnings[0] in repr(score)
