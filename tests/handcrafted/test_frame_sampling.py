import numpy as np
import pytest
from sample_videos import write_ffv1

from nr_vqm.handcrafted import frame_sampling


@pytest.mark.parametrize(
    ("num_frames", "fps", "numbers"),
    [
        (240, 29.97, [14, 44, 74, 104, 134, 164, 194, 224]),  # 8 s
        (78, 30, [14, 44, 74]),  # the last frame that can be sampled is the fourth from the end
        (77, 30, [14, 44]),
        (192, 24, [11, 35, 59, 83, 107, 131, 155, 179]),
        (20, 1, list(range(17))),
        (5, 0.2, [0, 1]),
        (17, 30, [8]),  # too short for the rule: the middle frame
        (1, 30, [0]),
    ],
)
def test_one_frame_a_second(num_frames, fps, numbers):
    assert frame_sampling.sampled_frames(num_frames, fps) == numbers


def test_a_rate_is_needed():
    with pytest.raises(ValueError, match="frame rate above 0"):
        frame_sampling.sampled_frames(100, 0)


@pytest.mark.parametrize("fps", [0.4, 1, 2, 5, 24, 29.97, 60])
def test_sampling_a_stream_gives_the_same_frames(fps):
    for num_frames in [*range(1, 70), 150]:
        assert list(frame_sampling.sample(iter(range(num_frames)), fps)) == frame_sampling.sampled_frames(
            num_frames, fps
        )


def test_read_sampled_frames(tmp_path):
    frames = [np.full((18, 22, 3), 40 + 3 * number, np.uint8) for number in range(23)]
    path = write_ffv1(tmp_path / "a.mkv", frames, fps=10)
    found = [planes.y.mean() for planes in frame_sampling.read_sampled(path)]
    np.testing.assert_allclose(found, [16 + 219 / 255 * (40 + 3 * number) for number in (4, 14)], atol=1)


def test_damage_is_a_warning(tmp_path):
    path = write_ffv1(tmp_path / "cut.avi", [np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8)] * 40)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.warns(UserWarning, match=r"cut\.avi: "):
        list(frame_sampling.read_sampled(path))


def test_mean_of_frames_ignores_nan():
    rows = [np.array([1, np.nan, np.nan]), np.array([3, 5, np.nan])]
    np.testing.assert_array_equal(frame_sampling.mean_of_frames(rows), [2, 5, np.nan])
